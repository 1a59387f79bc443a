"""Trains the text encoder and the transformer together by flow matching.

With clean latents x (normalised, packed `[B, S, 32]`), noise n and noise level s: the network sees s n + (1 - s) x and the
caption, and predicts n - x. Noise levels are s = k u / (1 + (k - 1) u) with u spread evenly over (0, 1) in each batch and
k the shift. One caption in ten is `" "`, which is the negative prompt of the finished model. Muon trains the matrices of
the blocks, AdamW all else; what is saved for use is the moving average of the weights.

The rate rises over the warm-up, stays, and falls in a straight line over the last steps of the stretch. Everything of
step i follows from (seed, i), so a stretch that was ended (SIGTERM saves first) goes on with the data it would have had.
"""

import argparse
import os
import random
import signal
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F

from captions import caption
from flow_state import load_weights, restore_optimizers, save_state
from latents import Pool, Shares
from muon import Muon
from networks import (
    PIXELS_PER_TOKEN, Prompts, build_text_encoder, build_transformer, load_tokenizer, pack, trained_parameters, velocity,
)
from scenes import TRAITS
from workdir import WorkDir

EMPTY_CAPTION = " "
EMPTY_CAPTION_SHARE = 0.1
SIGMA_BANDS = 4


@dataclass
class Settings:
    """One stretch. `sizes` gives the pictures' sizes and how often a step takes each; `emphasis` what is drawn more often."""

    seed: int = 0
    steps: int = 4000
    warmup_steps: int = 100
    decay_steps: int = 2400
    matrix_rate: float = 0.012
    other_rate: float = 0.0012
    last_rate_share: float = 0.01
    tokens_per_batch: int = 4096
    sigma_shift: float = 4.0
    average_decay: float = 0.997
    sizes: str = "256x256:1"
    empty_share: float = 0.03
    one_share: float = 0.63
    emphasis: str = ""
    pool: int = 1024
    reuse: float = 4.0
    checkpoint_steps: int = 100
    log_steps: int = 20
    threads: int = 2


def parsed_sizes(text: str) -> dict[tuple[int, int], float]:
    sizes = {}
    for part in text.split(","):
        size, share = part.split(":")
        width, height = map(int, size.split("x"))
        if width % PIXELS_PER_TOKEN or height % PIXELS_PER_TOKEN:
            raise ValueError(f"{size}: width and height must be multiples of {PIXELS_PER_TOKEN}")
        sizes[width, height] = float(share)
    return sizes


def parsed_emphasis(text: str) -> tuple[tuple[str, float], ...]:
    """As in "gradient:3,small:2"; factors are above 0."""
    parts = [part.split(":") for part in text.split(",") if part]
    if any(float(factor) <= 0 for _, factor in parts):
        raise ValueError(f"{text}: every factor must be above 0")
    unknown = sorted({trait for trait, _ in parts} - TRAITS)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no trait of a scene; there are {', '.join(sorted(TRAITS))}")
    return tuple((trait, float(factor)) for trait, factor in parts)


def rate_share(step: int, settings: Settings) -> float:
    """Of the full rate, at `step` of the stretch (from 0)."""
    warm = min(1.0, (step + 1) / settings.warmup_steps)
    left = (settings.steps - step) / settings.decay_steps
    return warm * max(settings.last_rate_share, min(1.0, left))


def noise_levels(count: int, shift: float, generator: torch.Generator) -> torch.Tensor:
    u = (torch.rand(1, generator=generator) + torch.arange(count) / count) % 1
    return shift * u / (1 + (shift - 1) * u)


def is_block_matrix(name: str, parameter: torch.Tensor) -> bool:
    in_block = "transformer_blocks" in name or "layers." in name
    return parameter.dim() == 2 and in_block and "_mod" not in name


