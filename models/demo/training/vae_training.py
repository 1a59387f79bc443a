"""Trains the VAE on windows of freshly drawn scenes, or refines its decoder alone.

Loss: L1 + 2 MSE + 0.5 L1 of the picture's gradients + 1e-3 KL. The decoder sees noise beside the posterior's, so that it
forgives small errors of the flow model. Windows are 64 px mostly, with 128 and 256 px among them so that the attention
meets every length. A refinement leaves the encoder, hence all latents and their statistics, as they are.
"""

import math
import queue
import random
import threading
import time
from dataclasses import dataclass

import numpy as np
import torch

from muon import Muon
from scenes import draw, sample_scene
from vae2d import VAE2D
from workdir import WorkDir, save_whole

SIDES = [128, 160, 192, 256, 256, 320]
LOG_STEPS, CHECKPOINT_STEPS = 50, 100


@dataclass(frozen=True)
class VaeSettings:
    steps: int
    seed: int
    matrix_rate: float
    other_rate: float
    warmup_steps: int
    hold_share: float
    latent_noise: float
    average_decay: float
    decoder_only: bool = False
    threads: int = 2


WHOLE = dict(
    seed=7, matrix_rate=0.02, other_rate=0.002, warmup_steps=50, hold_share=0.2, latent_noise=0.1, average_decay=0.997
)
DECODER = dict(
    seed=8, matrix_rate=0.01, other_rate=0.0015, warmup_steps=30, hold_share=0.02, latent_noise=0.07, average_decay=0.99,
    decoder_only=True,
)


def window(rng: random.Random, side: int) -> np.ndarray:
    """`[side, side, 3]` of a larger scene, mostly near the outline of a shape."""
    whole = max(rng.choice(SIDES), side)
    scene = sample_scene(rng)
    picture = draw(scene, whole, whole)
    if whole == side:
        return picture
    if scene["shapes"] and rng.random() < 0.85:
        shape, angle = rng.choice(scene["shapes"]), rng.uniform(0, 2 * math.pi)
        x = (shape["cx"] + math.cos(angle) * shape["r"] * 0.8) * whole + rng.uniform(-side, side) * 0.4
        y = (shape["cy"] + math.sin(angle) * shape["r"] * 0.8) * whole + rng.uniform(-side, side) * 0.4
    else:
        x, y = rng.uniform(0, whole), rng.uniform(0, whole)
    left = int(min(whole - side, max(0, x - side / 2)))
    top = int(min(whole - side, max(0, y - side / 2)))
    return picture[top : top + side, left : left + side]


def batch(seed: int, step: int) -> torch.Tensor:
    """`[B, 3, side, side]` in -1..1, the same for the same seed and step."""
    rng = random.Random(f"vae/{seed}/{step}")
    kind = rng.random()
    side, count = (64, 16) if kind < 0.72 else (128, 4) if kind < 0.92 else (256, 1)
    pixels = np.stack([window(rng, side) for _ in range(count)]).round()
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last) / 127.5 - 1


class BatchesAhead:
    """Draws the next batches in a thread."""

    def __init__(self, seed: int, first_step: int, last_step: int):
        self.waiting: queue.Queue = queue.Queue(8)
        steps = range(first_step, last_step)
        threading.Thread(target=lambda: [self.waiting.put(batch(seed, s)) for s in steps], daemon=True).start()

    def next(self) -> torch.Tensor:
        return self.waiting.get()


def rate_share(step: int, settings: VaeSettings) -> float:
    done = step / settings.steps
    fall = 1 if done < settings.hold_share else 1.01 - (done - settings.hold_share) / (1 - settings.hold_share)
    return min(1, (step + 1) / settings.warmup_steps) * fall


