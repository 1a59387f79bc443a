"""Whole pipelines, recorded from the inside: noise, latents on the way, the picture before and after rounding."""

from contextlib import ExitStack
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch
from diffusers import QwenImageImg2ImgPipeline, QwenImagePipeline
from diffusers.image_processor import VaeImageProcessor
from diffusers.pipelines.qwenimage import pipeline_qwenimage, pipeline_qwenimage_img2img
from PIL import Image

from stages import prompt_ids

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Run:
    """One request. With `start` it is image-to-image."""

    prompt: str
    width: int
    height: int
    steps: int
    seed: int
    true_cfg_scale: float = 4.0
    negative_prompt: str = " "
    start: Image.Image | None = None
    strength: float | None = None

    def parameters(self) -> dict:
        parameters = {
            "prompt": self.prompt,
            "negativePrompt": self.negative_prompt,
            "width": self.width,
            "height": self.height,
            "numInferenceSteps": self.steps,
            "trueCfgScale": self.true_cfg_scale,
            "seed": self.seed,
        }
        return parameters if self.strength is None else parameters | {"strength": self.strength}


def returning(seen: Tensors, name: str, function):
    """`function`, with what it returns kept under `name`."""

    def keep(*args, **kwargs):
        seen[name] = function(*args, **kwargs)
        return seen[name]

    return keep


def rounded(picture: np.ndarray) -> np.ndarray:
    """8-bit values of a float picture, by the step that the pipelines' PIL output goes through."""
    return np.asarray(VaeImageProcessor.numpy_to_pil(picture)[0])


def draw(pipe: QwenImagePipeline, run: Run) -> Tensors:
    """Runs the pipeline that `run` asks for, on the parts of `pipe`; everything that is worth comparing, by name."""
    seen: Tensors = {"prompt_ids": prompt_ids(pipe, run.prompt), "negative_ids": prompt_ids(pipe, run.negative_prompt)}
    steps: list[torch.Tensor] = []

    def after_step(_pipe, _index, _timestep, values):
        steps.append(values["latents"])
        return values

    arguments = dict(
        prompt=run.prompt, negative_prompt=run.negative_prompt, true_cfg_scale=run.true_cfg_scale, width=run.width,
        height=run.height, num_inference_steps=run.steps, generator=torch.Generator("cpu").manual_seed(run.seed),
        output_type="np", callback_on_step_end=after_step,
    )
    with ExitStack() as patches:
        if run.start is None:
            module = pipeline_qwenimage
        else:
            module = pipeline_qwenimage_img2img
            pipe = QwenImageImg2ImgPipeline(**pipe.components)
            pipe.set_progress_bar_config(disable=True)
            arguments |= {"image": run.start, "strength": run.strength}
            seen["input"] = torch.from_numpy(np.array(run.start))
            resized = pipe.image_processor.resize(run.start, run.height, run.width)
            seen["resized"] = torch.from_numpy(np.array(resized))
            for name, method in (("image_latents", "_encode_vae_image"), ("start", "prepare_latents")):
                patches.enter_context(mock.patch.object(pipe, method, returning(seen, name, getattr(pipe, method))))
        patches.enter_context(mock.patch.object(module, "randn_tensor", returning(seen, "noise", module.randn_tensor)))
        picture = pipe(**arguments).images[0]
    if "image_latents" in seen:
        seen["image_latents"] = seen["image_latents"].transpose(1, 2)
    return seen | {
        "step0": steps[0],
        "latents": steps[-1],
        "float": torch.from_numpy(picture),
        "uint8": torch.from_numpy(rounded(picture).copy()),
    }


def start_picture(width: int, height: int, seed: int) -> Image.Image:
    """Soft colours with some grain, so that a wrong filter, a shifted grid and a lost detail would all show."""
    random = np.random.default_rng(seed)
    x, y = np.linspace(0, 1, width), np.linspace(0, 1, height)[:, None]
    phases = random.uniform(0, 2 * np.pi, 3)
    waves = np.stack([np.sin(5 * x + 4 * y * (k + 1) / 2 + phase) for k, phase in enumerate(phases)], axis=-1)
    noisy = 127.5 + 90 * waves + random.normal(0, 25, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def difference(a: Tensors, b: Tensors) -> dict:
    """How far two runs' pictures are apart, in 8-bit levels: after rounding, and at most before it."""
    levels = (a["uint8"].int() - b["uint8"].int()).abs()
    return {
        "mean": levels.double().mean().item(),
        "max": int(levels.max()),
        "differing": int(levels.count_nonzero()),
        "maxBeforeRounding": 255 * (a["float"] - b["float"]).abs().max().item(),
    }
