"""The reference side of `npm run bench -- --compare-diffusers`: the same work in diffusers, timed by stage.

Prints one line of JSON. Needs the packages of test/golden/requirements.txt.
"""

import argparse
import json
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import QwenImagePipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

STAGES = ("load", "text_encoder", "transformer", "vae_encode", "vae_decode", "picture")
PROMPT = "a red circle on a blue background"
SEED = 1


def memory(path: str, keys: tuple[str, ...]) -> dict[str, int]:
    """Fields of /proc/self/status or smaps_rollup, in bytes."""
    fields = dict(line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
    return {key: int(fields[key].split()[0]) * 1024 for key in keys if key in fields}


def resident() -> dict[str, int]:
    return memory("/proc/self/status", ("VmHWM", "VmRSS", "RssAnon", "RssFile"))


class PeakMemory:
    """Peaks of anonymous and of mapped memory apart, by sampling: the kernel keeps the peak of their sum alone (VmHWM)."""

    def __init__(self, interval: float = 0.02):
        self.anonymous = self.mapped = 0
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._stop.wait(self._interval):
            self.read()

    def read(self) -> None:
        now = resident()
        self.anonymous = max(self.anonymous, now["RssAnon"])
        self.mapped = max(self.mapped, now["RssFile"])

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._stop.set()
        self._thread.join()
        self.read()


class Work:
    """What is timed, on inputs that do not depend on the stage before."""

    def __init__(self, pipe: QwenImagePipeline, width: int, height: int, steps: int, true_cfg_scale: float):
        self.pipe = pipe
        self.size = {"width": width, "height": height}
        self.steps = steps
        self.true_cfg_scale = true_cfg_scale
        self.dtype = pipe.transformer.dtype
        generator = torch.Generator().manual_seed(SEED)
        ratio = pipe.vae_scale_factor
        rows, columns = height // ratio // 2, width // ratio // 2
        self.image_shape = [[(1, rows, columns)]]
        self.tokens = torch.randn(1, rows * columns, pipe.transformer.config.in_channels, generator=generator).to(self.dtype)
        latents = (1, pipe.vae.config.z_dim, 1, 2 * rows, 2 * columns)
        self.latents = torch.randn(latents, generator=generator).to(self.dtype)
        self.image = (torch.rand(1, 3, 1, height, width, generator=generator) * 2 - 1).to(self.dtype)
        ids = pipe.tokenizer([pipe.prompt_template_encode.format(PROMPT)]).input_ids[0]
        self.text_tokens = len(ids) - pipe.prompt_template_encode_start_idx
        width_of_text = pipe.transformer.config.joint_attention_dim
        self.embeds = torch.randn(1, self.text_tokens, width_of_text, generator=generator).to(self.dtype)

    def text_encoder(self) -> None:
        self.pipe.encode_prompt(PROMPT)

    def transformer(self) -> None:
        self.pipe.transformer(
            hidden_states=self.tokens,
            encoder_hidden_states=self.embeds,
            timestep=torch.tensor([0.5], dtype=self.dtype),
            img_shapes=self.image_shape,
            return_dict=False,
        )

    def vae_encode(self) -> None:
        self.pipe.vae.encode(self.image, return_dict=False)

    def vae_decode(self) -> None:
        self.pipe.vae.decode(self.latents, return_dict=False)

    def picture(self) -> None:
        self.pipe(
            prompt=PROMPT,
            negative_prompt=" ",
            true_cfg_scale=self.true_cfg_scale,
            num_inference_steps=self.steps,
            generator=torch.Generator().manual_seed(SEED),
            **self.size,
        )


def timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def load(folder: Path, dtype: torch.dtype) -> QwenImagePipeline:
    pipe = QwenImagePipeline.from_pretrained(folder, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.inference_mode()
def measure(options: argparse.Namespace) -> dict[str, float]:
    started = time.perf_counter()
    pipe = load(options.model, getattr(torch, options.dtype))
    loaded = time.perf_counter() - started
    work = Work(pipe, options.width, options.height, options.steps, options.cfg)

    seconds = {}
    if "load" in options.stages:
        # Mapped pages are paid for by the first use of each weight, so loading alone says little.
        forwards = sum(timed(stage) for stage in (work.text_encoder, work.transformer, work.vae_encode, work.vae_decode))
        seconds |= {"load": loaded, "load_first_forward": loaded + forwards}
    for name in options.stages:
        if name == "load":
            continue
        stage = getattr(work, name)
        stage()
        seconds[name] = statistics.median(timed(stage) for _ in range(options.repeat))
    return seconds


def arguments() -> argparse.Namespace:
    def stages(text: str) -> list[str]:
        names = text.split(",")
        unknown = set(names) - set(STAGES)
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
        return names

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cfg", type=float, default=4.0, help="true_cfg_scale; 1 is no guidance")
    parser.add_argument("--stages", type=stages, default=list(STAGES), help="comma-separated")
    parser.add_argument("--repeat", type=int, default=3, help="timed runs of a stage after one that warms it up")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    warnings.filterwarnings("ignore")
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(options.threads)

    before = resident()
    with PeakMemory() as peak:
        seconds = measure(options)
    after = resident()
    rollup = memory("/proc/self/smaps_rollup", ("Pss", "Pss_Anon", "Pss_File"))
    result = {
        "engine": "diffusers",
        "versions": {
            "diffusers": diffusers.__version__, "transformers": transformers.__version__, "torch": torch.__version__,
        },
        **vars(options),
        "model": str(options.model),
        "seconds": seconds,
        "memory": {
            "peak": after["VmHWM"],
            "peakAnonymous": peak.anonymous,
            "peakMapped": peak.mapped,
            # Python and the libraries, before the model.
            "beforeLoad": before["VmRSS"],
            "end": {**after, **rollup},
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