def losses(pictures: torch.Tensor, decoded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """L1, MSE, and L1 of the gradients."""
    difference = decoded - pictures
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    return difference.abs().mean(), difference.square().mean(), across + down


class VaeTrainer:
    def __init__(self, work: WorkDir, settings: VaeSettings):
        torch.manual_seed(settings.seed)
        self.work, self.settings = work, settings
        self.vae = work.load_vae() if work.vae.exists() else VAE2D().to(memory_format=torch.channels_last)
        trained = {
            name: p for name, p in self.vae.named_parameters()
            if not settings.decoder_only or name.startswith(("decoder", "post_quant"))
        }
        for name, parameter in self.vae.named_parameters():
            parameter.requires_grad_(name in trained)
        kernels = {n for n, p in trained.items() if p.dim() == 4 and "conv_out" not in n and "quant" not in n}
        self.parameters, self.average = trained, {n: p.detach().clone() for n, p in trained.items()}
        others = [p for n, p in trained.items() if n not in kernels]
        self.optimizers = [
            torch.optim.AdamW(others, lr=settings.other_rate, betas=(0.9, 0.99), weight_decay=0.0),
            Muon([p for n, p in trained.items() if n in kernels], lr=settings.matrix_rate, momentum=0.9),
        ]
        self.rates = [settings.other_rate, settings.matrix_rate]

    def step(self, step: int, pictures: torch.Tensor) -> tuple[float, float]:
        settings, generator = self.settings, torch.Generator().manual_seed(self.settings.seed * 1_000_003 + step)
        for optimizer, rate in zip(self.optimizers, self.rates):
            optimizer.param_groups[0]["lr"] = rate * rate_share(step, settings)
            optimizer.zero_grad(set_to_none=True)
        with torch.set_grad_enabled(not settings.decoder_only):
            mean, log_variance = self.vae.encode(pictures)
        log_variance = log_variance.clamp(-12, 4)
        latents = mean + settings.latent_noise * torch.randn(mean.shape, generator=generator)
        if not settings.decoder_only:
            latents = latents + torch.randn(mean.shape, generator=generator) * (log_variance * 0.5).exp()
        l1, mse, gradients = losses(pictures, self.vae.decode(latents))
        loss = l1 + 2 * mse + 0.5 * gradients
        if not settings.decoder_only:
            loss = loss + 1e-3 * 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        decay = min(settings.average_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay)
        return l1.item(), mse.item()

    def save(self, finished: int) -> None:
        weights = {**self.vae.state_dict(), **self.average}
        refined = self.settings.decoder_only and finished == self.settings.steps
        save_whole({"weights": weights, "step": finished, "refined": refined}, self.work.vae)


def is_refined(work: WorkDir) -> bool:
    return torch.load(work.vae).get("refined", False)


def train(work: WorkDir, settings: VaeSettings) -> None:
    """From the weights in `work.vae` where there are any; an ended run starts its schedule anew from what it saved."""
    torch.set_num_threads(settings.threads)
    trainer, ahead = VaeTrainer(work, settings), BatchesAhead(settings.seed, 0, settings.steps)
    begun, recent = time.time(), []
    for step in range(settings.steps):
        recent.append(trainer.step(step, ahead.next()))
        done = step + 1
        if done % LOG_STEPS == 0 or done == settings.steps:
            l1, mse = np.mean(recent, 0)
            left = (settings.steps - done) * (time.time() - begun) / done / 60
            print(f"step {done}/{settings.steps} L1 {l1:.4f} MSE {mse:.5f} left {left:.0f} min", flush=True)
            recent.clear()
        if done % CHECKPOINT_STEPS == 0 or done == settings.steps:
            trainer.save(done)


@torch.no_grad()
def psnr(work: WorkDir, count: int, side: int = 256, seed: str = "psnr") -> float:
    """Mean over whole pictures, encoded and decoded without noise, in dB."""
    vae, values = work.load_vae(), []
    for i in range(count):
        pixels = draw(sample_scene(random.Random(f"{seed}/{i}")), side, side).round()
        picture = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
        error = (vae.decode(vae.encode(picture)[0]).clamp(-1, 1) - picture).square().mean().item()
        values.append(10 * math.log10(4 / error))
    return float(np.mean(values))
