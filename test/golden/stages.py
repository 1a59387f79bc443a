"""Inputs and outputs of each stage alone: text encoder, transformer, VAE, scheduler."""

from contextlib import contextmanager

import numpy as np
import torch
from diffusers import QwenImagePipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift

from recipes import Recipe

Tensors = dict[str, torch.Tensor]


def prompt_ids(pipe: QwenImagePipeline, prompt: str) -> torch.Tensor:
    """Ids of the filled template, as QwenImagePipeline asks its tokenizer for them."""
    text = pipe.prompt_template_encode.format(prompt)
    length = pipe.tokenizer_max_length + pipe.prompt_template_encode_start_idx
    return pipe.tokenizer([text], max_length=length, truncation=True, return_tensors="pt").input_ids[0]


def text_stage(pipe: QwenImagePipeline, prompt: str) -> Tensors:
    ids = prompt_ids(pipe, prompt)
    hidden = pipe.text_encoder(input_ids=ids[None], output_hidden_states=True).hidden_states[-1]
    embeds, mask = pipe.encode_prompt(prompt)
    assert mask is None
    return {"text.ids": ids, "text.hidden": hidden[0], "text.embeds": embeds[0]}


def transformer_inputs(pipe: QwenImagePipeline, recipe: Recipe) -> Tensors:
    generator = torch.Generator().manual_seed(recipe.seed + 10)
    config = pipe.transformer.config
    rows, columns = recipe.grid
    return {
        "transformer.hidden_states": torch.randn(1, rows * columns, config.in_channels, generator=generator),
        "transformer.encoder_hidden_states": torch.randn(1, 9, config.joint_attention_dim, generator=generator),
        "transformer.timestep": torch.tensor([recipe.timestep]),
    }


def transformer_stage(pipe: QwenImagePipeline, recipe: Recipe, inputs: Tensors) -> Tensors:
    seen: Tensors = {}

    def keep_temb(_module, _arguments, output):
        seen["transformer.temb"] = output

    def keep_block(_module, _arguments, output):
        seen["transformer.block0.txt"], seen["transformer.block0.img"] = output

    transformer = pipe.transformer
    hooks = [
        transformer.time_text_embed.register_forward_hook(keep_temb),
        transformer.transformer_blocks[0].register_forward_hook(keep_block),
    ]
    dtype = transformer.dtype
    seen["transformer.output"] = transformer(
        hidden_states=inputs["transformer.hidden_states"].to(dtype),
        encoder_hidden_states=inputs["transformer.encoder_hidden_states"].to(dtype),
        timestep=inputs["transformer.timestep"].to(dtype),
        img_shapes=[[(1, *recipe.grid)]],
        return_dict=False,
    )[0]
    for hook in hooks:
        hook.remove()
    return seen


def vae_inputs(pipe: QwenImagePipeline, recipe: Recipe, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture in [-1, 1] and latents, both for a width and height in pixels; [1, C, H, W], the frame axis left out."""
    generator = torch.Generator().manual_seed(recipe.seed + 20)
    ratio = pipe.vae.spatial_compression_ratio
    picture = torch.rand(1, 3, height, width, generator=generator) * 2 - 1
    latents = torch.randn(1, recipe.vae["z_dim"], height // ratio, width // ratio, generator=generator)
    return picture, latents


def encode(pipe: QwenImagePipeline, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    posterior = pipe.vae.encode(picture[:, :, None].to(pipe.vae.dtype)).latent_dist
    return posterior.mean[:, :, 0], posterior.logvar[:, :, 0]


def decode(pipe: QwenImagePipeline, latents: torch.Tensor) -> torch.Tensor:
    return pipe.vae.decode(latents[:, :, None].to(pipe.vae.dtype), return_dict=False)[0][:, :, 0]


@contextmanager
def tiles(pipe: QwenImagePipeline, side: int, stride: int):
    vae = pipe.vae
    names = ("use_tiling", "tile_sample_min_height", "tile_sample_min_width",
             "tile_sample_stride_height", "tile_sample_stride_width")
    before = {name: getattr(vae, name) for name in names}
    vae.enable_tiling(side, side, stride, stride)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


def vae_stage(pipe: QwenImagePipeline, recipe: Recipe) -> Tensors:
    picture, latents = vae_inputs(pipe, recipe, *recipe.size)
    mean, logvar = encode(pipe, picture)
    tensors = {
        "vae.encode.image": picture,
        "vae.encode.mean": mean,
        "vae.encode.logvar": logvar,
        "vae.decode.latents": latents,
        "vae.decode.image": decode(pipe, latents),
    }
    if recipe.tiling:
        side, stride, width, height = recipe.tiling
        picture, latents = vae_inputs(pipe, recipe, width, height)
        with tiles(pipe, side, stride):
            mean, logvar = encode(pipe, picture)
            image = decode(pipe, latents)
        tensors |= {
            "vae.tiled.encode.image": picture,
            "vae.tiled.encode.mean": mean,
            "vae.tiled.encode.logvar": logvar,
            "vae.tiled.decode.latents": latents,
            "vae.tiled.decode.image": image,
        }
    return tensors


def scheduler_stage(pipe: QwenImagePipeline, recipe: Recipe) -> tuple[Tensors, list[dict]]:
    """Schedules for (steps, image tokens), computed as the pipeline does before its loop."""
    tensors: Tensors = {}
    cases = []
    config = pipe.scheduler.config
    for index, (steps, tokens) in enumerate(recipe.scheduler_cases):
        mu = calculate_shift(
            tokens,
            config.get("base_image_seq_len", 256),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.5),
            config.get("max_shift", 1.15),
        )
        pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
        tensors[f"scheduler.{index}.sigmas"] = pipe.scheduler.sigmas
        tensors[f"scheduler.{index}.timesteps"] = pipe.scheduler.timesteps
        cases.append({"steps": steps, "imageTokens": tokens, "mu": mu})
    return tensors, cases
