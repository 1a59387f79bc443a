"""Builds everything under checkpoints/ and data/.

`python make_goldens.py` makes all of it; names of checkpoints, `tokenizer`, `resize` and `demo` make a part.
`python make_goldens.py processor` adds what diffusers itself gives on another processor than the recordings'.
"""

import sys
import time
import warnings

import demo
import processors
import resize
import texts
import torch
from diffusers import QwenImagePipeline
from diffusers.utils import logging as diffusers_logging
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.utils import logging as transformers_logging

from checkpoints import write_checkpoint
from files import CHECKPOINTS, DATA, THREADS, provenance, write_json, write_tensors
from pictures import Run, difference, draw, start_picture
from recipes import RECIPES, Recipe
from stages import Tensors, decode, encode, scheduler_stage, text_stage, transformer_inputs, transformer_stage, vae_stage


def load(recipe: Recipe, dtype: torch.dtype) -> QwenImagePipeline:
    pipe = QwenImagePipeline.from_pretrained(CHECKPOINTS / recipe.name, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def runs_of(recipe: Recipe) -> dict[str, Run]:
    width, height = recipe.size
    common = dict(prompt=recipe.prompt, width=width, height=height, steps=recipe.steps, seed=recipe.seed)
    start = start_picture(*recipe.start_size, seed=recipe.seed)
    image = dict(start=start, strength=recipe.strength)
    return {
        "t2i": Run(**common),
        "t2i_plain": Run(**common, true_cfg_scale=1.0),
        "i2i": Run(**common, **image),
        "i2i_plain": Run(**common, **image, true_cfg_scale=1.0),
    }


def named(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def spread(pipe: QwenImagePipeline, run: Run, drawn: Tensors) -> dict:
    """How far diffusers is from itself when only the order of its sums changes: what a fair comparison has to allow."""
    torch.set_num_threads(1)
    one_thread = draw(pipe, run)
    torch.set_num_threads(THREADS)
    with sdpa_kernel(SDPBackend.MATH):
        math_attention = draw(pipe, run)
    return {"oneThread": difference(drawn, one_thread), "mathAttention": difference(drawn, math_attention)}


def bfloat16_stages(pipe: QwenImagePipeline, recipe: Recipe, float32: Tensors) -> Tensors:
    """One forward of each stage in bfloat16, on the inputs of the float32 goldens."""
    tensors = text_stage(pipe, recipe.prompt) | transformer_stage(pipe, recipe, float32)
    del tensors["text.ids"]
    tensors["vae.encode.mean"], tensors["vae.encode.logvar"] = encode(pipe, float32["vae.encode.image"])
    tensors["vae.decode.image"] = decode(pipe, float32["vae.decode.latents"])
    return tensors


@torch.inference_mode()
def record(recipe: Recipe) -> None:
    write_checkpoint(recipe, CHECKPOINTS / recipe.name)
    pipe = load(recipe, torch.float32)
    inputs = transformer_inputs(pipe, recipe)
    tensors = text_stage(pipe, recipe.prompt) | inputs | transformer_stage(pipe, recipe, inputs) | vae_stage(pipe, recipe)
    schedules, cases = scheduler_stage(pipe, recipe)
    tensors |= schedules
    runs = runs_of(recipe)
    for name, run in runs.items():
        drawn = draw(pipe, run)
        if name.endswith("_plain"):
            # The guided run has the rest.
            drawn = {part: drawn[part] for part in ("step0", "latents", "float", "uint8")}
        tensors |= named(name, drawn)
    drawn = {name: tensors[f"t2i.{name}"] for name in ("float", "uint8")}
    spreads = {"float32": spread(pipe, runs["t2i"], drawn)}

    pipe = load(recipe, torch.bfloat16)
    drawn = draw(pipe, runs["t2i"])
    spreads["bfloat16"] = spread(pipe, runs["t2i"], drawn)
    drawn = {name: drawn[name] for name in ("noise", "step0", "latents", "uint8")}
    tensors |= named("bf16", bfloat16_stages(pipe, recipe, tensors) | named("t2i", drawn))
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise AssertionError(f"{recipe.name}: {name} is not finite")

    write_tensors(DATA / f"{recipe.name}.safetensors", tensors)
    side, stride, width, height = recipe.tiling or (None, None, None, None)
    write_json(
        DATA / f"{recipe.name}.json",
        {
            "checkpoint": recipe.name,
            "about": recipe.about,
            **provenance(),
            "text": {"prompt": recipe.prompt, "dropIndex": pipe.prompt_template_encode_start_idx},
            "transformer": {"imgShapes": [[1, *recipe.grid]]},
            "vae": {"tiling": {"side": side, "stride": stride, "width": width, "height": height} if side else None},
            "scheduler": cases,
            "runs": {name: run.parameters() for name, run in runs.items()},
            "spread": spreads,
        },
    )


def main(wanted: list[str]) -> None:
    warnings.filterwarnings("ignore")
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    torch.set_num_threads(THREADS)

    jobs = {recipe.name: lambda recipe=recipe: record(recipe) for recipe in RECIPES}
    jobs |= {"tokenizer": texts.record, "resize": resize.record, "demo": demo.record}
    # Only when it is asked for: it tells of a processor that is not the recordings'.
    jobs["processor"] = processors.record
    wanted = wanted or [name for name in jobs if name != "processor"]
    unknown = set(wanted) - jobs.keys()
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(jobs)}")
    for name, job in jobs.items():
        if name not in wanted:
            continue
        started = time.monotonic()
        job()
        print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
