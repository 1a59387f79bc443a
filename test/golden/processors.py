"""How far diffusers is from its own recordings on this processor: its libraries choose other kernels by instruction set."""

import json

import torch

from files import DATA, THREADS, write_json
from recipes import RECIPES
from safetensors.torch import load_file

PROCESSORS = DATA.parent / "processors.json"


def relative_error(ours: torch.Tensor, recorded: torch.Tensor) -> float:
    """As native/tests/golden.h has it."""
    return ((ours.double() - recorded.double()).abs().max() / recorded.double().abs().max()).item()


def kind() -> str:
    """By what libraries choose their kernels; native/tests/golden.cpp says the same."""
    return torch.backends.cpu.get_cpu_capability() + ("+AMX" if torch.cpu._is_amx_tile_supported() else "")


@torch.inference_mode()
def record() -> None:
    """Adds this processor's errors of one bfloat16 forward by checkpoint and stage; what is equal is left out."""
    from make_goldens import bfloat16_stages, load

    torch.set_num_threads(THREADS)
    errors = {}
    for recipe in RECIPES:
        recorded = load_file(DATA / f"{recipe.name}.safetensors")
        drawn = bfloat16_stages(load(recipe, torch.bfloat16), recipe, recorded)
        by_stage = {name: relative_error(tensor, recorded[f"bf16.{name}"]) for name, tensor in drawn.items()}
        errors[recipe.name] = {name: error for name, error in by_stage.items() if error > 0}
    known = json.loads(PROCESSORS.read_text(encoding="utf-8")) if PROCESSORS.exists() else {}
    write_json(PROCESSORS, known | {kind(): errors})
