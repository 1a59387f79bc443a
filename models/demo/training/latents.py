"""Pictures drawn afresh and their latents, and the statistics by which latents are normalised.

Picture i of a pool is drawn from the seed "SEED/WIDTHxHEIGHT/i", so the data of any training step can be made again.
"""

import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

import scenes


@dataclass(frozen=True)
class Shares:
    """Shares of scenes without a shape and with one, the rest have two; and how many times as often a trait is drawn."""

    empty: float = 0.03
    one: float = 0.63
    emphasis: tuple[tuple[str, float], ...] = ()


def drawn(seed: str, indices, width: int, height: int, shares: Shares) -> tuple[list[dict], torch.Tensor]:
    """Scenes and their pictures `[N, 3, height, width]` in -1..1, at 8-bit values as files have."""
    chosen = [
        scenes.emphasised_scene(random.Random(f"{seed}/{width}x{height}/{i}"), shares.empty, shares.one, shares.emphasis)
        for i in indices
    ]
    pixels = np.stack([scenes.draw(scene, width, height) for scene in chosen]).round()
    return chosen, torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


@torch.no_grad()
def encoded(vae, pictures: torch.Tensor) -> torch.Tensor:
    """Posterior means `[N, C, height/8, width/8]`."""
    return vae.encode(pictures.contiguous(memory_format=torch.channels_last))[0].contiguous()


class Pool:
    """The latest `size` pictures of one shape; every draw replaces the oldest, so each is used about `reuse` times."""

    ENCODED_AT_ONCE = 8

    def __init__(self, vae, normalise, seed: str, width: int, height: int, size: int, reuse: float, shares: Shares):
        self.vae, self.normalise, self.seed, self.shares = vae, normalise, seed, shares
        self.width, self.height, self.size, self.reuse = width, height, size, reuse
        self.entries: deque = deque(maxlen=size)
        self.made = 0

    def end(self, used: int) -> int:
        """How many pictures exist once `used` samples have been drawn."""
        return self.size + int(used / self.reuse)

    def advance(self, used: int) -> None:
        end = self.end(used)
        self.made = max(self.made, end - self.size)  # after a resumption, what would have left the pool is not made
        while self.made < end:
            indices = range(self.made, min(end, self.made + self.ENCODED_AT_ONCE))
            chosen, pictures = drawn(self.seed, indices, self.width, self.height, self.shares)
            latents = self.normalise(encoded(self.vae, pictures))
            self.entries.extend(zip(chosen, latents))
            self.made = indices.stop

    def sample(self, rng: random.Random, count: int, used: int) -> tuple[list[dict], torch.Tensor]:
        """`count` scenes and normalised latents `[count, C, height/8, width/8]`, after `used` samples before them."""
        self.advance(used)
        picked = rng.sample(range(self.size), min(count, self.size))
        return [self.entries[i][0] for i in picked], torch.stack([self.entries[i][1] for i in picked])


def statistics(vae, seed: str, count: int, side: int = 128) -> dict[str, list[float]]:
    """Mean and standard deviation of each latent channel over `count` pictures."""
    latents = []
    for start in range(0, count, Pool.ENCODED_AT_ONCE):
        _, pictures = drawn(seed, range(start, min(count, start + Pool.ENCODED_AT_ONCE)), side, side, Shares())
        latents.append(encoded(vae, pictures).transpose(0, 1).flatten(1))
    values = torch.cat(latents, 1).double()
    return {"mean": [round(v, 5) for v in values.mean(1).tolist()], "std": [round(v, 5) for v in values.std(1).tolist()]}
