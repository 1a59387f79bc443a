"""PIL's LANCZOS, which every start picture goes through, on sizes that show rounding and borders."""

import numpy as np
import torch
from PIL import Image

from files import DATA, provenance, write_json, write_tensors

# (width, height) before and after.
SIZES = [
    ((7, 5), (16, 16)),
    ((16, 16), (16, 16)),
    ((16, 24), (16, 8)),
    ((24, 16), (9, 16)),
    ((61, 47), (13, 11)),
    ((1, 9), (8, 8)),
    ((9, 1), (3, 12)),
    ((1, 1), (5, 4)),
    ((33, 20), (1, 1)),
    ((13, 17), (29, 7)),
    ((97, 3), (10, 31)),
]


def record() -> None:
    random = np.random.default_rng(9)
    tensors = {}
    cases = []
    for index, (before, after) in enumerate(SIZES):
        width, height = before
        picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        if index % 2:
            # Hard black and white edges: the filter overshoots there and has to clip.
            picture = np.where(picture > 127, 255, 0).astype(np.uint8)
        resized = Image.fromarray(picture).resize(after, Image.Resampling.LANCZOS)
        tensors[f"resize.{index}.input"] = torch.from_numpy(picture)
        tensors[f"resize.{index}.output"] = torch.from_numpy(np.array(resized))
        cases.append({"from": before, "to": after})
    write_tensors(DATA / "resize.safetensors", tensors)
    write_json(DATA / "resize.json", {**provenance(), "filter": "LANCZOS", "cases": cases})
