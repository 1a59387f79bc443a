"""Draws prompts that training never saw with the real QwenImagePipeline and lets the judge look at the pictures.

Prompt i is the scene and caption of the seed "evaluation-SEED/i", its noise that of seed 1000 + i. With --url a running
service draws the same requests and its 8-bit values are compared with the pipeline's.
"""

import argparse
import io
import json
import random
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from captions import caption
from judge import ATTRIBUTES, judged
from scenes import COLOR_NAMES, SHAPES, colour, draw, sample_scene

GROUPS = ("all", "one", "two", "inside", "empty")
NEAR_HALF = 0.01  # a value so near x.5 before rounding may round the other way in an equally right computation


@dataclass(frozen=True)
class Drawing:
    width: int = 256
    height: int = 256
    steps: int = 20
    guidance: float = 4.0
    negative_prompt: str = " "


def group(scene: dict) -> str:
    return "inside" if scene.get("rel") == "inside" else scene["kind"]


def prompts(seed: int, count: int, groups: list[str]) -> list[tuple[int, dict, str]]:
    """(index, scene, caption) of the first `count` scenes of these groups."""
    found, index = [], 0
    while len(found) < count:
        rng = random.Random(f"evaluation-{seed}/{index}")
        scene = sample_scene(rng)
        if group(scene) in groups:
            found.append((index, scene, caption(scene, rng)))
        index += 1
    return found


def altered(scene: dict, rng: random.Random) -> tuple[dict, str]:
    """A scene of one shape with its colour or, every other time, its form changed; and which."""
    shape = dict(scene["shapes"][0])
    what = rng.choice(["color", "shape"])
    taken = [*scene["bgcolors"], shape["color"]]
    shape[what] = rng.choice([v for v in (COLOR_NAMES if what == "color" else SHAPES) if v != shape[what] and v not in taken])
    new = {**scene, "shapes": [shape]}
    colour(new, rng)
    return new, what


class Pipelines:
    """Text to image and image to image on the same parts, in float32."""

    def __init__(self, folder: Path):
        from diffusers import QwenImageImg2ImgPipeline, QwenImagePipeline

        self.text_to_image = QwenImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
        self.image_to_image = QwenImageImg2ImgPipeline(**self.text_to_image.components)
        for pipeline in (self.text_to_image, self.image_to_image):
            pipeline.set_progress_bar_config(disable=True)

    def draw(self, prompt: str, seed: int, drawing: Drawing, start: Image.Image | None = None, strength: float = 1.0):
        """float32 `[height, width, 3]` in 0..1."""
        arguments = dict(
            prompt=prompt, negative_prompt=drawing.negative_prompt, true_cfg_scale=drawing.guidance, width=drawing.width,
            height=drawing.height, num_inference_steps=drawing.steps, output_type="np",
            generator=torch.Generator().manual_seed(seed),
        )
        if start is None:
            return self.text_to_image(**arguments).images[0]
        return self.image_to_image(**arguments, image=start, strength=strength).images[0]


def to_8_bits(picture: np.ndarray) -> np.ndarray:
    return (picture * 255).round().astype(np.uint8)


def served(url: str, prompt: str, seed: int, drawing: Drawing) -> np.ndarray:
    """The picture of a running service, `[height, width, 3]` 8 bits."""
    body = {
        "prompt": prompt, "negative_prompt": drawing.negative_prompt, "width": drawing.width, "height": drawing.height,
        "num_inference_steps": drawing.steps, "true_cfg_scale": drawing.guidance, "seed": seed,
    }
    headers = {"content-type": "application/json", "accept": "image/png"}
    request = urllib.request.Request(f"{url.rstrip('/')}/text-to-image", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))


def compared(pipeline: np.ndarray, service: np.ndarray) -> dict[str, int]:
    """How many 8-bit values differ, by how much at most, and how many of them were not near x.5 before rounding."""
    difference = np.abs(to_8_bits(pipeline).astype(int) - service.astype(int))
    near = np.abs(np.modf(pipeline.astype(np.float64) * 255)[0] - 0.5) <= NEAR_HALF
    return {
        "values": difference.size, "differing": int((difference > 0).sum()), "greatest": int(difference.max()),
        "unexplained": int(((difference > 0) & ~near).sum()),
    }


def table(results: list[dict]) -> list[str]:
    lines = [f"{'':8}{'n':>4} " + " ".join(f"{a:>10}" for a in ATTRIBUTES) + f" {'everything':>10}"]
    for name in GROUPS:
        seen = [r["seen"] for r in results if name in ("all", r["group"])]
        if seen:
            shares = [np.mean([s[a] for s in seen]) for a in ATTRIBUTES] + [np.mean([all(s.values()) for s in seen])]
            lines.append(f"{name:8}{len(seen):4d} " + " ".join(f"{share:10.3f}" for share in shares))
    return lines


def result(index: int, name: str, prompt: str, seen: dict) -> dict:
    return {"index": index, "group": name, "prompt": prompt, "seen": {key: bool(value) for key, value in seen.items()}}


class Reporter:
    """One line every ten pictures, with the time left."""

    def __init__(self, total: int):
        self.total, self.begun, self.done, self.right = total, time.time(), 0, 0

    def add(self, seen: dict) -> None:
        self.done += 1
        self.right += all(seen.values())
        if self.done % 10 == 0 or self.done == self.total:
            each = (time.time() - self.begun) / self.done
            left = (self.total - self.done) * each / 60
            print(f"  {self.done}/{self.total}, all right in {self.right}, {each:.2f} s each, {left:.1f} min left", flush=True)


def judge_truth(chosen, drawing: Drawing) -> list[dict]:
    return [
        result(i, group(scene), text, judged(scene, draw(scene, drawing.width, drawing.height).round()))
        for i, scene, text in chosen
    ]


