"""The tiny checkpoints: what each one is made of and which runs are recorded with it.

Between them they cover every shape-like setting of the family (layers, heads, head sizes, grouped-query ratios, rotary
sections, VAE widths and ratios, latent statistics), every storage form (single and sharded files, bf16, fp16 and fp32,
tied and untied heads, short and long names) and every scheduler setting that the released files or their users have.
"""

from dataclasses import dataclass, field
from math import log
from typing import Any

import torch

# scheduler_config.json of the released checkpoints.
RELEASED_SCHEDULER = {
    "shift": 1.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 0.9,
    "base_image_seq_len": 256,
    "max_image_seq_len": 8192,
    "shift_terminal": 0.02,
    "time_shift_type": "exponential",
}
# What the few-step distillations replace it by.
LIGHTNING_SCHEDULER = RELEASED_SCHEDULER | {"base_shift": log(3), "max_shift": log(3), "shift_terminal": None}


@dataclass(frozen=True)
class Stored:
    """How one component lies on the disk."""

    dtype: torch.dtype
    shard_size: str = "1GB"


@dataclass(frozen=True)
class Recipe:
    name: str
    about: str
    seed: int
    text: dict[str, Any]
    transformer: dict[str, Any]
    vae: dict[str, Any]
    scheduler: dict[str, Any]
    stored: dict[str, Stored]
    tie_word_embeddings: bool
    # File names copied from the demo model's tokenizer folder.
    tokenizer_files: tuple[str, ...]
    prompt: str
    # Token grid (rows, columns) of the recorded transformer forward, and its timestep in [0, 1].
    grid: tuple[int, int]
    timestep: float
    # Width, height of every recorded picture, of 5000 values at least; the start picture of image-to-image has another
    # size.
    size: tuple[int, int]
    start_size: tuple[int, int]
    steps: int
    strength: float
    scheduler_cases: tuple[tuple[int, int], ...]
    # Tile side and stride of the recorded tiled encode and decode, with the picture's width and height.
    tiling: tuple[int, int, int, int] | None = None
    # One of text_layouts.LAYOUTS; None leaves the folder as the pinned transformers writes it.
    text_layout: str | None = None
    vision: dict[str, Any] = field(default_factory=lambda: {"hidden_size": 8, "num_heads": 2, "intermediate_size": 12})


TOKENIZER_JSON = ("tokenizer.json", "tokenizer_config.json")
VOCAB_AND_MERGES = ("vocab.json", "merges.txt")

