"""Every stage for a few steps in a folder of its own, and what must hold of them."""

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import evaluate
import flow
import latents
import scenes
import tokenizer
import vae_training
from import_folder import import_folder
from save import save_folder
from vae2d import to_diffusers
from workdir import WorkDir

STATE_LIMIT = 60_000_000  # bytes
STRETCH = flow.Settings(
    seed=3, steps=4, warmup_steps=2, decay_steps=2, tokens_per_batch=64, sizes="64x64:1,64x96:1", pool=8, reuse=4, log_steps=2
)


def must(holds: bool, what: str) -> None:
    if not holds:
        raise RuntimeError(f"does not hold: {what}")
    print(f"  holds: {what}")


def check_judge() -> None:
    chosen = evaluate.prompts(1, 200, list(evaluate.GROUPS[1:]))
    results = evaluate.judge_truth(chosen, evaluate.Drawing())
    right = sum(all(r["seen"].values()) for r in results)
    must(right >= 198, f"the judge finds {right} of 200 drawn scenes right, at least 198")


def check_emphasis() -> None:
    """A trait drawn k times as often has k times the odds; of 2000 scenes 140 have a gradient without it."""

    def odds(text: str) -> float:
        emphasis = flow.parsed_emphasis(text)
        chosen = [scenes.emphasised_scene(random.Random(f"smoke/{i}"), 0.03, 0.63, emphasis) for i in range(2000)]
        gradients = sum(scene["bgkind"] == "gradient" for scene in chosen)
        return gradients / (len(chosen) - gradients)

    ratio = odds("gradient:3") / odds("")
    must(2.2 < ratio < 4, f"gradients drawn three times as often come {ratio:.2f} times as often, 3 within chance")


def check_vae(work: WorkDir) -> None:
    """One picture through the 2-D mirror and through the class of diffusers."""
    vae, picture = work.load_vae(), latents.drawn("smoke", [0], 64, 64, latents.Shares())[1]
    whole = to_diffusers(vae.state_dict(), [0.0] * 8, [1.0] * 8)
    with torch.no_grad():
        mean = vae.encode(picture)[0]
        off = (whole.encode(picture.unsqueeze(2)).latent_dist.mean.squeeze(2) - mean).abs().max().item()
        off = max(off, (whole.decode(mean.unsqueeze(2)).sample.squeeze(2) - vae.decode(mean)).abs().max().item())
    must(off < 1e-4, f"the VAE's two forms differ by {off:.1e}, less than 1e-4 of values up to 1")


def check_resumption(work: WorkDir) -> None:
    """A stretch that was ended half-way goes on with the same data; only its first moments were rounded."""
    settings = STRETCH
    whole, parts = flow.Trainer(work, settings), flow.Trainer(work, settings)
    data = flow.Data(work, settings, 0)
    losses = [whole.train_step(data)[0] for _ in range(settings.steps)]
    half, data = settings.steps // 2, flow.Data(work, settings, 0)
    again = [parts.train_step(data)[0] for _ in range(half)]
    parts.save(0.0)
    size = work.flow.stat().st_size
    must(size < STATE_LIMIT, f"the state takes {size / 1e6:.1f} MB, less than {STATE_LIMIT / 1e6:.0f}")
    resumed = flow.Trainer(work, settings)
    resumed.load(torch.load(work.flow), new_stretch=False)
    data = flow.Data(work, settings, resumed.step)
    again += [resumed.train_step(data)[0] for _ in range(settings.steps - half)]
    must(losses[: half + 1] == again[: half + 1], "losses are the same up to the first step after a resumption")
    off = abs(losses[-1] - again[-1])
    must(off < 1e-3, f"the last loss differs by {off:.1e}, less than 1e-3")
    work.flow.unlink()


def check_folder(work: WorkDir, folder: Path) -> None:
    """What is saved is what was trained, drawn with by the real pipeline."""
    again = WorkDir(work.root / "imported")
    import_folder(folder, again)
    saved, trained = torch.load(again.flow)["weights"], flow.load_weights(torch.load(work.flow), averaged=True)
    must(all(torch.equal(saved[n], trained[n].bfloat16().float()) for n in trained), "the folder has the averaged weights in bfloat16")
    words = [str(folder), "--count", "1", "--size", "64x64", "--steps", "2", "--image-to-image", "1"]
    evaluate.run(evaluate.parsed(words))


def run() -> None:
    with tempfile.TemporaryDirectory() as place:
        work, folder = WorkDir(Path(place) / "work"), Path(place) / "model"
        check_judge()
        check_emphasis()
        tokenizer.write(work.tokenizer)
        vae_training.train(work, vae_training.VaeSettings(steps=2, **vae_training.WHOLE))
        must(not vae_training.is_refined(work), "the decoder is still to be refined")
        vae_training.train(work, vae_training.VaeSettings(steps=2, **vae_training.DECODER))
        must(vae_training.is_refined(work), "the decoder is refined")
        check_vae(work)
        work.statistics.write_text('{"mean": [0, 0, 0, 0, 0, 0, 0, 0], "std": [1, 1, 1, 1, 1, 1, 1, 1]}')
        check_resumption(work)
        flow.train_once(work, STRETCH)
        flow.train_once(work, replace(STRETCH, seed=4))
        must(len(torch.load(work.flow)["finished"]) == 2, "two stretches are finished")
        save_folder(work, folder)
        check_folder(work, folder)
    print("smoke: all of it holds")