class Data:
    """Batches by step. The size of step i is drawn from (seed, i), so pools know how far they are at any step."""

    def __init__(self, work: WorkDir, settings: Settings, first_step: int):
        self.settings = settings
        self.sizes = parsed_sizes(settings.sizes)
        total = sum(self.sizes.values())
        shares = Shares(settings.empty_share, settings.one_share, parsed_emphasis(settings.emphasis))
        vae, normalise = work.load_vae(), work.normaliser()
        self.pools = {
            size: Pool(
                vae, normalise, f"flow-{settings.seed}", *size,
                max(2 * self.batch_size(size), round(settings.pool * share / total)), settings.reuse, shares,
            )
            for size, share in self.sizes.items()
        }
        self.used = Counter()
        for step in range(first_step):
            self.used[self.size(step)] += self.batch_size(self.size(step))

    def size(self, step: int) -> tuple[int, int]:
        return random.Random(f"size/{self.settings.seed}/{step}").choices(list(self.sizes), list(self.sizes.values()))[0]

    def batch_size(self, size: tuple[int, int]) -> int:
        return max(1, round(self.settings.tokens_per_batch * PIXELS_PER_TOKEN**2 / (size[0] * size[1])))

    def batch(self, step: int) -> tuple[torch.Tensor, list[str], tuple[int, int]]:
        """Packed clean latents `[B, S, 32]`, captions, and the token grid (rows, columns)."""
        rng, size = random.Random(f"batch/{self.settings.seed}/{step}"), self.size(step)
        chosen, latents = self.pools[size].sample(rng, self.batch_size(size), self.used[size])
        self.used[size] += len(chosen)
        captions = [EMPTY_CAPTION if rng.random() < EMPTY_CAPTION_SHARE else caption(s, rng) for s in chosen]
        return pack(latents), captions, (size[1] // PIXELS_PER_TOKEN, size[0] // PIXELS_PER_TOKEN)


class Trainer:
    def __init__(self, work: WorkDir, settings: Settings):
        torch.manual_seed(settings.seed)
        tokenizer = load_tokenizer(work.tokenizer)
        self.text_encoder, self.transformer = build_text_encoder(tokenizer), build_transformer()
        self.prompts, self.settings, self.work = Prompts(tokenizer), settings, work
        self.parameters = trained_parameters(self.text_encoder, self.transformer)
        matrices = {n for n, p in self.parameters.items() if is_block_matrix(n, p)}
        self.others = [p for n, p in self.parameters.items() if n not in matrices]
        self.optimizers = [
            torch.optim.AdamW(self.others, lr=settings.other_rate, betas=(0.9, 0.98), weight_decay=0.0),
            Muon([self.parameters[n] for n in matrices_in_order(self.parameters, matrices)], lr=settings.matrix_rate),
        ]
        self.rates = [settings.other_rate, settings.matrix_rate]
        self.step, self.samples, self.cpu_seconds, self.finished = 0, 0, 0.0, []
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}

    def load(self, state: dict, new_stretch: bool) -> None:
        """Goes on where `state` ended; a new stretch starts from its averaged weights with fresh optimisers."""
        with torch.no_grad():
            for name, value in load_weights(state, averaged=new_stretch).items():
                self.parameters[name].copy_(value)
        self.average = load_weights(state, averaged=True)
        self.samples, self.cpu_seconds, self.finished = state["samples"], state["cpu_seconds"], state["finished"]
        if not new_stretch:
            self.step = state["step"]
            names = {parameter: name for name, parameter in self.parameters.items()}
            restore_optimizers(self.optimizers, names, state["optimizers"])

    def save(self, cpu_before: float) -> None:
        ended = self.step >= self.settings.steps
        progress = {
            "step": self.step, "samples": self.samples, "cpu_seconds": cpu_before + time.process_time(),
            "settings": asdict(self.settings), "finished": self.finished + [asdict(self.settings)] * ended,
        }
        save_state(self.work.flow, self.parameters, self.average, self.optimizers, progress)

    def train_step(self, data: Data) -> tuple[float, torch.Tensor, torch.Tensor]:
        """One update; the loss, and noise levels and losses of the pictures of the batch."""
        settings = self.settings
        share = rate_share(self.step, settings)
        for optimizer, rate in zip(self.optimizers, self.rates):
            optimizer.param_groups[0]["lr"] = rate * share
            optimizer.zero_grad(set_to_none=True)
        clean, captions, grid = data.batch(self.step)
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.step)
        sigma = noise_levels(len(clean), settings.sigma_shift, generator)
        noise = torch.randn(clean.shape, generator=generator)
        level = sigma.view(-1, 1, 1)
        ids, mask = self.prompts.batch(captions)
        noisy = level * noise + (1 - level) * clean
        predicted = velocity(self.text_encoder, self.transformer, noisy, ids, mask, sigma, grid)
        losses = F.mse_loss(predicted, noise - clean, reduction="none").mean(dim=(1, 2))
        loss = losses.mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.samples += len(clean)
        decay = min(settings.average_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay)
        return loss.item(), sigma, losses.detach()


