"""Where goldens lie and how they are written."""

import json
import platform
import re
from pathlib import Path
from typing import Any

import diffusers
import numpy
import PIL
import torch
import transformers
from safetensors.torch import save_file

GOLDEN = Path(__file__).resolve().parent
CHECKPOINTS = GOLDEN / "checkpoints"
DATA = GOLDEN / "data"
DEMO_MODEL = GOLDEN.parents[1] / "models" / "demo"

# Both sides of a comparison run with so many threads: the order of a reduction depends on it.
THREADS = 2


def provenance() -> dict[str, Any]:
    return {
        "versions": {
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "pillow": PIL.__version__,
        },
        "machine": platform.machine(),
        "cpuCapability": torch.backends.cpu.get_cpu_capability(),
        "threads": THREADS,
    }


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1)
    # Lists of numbers are read as rows, one number a line is not.
    text = re.sub(r"\[[\d.,\s-]+\]", lambda row: " ".join(row[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
    path.write_text(text + "\n", encoding="utf-8")


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path)
