"""Writes the tiny checkpoints: diffusers' and transformers' own classes with seeded random weights."""

import json
import shutil
from pathlib import Path

import text_layouts
import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from files import DEMO_MODEL
from recipes import Recipe

# Rows of the tiny embeddings: the demo vocabulary's 1328, padded as the released embeddings are.
VOCABULARY = 1344
TOKENIZER = DEMO_MODEL / "tokenizer"


# Gains against unit variance, by the end of the parameter's name.
GAINS = {
    # Modulation is made from the small output of the timestep embedder: without a gain the blocks would hardly act.
    "img_mod.1.weight": 2.0,
    "txt_mod.1.weight": 2.0,
    "norm_out.linear.weight": 2.0,
    # A picture of unit variance would be clamped in a third of its values.
    "decoder.conv_out.weight": 0.4,
}


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Weights that keep activations near unit size and make every parameter matter.

    Fresh modules will not do: their biases are zero, their norms one, and a fault in using them would not show.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("gamma") or (parameter.ndim == 1 and name.endswith("weight")):
            value = 1 + 0.2 * noise
        elif parameter.ndim == 1:
            value = 0.2 * noise
        elif "embed_tokens" in name:
            value = noise
        else:
            # Of a 3x3x3 kernel one temporal tap meets the only frame; the others are there to be ignored.
            taps = parameter.shape[2] if parameter.ndim == 5 and "patch_embed" not in name else 1
            fan_in = parameter.numel() / parameter.shape[0] / taps
            gain = next((gain for end, gain in GAINS.items() if name.endswith(end)), 1.0)
            value = noise * gain / fan_in**0.5
        parameter.data.copy_(value)


def text_config(recipe: Recipe) -> Qwen2_5_VLConfig:
    text = dict(recipe.text)
    rope = {"rope_type": "default", "rope_theta": text.pop("rope_theta"), "mrope_section": text.pop("mrope_section")}
    added = json.loads((TOKENIZER / "added_tokens.json").read_text())
    return Qwen2_5_VLConfig(
        text_config=text
        | dict(
            vocab_size=VOCABULARY, max_position_embeddings=4096, rope_parameters=rope,
            bos_token_id=added["<|endoftext|>"], eos_token_id=added["<|im_end|>"], pad_token_id=added["<|endoftext|>"],
        ),
        vision_config=recipe.vision
        | dict(
            depth=1, patch_size=14, temporal_patch_size=2, spatial_merge_size=2, window_size=112, in_channels=3,
            fullatt_block_indexes=[0], out_hidden_size=text["hidden_size"], tokens_per_second=2,
        ),
        image_token_id=added["<|image_pad|>"],
        video_token_id=added["<|video_pad|>"],
        vision_start_token_id=added["<|vision_start|>"],
        vision_end_token_id=added["<|vision_end|>"],
        tie_word_embeddings=recipe.tie_word_embeddings,
    )


def write_checkpoint(recipe: Recipe, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tokenizer").mkdir(parents=True)
    for name in recipe.tokenizer_files:
        shutil.copyfile(TOKENIZER / name, folder / "tokenizer" / name)

    text_encoder = Qwen2_5_VLForConditionalGeneration(text_config(recipe))
    randomize(text_encoder, recipe.seed)
    z = recipe.vae["z_dim"]
    transformer = QwenImageTransformer2DModel(
        in_channels=4 * z, out_channels=z, joint_attention_dim=recipe.text["hidden_size"], **recipe.transformer
    )
    randomize(transformer, recipe.seed + 1)
    vae = AutoencoderKLQwenImage(**recipe.vae)
    randomize(vae, recipe.seed + 2)
    scheduler = FlowMatchEulerDiscreteScheduler(**recipe.scheduler)

    components = {"text_encoder": text_encoder, "transformer": transformer, "vae": vae}
    for name, component in components.items():
        stored = recipe.stored[name]
        component.to(stored.dtype).save_pretrained(folder / name, max_shard_size=stored.shard_size)
    scheduler.save_pretrained(folder / "scheduler")
    pipeline = QwenImagePipeline(
        tokenizer=Qwen2Tokenizer.from_pretrained(folder / "tokenizer"), scheduler=scheduler, **components
    )
    pipeline.save_config(folder)
    if recipe.text_layout:
        text_layouts.rewrite(folder / "text_encoder", recipe.text_layout)
