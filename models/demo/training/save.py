"""Writes the finished folder: averaged weights, rounded to bfloat16, in the layout of QwenImagePipeline."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import QwenImagePipeline

from flow_state import load_weights
from networks import build_text_encoder, build_transformer, load_tokenizer, scheduler, trained_parameters
from vae2d import to_diffusers
from workdir import WorkDir

DEFAULTS = {"width": 256, "height": 256, "num_inference_steps": 20, "true_cfg_scale": 4.0, "negative_prompt": " "}
VISION_SEED = 0  # the vision tower is not trained: its weights are those of this seed


def save_folder(work: WorkDir, folder: Path) -> None:
    tokenizer = load_tokenizer(work.tokenizer)
    torch.manual_seed(VISION_SEED)
    text_encoder, transformer = build_text_encoder(tokenizer), build_transformer()
    weights = load_weights(torch.load(work.flow), averaged=True)
    with torch.no_grad():
        for name, parameter in trained_parameters(text_encoder, transformer).items():
            parameter.copy_(weights[name])
    text_encoder.tie_weights()
    statistics = work.latent_statistics()
    vae = to_diffusers(work.load_vae().state_dict(), statistics["mean"], statistics["std"])
    dtype = torch.bfloat16
    QwenImagePipeline(
        scheduler=scheduler(), vae=vae.to(dtype), text_encoder=text_encoder.to(dtype), tokenizer=tokenizer,
        transformer=transformer.to(dtype),
    ).save_pretrained(folder, safe_serialization=True)
    shutil.rmtree(folder / "tokenizer")  # as the tokenizer stage wrote it, not as transformers would write it again
    shutil.copytree(work.tokenizer, folder / "tokenizer")
    (folder / "generation_defaults.json").write_text(json.dumps(DEFAULTS, indent=2) + "\n")