def matrices_in_order(parameters: dict, matrices: set[str]) -> list[str]:
    return [name for name in parameters if name in matrices]


class Progress:
    """Lines with the loss by noise level (lowest quarter of the levels 0..1 first), speed and time left."""

    def __init__(self, trainer: Trainer):
        self.trainer, self.begun, self.first_step = trainer, time.time(), trainer.step
        self.sums, self.counts, self.pictures = torch.zeros(SIGMA_BANDS), torch.zeros(SIGMA_BANDS), 0

    def add(self, sigma: torch.Tensor, losses: torch.Tensor) -> None:
        bands = (sigma * SIGMA_BANDS).long().clamp_max(SIGMA_BANDS - 1)
        self.sums.index_add_(0, bands, losses)
        self.counts.index_add_(0, bands, torch.ones_like(losses))
        self.pictures += len(sigma)
        if self.trainer.step % self.trainer.settings.log_steps == 0:
            self.report()

    def report(self) -> None:
        trainer, seconds = self.trainer, time.time() - self.begun
        steps = trainer.settings.steps
        per_step = seconds / (trainer.step - self.first_step)
        bands = " ".join(f"{v:.4f}" for v in (self.sums / self.counts).tolist())
        print(
            f"step {trainer.step}/{steps} loss {self.sums.sum() / self.counts.sum():.4f} by level {bands} "
            f"{self.pictures / seconds:.1f} pictures/s rate x{rate_share(trainer.step - 1, trainer.settings):.2f} "
            f"left {(steps - trainer.step) * per_step / 60:.0f} min cpu {time.process_time() / 60:.1f} min",
            flush=True,
        )
        self.sums.zero_()
        self.counts.zero_()


def train(work: WorkDir, settings: Settings, new_stretch: bool, pid_file: Path | None = None) -> None:
    """A stretch, or the rest of one. `new_stretch` starts at step 0 from the averaged weights in `work.flow`."""
    torch.set_num_threads(settings.threads)
    if pid_file is not None:
        pid_file.write_text(str(os.getpid()))
    trainer = Trainer(work, settings)
    if work.flow.exists():
        trainer.load(torch.load(work.flow), new_stretch)
    data = Data(work, settings, trainer.step)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    progress, cpu_before = Progress(trainer), trainer.cpu_seconds
    while trainer.step < settings.steps and not ended:
        _, sigma, losses = trainer.train_step(data)
        progress.add(sigma, losses)
        if trainer.step % settings.checkpoint_steps == 0:
            trainer.save(cpu_before)
    trainer.save(cpu_before)
    print(f"saved at step {trainer.step} of {settings.steps}, {trainer.samples} samples in all", flush=True)


def train_once(work: WorkDir, settings: Settings) -> None:
    """The stretch of these settings: from the start, from where it was ended, or not at all where it is finished."""
    state = torch.load(work.flow) if work.flow.exists() else {"finished": [], "settings": None}
    if asdict(settings) not in state["finished"]:
        train(work, settings, new_stretch=state["settings"] != asdict(settings))


def shortened(settings: Settings, share: float) -> dict[str, int]:
    """Steps, and steps of warm-up and decay, of a stretch with this share of them."""
    names = ("steps", "warmup_steps", "decay_steps")
    return {name: max(1, round(getattr(settings, name) * share)) for name in names}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for field in fields(Settings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=field.type, default=field.default)
    parser.add_argument("--new-stretch", action="store_true", help="from step 0, averaged weights, fresh optimisers")
    parser.add_argument("--pid-file", type=Path, help="gets the process id, for SIGSTOP, SIGCONT and SIGTERM")


def run(work: WorkDir, arguments: argparse.Namespace) -> None:
    settings = Settings(**{field.name: getattr(arguments, field.name) for field in fields(Settings)})
    train(work, settings, arguments.new_stretch, arguments.pid_file)
