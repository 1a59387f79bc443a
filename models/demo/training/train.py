"""Makes the demo model. One stage at a time, or all of them; see README.md.

    python train.py [--work FOLDER] STAGE [options]
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import evaluate
import flow
import latents
import smoke
import tokenizer
import vae_training
from import_folder import import_folder
from recipe import DECODER_STEPS, FLOW_STRETCHES, VAE_STEPS
from save import save_folder
from workdir import WorkDir

STATISTICS_SEED, STATISTICS_PICTURES = "statistics", 4000


def train_vae(work: WorkDir, steps: int, decoder_only: bool = False) -> None:
    shared = vae_training.DECODER if decoder_only else vae_training.WHOLE
    before = f"{vae_training.psnr(work, 12):.2f}" if work.vae.exists() else "none"
    vae_training.train(work, vae_training.VaeSettings(steps=steps, **shared))
    print(f"PSNR of 12 whole pictures: {before} before, {vae_training.psnr(work, 12):.2f} dB after")


def measure_latents(work: WorkDir, pictures: int) -> None:
    measured = latents.statistics(work.load_vae(), STATISTICS_SEED, pictures)
    work.statistics.write_text(json.dumps(measured))
    print(measured)


def run_all(work: WorkDir, folder: Path, share: float) -> None:
    """Every stage that has not been done yet, with `share` of the recipe's steps; then saves and evaluates."""
    if not work.tokenizer.exists():
        tokenizer.write(work.tokenizer)
    if not work.vae.exists():
        train_vae(work, max(1, round(VAE_STEPS * share)))
    if not vae_training.is_refined(work):
        train_vae(work, max(1, round(DECODER_STEPS * share)), decoder_only=True)
    if not work.statistics.exists():
        measure_latents(work, max(8, round(STATISTICS_PICTURES * share)))
    for stretch in FLOW_STRETCHES:
        flow.train_once(work, replace(stretch, **flow.shortened(stretch, share)))
    save_folder(work, folder)
    evaluate.run(evaluate.parsed([str(folder)]))


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    whole.add_argument("--work", type=Path, default=Path("demo-work"), help="where the stages leave their files")
    stages = whole.add_subparsers(dest="stage", required=True)
    stages.add_parser("tokenizer", help="build the tokenizer")
    stages.add_parser("vae", help="train the VAE").add_argument("--steps", type=int, default=VAE_STEPS)
    stages.add_parser("decoder", help="refine the decoder alone").add_argument("--steps", type=int, default=DECODER_STEPS)
    counted = stages.add_parser("latents", help="measure mean and deviation of the latents")
    counted.add_argument("--pictures", type=int, default=STATISTICS_PICTURES)
    flow.add_arguments(stages.add_parser("flow", help="train text encoder and transformer: one stretch, or the rest of one"))
    stages.add_parser("import", help="start from a saved model").add_argument("folder", type=Path)
    stages.add_parser("save", help="write the model's folder").add_argument("folder", type=Path)
    evaluate.add_arguments(stages.add_parser("evaluate", help="draw prompts and judge the pictures"))
    everything = stages.add_parser("all", help="all of it, from nothing to an evaluated folder")
    everything.add_argument("folder", type=Path)
    everything.add_argument("--share", type=float, default=1.0, help="of the recipe's steps: the budget")
    stages.add_parser("smoke", help="every stage for some steps, with checks; about a minute")
    return whole


def main() -> None:
    arguments = parser().parse_args()
    if arguments.stage == "evaluate":
        return evaluate.run(arguments)
    if arguments.stage == "smoke":
        return smoke.run()
    work = WorkDir(arguments.work)
    if arguments.stage == "tokenizer":
        tokenizer.write(work.tokenizer)
    elif arguments.stage in ("vae", "decoder"):
        train_vae(work, arguments.steps, decoder_only=arguments.stage == "decoder")
    elif arguments.stage == "latents":
        measure_latents(work, arguments.pictures)
    elif arguments.stage == "flow":
        flow.run(work, arguments)
    elif arguments.stage == "import":
        import_folder(arguments.folder, work)
    elif arguments.stage == "save":
        save_folder(work, arguments.folder)
    else:
        run_all(work, arguments.folder, arguments.share)


if __name__ == "__main__":
    main()
