"""What the stages leave for each other, in one folder outside the repository."""

import json
import os
from pathlib import Path

import torch

from vae2d import VAE2D


class WorkDir:
    def __init__(self, root: str | Path):
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.tokenizer = self.root / "tokenizer"
        self.vae = self.root / "vae.pt"
        self.statistics = self.root / "latent_statistics.json"
        self.flow = self.root / "flow.pt"

    def load_vae(self) -> VAE2D:
        vae = VAE2D()
        vae.load_state_dict(torch.load(self.vae)["weights"])
        return vae.eval().to(memory_format=torch.channels_last)

    def latent_statistics(self) -> dict[str, list[float]]:
        return json.loads(self.statistics.read_text())

    def normaliser(self):
        """Function from latents `[N, C, H, W]` to mean 0 and deviation 1."""
        read = self.latent_statistics()
        mean, std = (torch.tensor(read[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
        return lambda latents: (latents - mean) / std


def save_whole(value, path: Path) -> None:
    """Writes beside and renames: a kill leaves the former file."""
    beside = path.with_suffix(path.suffix + ".tmp")
    torch.save(value, beside)
    os.replace(beside, path)