RECIPES = (
    Recipe(
        name="released",
        about="the released set-up in small: bf16, sharded, untied, VAE ratio 8, released schedule; 2 query heads a key head",
        seed=101,
        text=dict(
            hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            rms_norm_eps=1e-6, rope_theta=1e6, mrope_section=[1, 2, 3],
        ),
        transformer=dict(num_layers=2, num_attention_heads=3, attention_head_dim=16, axes_dims_rope=(4, 6, 6)),
        vae=dict(
            base_dim=3, z_dim=4, dim_mult=[1, 2, 4, 4], num_res_blocks=2, temperal_downsample=[False, True, True],
            latents_mean=[-0.7571, 0.1075, 0.9653, -0.1517], latents_std=[1.8184, 1.4541, 0.8275, 1.2196],
        ),
        scheduler=RELEASED_SCHEDULER,
        stored=dict(
            text_encoder=Stored(torch.bfloat16, "140KB"),
            transformer=Stored(torch.bfloat16, "150KB"),
            vae=Stored(torch.bfloat16),
        ),
        tie_word_embeddings=False,
        tokenizer_files=TOKENIZER_JSON + VOCAB_AND_MERGES + ("added_tokens.json", "special_tokens_map.json"),
        prompt="a red circle on a blue background",
        grid=(3, 5),
        timestep=0.75,
        size=(48, 48),
        start_size=(37, 53),
        steps=4,
        strength=0.6,
        scheduler_cases=((2, 6), (4, 4096), (20, 256), (50, 4096), (50, 6889), (30, 6032), (8, 16384)),
        tiling=(32, 24, 40, 56),
    ),
    Recipe(
        name="flat-config",
        about="text encoder with the flat config, Lightning schedule, no tokenizer.json; 4 query heads a key head",
        seed=202,
        text=dict(
            hidden_size=32, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=1,
            rms_norm_eps=1e-5, rope_theta=1e6, mrope_section=[1, 1, 2],
        ),
        transformer=dict(num_layers=1, num_attention_heads=2, attention_head_dim=20, axes_dims_rope=(4, 8, 8)),
        vae=dict(
            base_dim=4, z_dim=6, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[False, True],
            latents_mean=[0.3, -0.2, 0.05, 0.7, -0.45, 0.0], latents_std=[0.6, 1.1, 0.9, 1.7, 1.3, 0.8],
        ),
        scheduler=LIGHTNING_SCHEDULER,
        stored=dict(
            text_encoder=Stored(torch.bfloat16, "90KB"),
            transformer=Stored(torch.float32),
            vae=Stored(torch.bfloat16),
        ),
        tie_word_embeddings=False,
        tokenizer_files=VOCAB_AND_MERGES + ("tokenizer_config.json", "added_tokens.json"),
        prompt="Draw a small green star above a large yellow ring, please. 画一个星星！",
        grid=(4, 3),
        timestep=0.9,
        size=(40, 48),
        start_size=(64, 48),
        steps=4,
        strength=0.75,
        scheduler_cases=((1, 20), (4, 20), (4, 4096), (8, 4096)),
        text_layout="flat config",
    ),
    Recipe(
        name="plain",
        about="the classes' defaults: static shift 1, latent statistics 0 and 1, fp32, tied; VAE ratio 4; no grouped queries",
        seed=303,
        text=dict(
            hidden_size=30, intermediate_size=44, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
            rms_norm_eps=1e-6, rope_theta=1e4, mrope_section=[1, 3, 1],
        ),
        transformer=dict(num_layers=2, num_attention_heads=3, attention_head_dim=8, axes_dims_rope=(2, 2, 4)),
        vae=dict(
            base_dim=4, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1, temperal_downsample=[True, False],
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        scheduler={},
        stored=dict(
            text_encoder=Stored(torch.float32),
            transformer=Stored(torch.float32),
            vae=Stored(torch.float32),
        ),
        tie_word_embeddings=True,
        tokenizer_files=TOKENIZER_JSON,
        prompt="two {braces} & <|im_end|> spelled out, 12345",
        grid=(2, 7),
        timestep=0.3,
        size=(56, 40),
        start_size=(41, 33),
        steps=3,
        strength=0.34,
        scheduler_cases=((1, 35), (2, 35), (20, 4096)),
        tiling=(32, 24, 52, 36),
    ),
    Recipe(
        name="linear-shift",
        about="long tensor names, linear time shift, no terminal, fp16 VAE with a widened first level; 5 query heads a key head",
        seed=404,
        text=dict(
            hidden_size=40, intermediate_size=72, num_hidden_layers=1, num_attention_heads=5, num_key_value_heads=1,
            rms_norm_eps=1e-6, rope_theta=1e6, mrope_section=[2, 1, 1],
        ),
        transformer=dict(num_layers=3, num_attention_heads=2, attention_head_dim=12, axes_dims_rope=(2, 6, 4)),
        vae=dict(
            base_dim=3, z_dim=8, dim_mult=[2, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True],
            latents_mean=[0.38, -0.19, -0.17, 0.18, 0.1, 0.11, -0.02, -0.11],
            latents_std=[1.2, 1.35, 0.87, 1.02, 0.63, 0.95, 0.46, 0.78],
        ),
        scheduler=RELEASED_SCHEDULER | {"time_shift_type": "linear", "shift_terminal": None},
        stored=dict(
            text_encoder=Stored(torch.bfloat16),
            transformer=Stored(torch.bfloat16, "60KB"),
            vae=Stored(torch.float16),
        ),
        tie_word_embeddings=True,
        tokenizer_files=VOCAB_AND_MERGES + ("tokenizer_config.json",),
        prompt=" ",
        grid=(5, 2),
        timestep=0.5,
        size=(32, 64),
        start_size=(7, 90),
        steps=3,
        strength=0.4,
        scheduler_cases=((1, 8), (5, 8), (20, 4096)),
        text_layout="long names",
    ),
    Recipe(
        name="static-shift",
        about="long tensor names, static shift 3 with a terminal, four blocks of a single head, 16 latent channels",
        seed=505,
        text=dict(
            hidden_size=32, intermediate_size=80, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
            rms_norm_eps=1e-6, rope_theta=1e5, mrope_section=[4, 2, 2],
        ),
        transformer=dict(num_layers=4, num_attention_heads=1, attention_head_dim=28, axes_dims_rope=(4, 12, 12)),
        vae=dict(
            base_dim=4, z_dim=16, dim_mult=[1, 1, 2], num_res_blocks=2, temperal_downsample=[False, False],
            latents_mean=[round(0.1 * i - 0.8, 2) for i in range(16)], latents_std=[round(0.7 + 0.06 * i, 2) for i in range(16)],
        ),
        scheduler={"shift": 3.0, "shift_terminal": 0.05},
        stored=dict(
            text_encoder=Stored(torch.float32, "180KB"),
            transformer=Stored(torch.bfloat16),
            vae=Stored(torch.float32),
        ),
        tie_word_embeddings=True,
        tokenizer_files=VOCAB_AND_MERGES + ("tokenizer_config.json", "added_tokens.json"),
        prompt="a picture of a crescent moon inside a pink square, on a sunset background",
        grid=(6, 3),
        timestep=0.05,
        size=(48, 40),
        start_size=(48, 40),
        steps=4,
        strength=0.3,
        scheduler_cases=((2, 30), (10, 30), (30, 4096)),
        text_layout="long names",
    ),
)
