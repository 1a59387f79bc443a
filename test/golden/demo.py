"""Pictures of the demo model, as QwenImagePipeline and QwenImageImg2ImgPipeline draw them."""

import json

import numpy as np
import torch
from diffusers import QwenImagePipeline
from PIL import Image

from files import DATA, DEMO_MODEL, provenance, write_json
from pictures import Run, draw, rounded

FOLDER = DATA / "demo"
FIRST = "red-circle"
# A value so near x.5 before rounding may round the other way in an equally right computation.
NEAR_HALF = 0.01


def runs() -> dict[str, Run]:
    defaults = json.loads((DEMO_MODEL / "generation_defaults.json").read_text())
    common = dict(
        steps=defaults["num_inference_steps"],
        true_cfg_scale=defaults["true_cfg_scale"],
        negative_prompt=defaults["negative_prompt"],
    )
    square = common | dict(width=defaults["width"], height=defaults["height"])
    return {
        FIRST: Run("a red circle on a blue background", seed=1, **square),
        "yellow-star": Run("a large yellow star on the left, on a purple background", seed=2, **square),
        "green-square-gradient": Run("Draw a small green square on a red to yellow gradient.", seed=3, **square),
        "orange-heart": Run("an orange heart in the top right corner", seed=4, **square),
        "two-shapes": Run("a blue triangle above a white ring on a black background", seed=5, **square),
        "pink-moon-portrait": Run("a pink moon at the top, on cyan", seed=6, **common | dict(width=192, height=256)),
    }


def variations(start: Image.Image, base: Run) -> dict[str, Run]:
    """Image-to-image of the first picture: strength 0.8 follows the prompt, 0.2 keeps the picture."""
    common = vars(base) | dict(prompt="a green circle on a blue background", start=start)
    return {f"green-circle-{round(100 * s)}": Run(**common | dict(strength=s)) for s in (0.8, 0.2)}


def save(name: str, picture: np.ndarray) -> None:
    Image.fromarray(rounded(picture)).save(FOLDER / f"{name}.png", optimize=True)
    fraction = np.modf(picture.astype(np.float64) * 255)[0]
    near = (np.abs(fraction - 0.5) <= NEAR_HALF).astype(np.uint8) * 255
    Image.fromarray(near).save(FOLDER / f"{name}.near-half.png", optimize=True)


@torch.inference_mode()
def record() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    pipe = QwenImagePipeline.from_pretrained(DEMO_MODEL, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    cases = []

    def add(name: str, run: Run, start: str | None = None) -> None:
        save(name, draw(pipe, run)["float"].numpy())
        case = {"name": name, **run.parameters()}
        cases.append(case if start is None else case | {"start": f"{start}.png"})
        print(f"  demo: {name}", flush=True)

    for name, run in runs().items():
        add(name, run)
    start = Image.open(FOLDER / f"{FIRST}.png")
    for name, run in variations(start, runs()[FIRST]).items():
        add(name, run, FIRST)
    write_json(FOLDER / "cases.json", {**provenance(), "dtype": "float32", "nearHalf": NEAR_HALF, "cases": cases})
