"""Writes a checkpoint with the layer sizes of the released Qwen-Image and few layers, to be timed; about 2.7 GB.

`python make_real_geometry.py FOLDER`. Random weights (seeded) in bf16. Transformer: 2 blocks of 24 heads x 128; text
encoder: 2 layers of 3584; VAE: complete. It has the demo model's tokenizer and, to save disk, an embedding and head of
that vocabulary's size: looking ids up costs the same, and the head is never used. The vision tower has one block of the
released width.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from diffusers.utils import logging as diffusers_logging
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer
from transformers.utils import logging as transformers_logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "golden"))
from checkpoints import TOKENIZER, VOCABULARY, randomize  # noqa: E402
from recipes import RELEASED_SCHEDULER  # noqa: E402

LAYERS = 2
DEFAULTS = {"width": 512, "height": 512, "num_inference_steps": 2, "true_cfg_scale": 4.0, "negative_prompt": " "}


def text_encoder() -> Qwen2_5_VLForConditionalGeneration:
    added = json.loads((TOKENIZER / "added_tokens.json").read_text())
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=VOCABULARY, hidden_size=3584, intermediate_size=18944, num_hidden_layers=LAYERS,
            num_attention_heads=28, num_key_value_heads=4, rms_norm_eps=1e-6, max_position_embeddings=128000,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            bos_token_id=added["<|endoftext|>"], eos_token_id=added["<|im_end|>"],
        ),
        vision_config=dict(
            depth=1, hidden_size=1280, num_heads=16, intermediate_size=3420, out_hidden_size=3584, patch_size=14,
            temporal_patch_size=2, spatial_merge_size=2, window_size=112, fullatt_block_indexes=[0], tokens_per_second=2,
        ),
        image_token_id=added["<|image_pad|>"],
        video_token_id=added["<|video_pad|>"],
        vision_start_token_id=added["<|vision_start|>"],
        vision_end_token_id=added["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def write(folder: Path) -> None:
    makers = {
        "text_encoder": text_encoder,
        "transformer": lambda: QwenImageTransformer2DModel(num_layers=LAYERS),
        "vae": AutoencoderKLQwenImage,
    }
    components = {}
    for seed, (name, make) in enumerate(makers.items(), 1):
        started = time.monotonic()
        # Without storage at first: the classes' own initialisation is slow and would be overwritten.
        with torch.device("meta"):
            component = make()
        component = component.to(torch.bfloat16).to_empty(device="cpu")
        randomize(component, seed)
        component.save_pretrained(folder / name)
        components[name] = component
        count = sum(parameter.numel() for parameter in component.parameters())
        print(f"{name}: {count / 1e6:.0f} M parameters, {time.monotonic() - started:.0f} s", flush=True)

    shutil.copytree(TOKENIZER, folder / "tokenizer", copy_function=shutil.copyfile, dirs_exist_ok=True)
    scheduler = FlowMatchEulerDiscreteScheduler(**RELEASED_SCHEDULER)
    scheduler.save_pretrained(folder / "scheduler")
    tokenizer = Qwen2Tokenizer.from_pretrained(folder / "tokenizer")
    QwenImagePipeline(tokenizer=tokenizer, scheduler=scheduler, **components).save_config(folder)
    (folder / "generation_defaults.json").write_text(json.dumps(DEFAULTS, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    diffusers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    write(parser.parse_args().folder)
