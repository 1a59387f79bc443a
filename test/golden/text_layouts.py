"""Text encoder folders as other versions of transformers wrote them.

The pinned one writes a nested config and short names (`model.layers…`, `visual…`). The released folders have a flat config,
and versions 4.52 to 4.57 wrote long names (`model.language_model.layers…`, `model.visual…`).
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLForConditionalGeneration


def flatten_config(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    for key in ("model_type", "layer_types", "pad_token_id"):
        text.pop(key)
    vision = config.pop("vision_config")
    vision.pop("rope_parameters")
    vision |= {"model_type": "qwen2_5_vl", "in_chans": vision.pop("in_channels"), "spatial_patch_size": vision["patch_size"]}
    config["torch_dtype"] = config.pop("dtype")
    config |= text | {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        "sliding_window": 32768,
        "transformers_version": "4.41.2",
        "vision_config": vision,
    }
    path.write_text(json.dumps(config, indent=2) + "\n")


def lengthen_names(folder: Path) -> None:
    def long(name: str) -> str:
        if name.startswith("visual."):
            return f"model.{name}"
        return name.replace("model.", "model.language_model.", 1)

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        save_file({long(name): tensor for name, tensor in load_file(path).items()}, path, metadata=metadata)
    path = folder / "model.safetensors.index.json"
    if path.exists():
        index = json.loads(path.read_text())
        index["weight_map"] = {long(name): file for name, file in index["weight_map"].items()}
        path.write_text(json.dumps(index, indent=2) + "\n")


LAYOUTS: dict[str, Callable[[Path], None]] = {"flat config": flatten_config, "long names": lengthen_names}


def rewrite(folder: Path, layout: str) -> None:
    """Rewrites the folder, and makes sure that transformers reads the same model from it."""

    def load() -> Qwen2_5_VLForConditionalGeneration:
        return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)

    before = load()
    LAYOUTS[layout](folder)
    after = load()
    state = after.state_dict()
    lost = [name for name, tensor in before.state_dict().items() if not torch.equal(tensor, state[name])]
    if lost:
        raise AssertionError(f"{layout}: lost {', '.join(lost)}")
    ids = torch.arange(40)[None]
    if not torch.equal(before(input_ids=ids).logits, after(input_ids=ids).logits):
        raise AssertionError(f"{layout}: computes something else")