def text_to_image(pipelines: Pipelines, chosen, drawing: Drawing, url: str | None, compare: int) -> tuple[list[dict], list[dict]]:
    results, comparisons, reporter = [], [], Reporter(len(chosen))
    for i, scene, text in chosen:
        picture = pipelines.draw(text, 1000 + i, drawing)
        results.append(result(i, group(scene), text, judged(scene, to_8_bits(picture))))
        if url is not None and len(comparisons) < compare:
            comparisons.append({"index": i, **compared(picture, served(url, text, 1000 + i, drawing))})
        reporter.add(results[-1]["seen"])
    return results, comparisons


def by_service(folder: Path, chosen, drawing: Drawing, url: str, compare: int) -> tuple[list[dict], list[dict]]:
    """As `text_to_image`, of the service's pictures; the pipeline draws those that are compared."""
    results, comparisons, reporter = [], [], Reporter(len(chosen))
    pipelines = Pipelines(folder) if compare else None
    for i, scene, text in chosen:
        picture = served(url, text, 1000 + i, drawing)
        results.append(result(i, group(scene), text, judged(scene, picture)))
        if len(comparisons) < compare:
            comparisons.append({"index": i, **compared(pipelines.draw(text, 1000 + i, drawing), picture)})
        reporter.add(results[-1]["seen"])
    return results, comparisons


def image_to_image(pipelines: Pipelines, chosen, drawing: Drawing, strength: float) -> list[dict]:
    """Start pictures are drawn scenes; the caption asks for another colour or another form of the shape."""
    results, reporter = [], Reporter(len(chosen))
    for i, scene, _ in chosen:
        rng = random.Random(f"alteration/{i}")
        new, what = altered(scene, rng)
        start = Image.fromarray(draw(scene, drawing.width, drawing.height).round().astype(np.uint8))
        text = caption(new, rng)
        picture = pipelines.draw(text, 1000 + i, drawing, start, strength)
        results.append(result(i, what, text, judged(new, to_8_bits(picture))))
        reporter.add(results[-1]["seen"])
    return results


def print_results(results: list[dict]) -> None:
    print("\n".join(table(results)))
    for miss in (r for r in results if not all(r["seen"].values())):
        print("  miss:", ", ".join(a for a, right in miss["seen"].items() if not right), "|", miss["prompt"])


def print_comparison(comparisons: list[dict]) -> None:
    total = Counter()
    for one in comparisons:
        total.update({key: one[key] for key in ("values", "differing", "unexplained")})
    equal = sum(one["differing"] == 0 for one in comparisons)
    print(
        f"service and pipeline: {len(comparisons)} pictures, {equal} equal in every value; {total['differing']} of "
        f"{total['values']} values differ, by at most {max(one['greatest'] for one in comparisons)}; "
        f"{total['unexplained']} of them were not within {NEAR_HALF} of x.5 before rounding"
    )


def print_alterations(results: list[dict]) -> None:
    for what in ("color", "shape"):
        seen = [r["seen"] for r in results if r["group"] == what]
        if seen:
            kept = " ".join(f"{a} {np.mean([s[a] for s in seen]):.3f}" for a in ATTRIBUTES)
            print(f"another {what}: n {len(seen)} {kept} everything {np.mean([all(s.values()) for s in seen]):.3f}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20262)
    parser.add_argument("--groups", default=",".join(GROUPS[1:]), help="scenes to take: one, two, inside, empty")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--truth", action="store_true", help="judge drawn scenes instead of the model's pictures")
    parser.add_argument("--image-to-image", type=int, default=0, metavar="N", help="also N pictures changed in one attribute")
    parser.add_argument("--strength", type=float, default=0.7)
    parser.add_argument("--url", help="a running service with the same model, to compare pictures with")
    parser.add_argument("--compare", type=int, default=24, help="how many pictures to compare")
    parser.add_argument("--by-service", action="store_true", help="judge the pictures of --url; the pipeline draws the compared ones only: faster")
    parser.add_argument("--json", type=Path, help="file for all results")
    parser.add_argument("--threads", type=int, default=2)


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """`words`: the command line when absent."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    return parser.parse_args(words)


def run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    width, height = map(int, arguments.size.split("x"))
    drawing = Drawing(width, height, arguments.steps, arguments.guidance)
    chosen = prompts(arguments.seed, arguments.count, arguments.groups.split(","))
    report: dict = {"folder": str(arguments.folder), "seed": arguments.seed, **asdict(drawing)}
    print(" ".join(f"{key} {value!r}" for key, value in report.items()), flush=True)
    if arguments.truth:
        report["truth"] = judge_truth(chosen, drawing)
        print("\n".join(["the judge on drawn scenes", *table(report["truth"])]))
    elif arguments.by_service:
        results, comparisons = by_service(arguments.folder, chosen, drawing, arguments.url, arguments.compare)
        report |= {"drawnBy": "service", "results": results, "comparisons": comparisons}
        print_results(results)
        if comparisons:
            print_comparison(comparisons)
    else:
        pipelines = Pipelines(arguments.folder)
        if chosen:
            results, comparisons = text_to_image(pipelines, chosen, drawing, arguments.url, arguments.compare)
            report |= {"results": results, "comparisons": comparisons}
            print_results(results)
            if comparisons:
                print_comparison(comparisons)
        if arguments.image_to_image:
            starts = prompts(arguments.seed + 1, arguments.image_to_image, ["one"])
            report["imageToImage"] = {"strength": arguments.strength, "results": image_to_image(pipelines, starts, drawing, arguments.strength)}
            print_alterations(report["imageToImage"]["results"])
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    run(parsed())
