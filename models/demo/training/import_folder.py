"""Fills a work folder from a saved model, to train on from its weights."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from transformers import Qwen2_5_VLForConditionalGeneration

from networks import trained_parameters
from vae2d import from_diffusers
from workdir import WorkDir, save_whole


def import_folder(folder: Path, work: WorkDir) -> None:
    shutil.copytree(folder / "tokenizer", work.tokenizer, dirs_exist_ok=True)
    vae = AutoencoderKLQwenImage.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    save_whole({"weights": from_diffusers(vae).state_dict()}, work.vae)
    work.statistics.write_text(json.dumps({"mean": vae.config.latents_mean, "std": vae.config.latents_std}))
    text_encoder = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32)
    transformer = QwenImageTransformer2DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32)
    weights = {name: p.detach() for name, p in trained_parameters(text_encoder, transformer).items()}
    zero = {name: torch.zeros_like(value, dtype=torch.bfloat16) for name, value in weights.items()}
    begun = {"step": 0, "samples": 0, "cpu_seconds": 0.0, "settings": None, "finished": []}
    save_whole({**begun, "weights": weights, "average_less_weights": zero, "optimizers": {}}, work.flow)
