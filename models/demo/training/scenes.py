"""Random scenes and their drawing.

A scene is a dict: `kind` (empty, one, two), `bgkind` (plain, none, gradient, sunset), `bgcolors` (names), `bg` (what is
painted), `shapes` (in drawing order), and of two shapes `rel` and `ab` (in the order of the caption). Places and sizes
are fractions of the picture, radii of its shorter side, so one scene can be drawn at any size.
"""

import math
import random

import numpy as np

COLORS = {
    "red": (221, 38, 38), "green": (38, 160, 62), "blue": (38, 80, 221), "yellow": (247, 216, 40),
    "orange": (247, 140, 28), "purple": (130, 48, 180), "pink": (247, 136, 186), "cyan": (40, 204, 222),
    "white": (250, 250, 250), "black": (18, 18, 18), "gray": (128, 128, 128), "brown": (128, 78, 36),
}
COLOR_NAMES = list(COLORS)
SHAPES = ["circle", "square", "triangle", "star", "heart", "ring", "cross", "diamond", "moon"]
CONTAINERS = ["circle", "square", "diamond", "heart"]  # shapes that another can be inside of
PLACES = {  # centre as a fraction of width and height
    "left": (0.25, 0.5), "right": (0.75, 0.5), "top": (0.5, 0.25), "bottom": (0.5, 0.75), "center": (0.5, 0.5),
    "top left": (0.24, 0.24), "top right": (0.76, 0.24), "bottom left": (0.24, 0.76), "bottom right": (0.76, 0.76),
}
RELATIONS = {  # places of the first and the second shape
    "above": ("top", "bottom"), "below": ("bottom", "top"), "left of": ("left", "right"), "right of": ("right", "left"),
    "and": ("left", "right"), "inside": ("center", "center"),
}
TRAITS = {"plain", "none", "gradient", "sunset", "small", "large", *RELATIONS}  # what `traits` may tell of a scene
SUNSET_TOP, SUNSET_BOTTOM = (110, 40, 130), (250, 170, 60)


def star_distance(x, y):
    half_angle, inner = math.pi / 5, 0.44
    angle = np.mod(np.arctan2(x, -y) + half_angle, 2 * half_angle) - half_angle
    radius = np.sqrt(x * x + y * y)
    along, across = radius * np.cos(angle), np.abs(radius * np.sin(angle))
    edge_x, edge_y = inner * math.cos(half_angle) - 1, inner * math.sin(half_angle)
    return ((along - 1) * edge_y - across * edge_x) / math.hypot(edge_x, edge_y)


def heart_distance(x, y):
    """Two discs, a wedge below them, and a block that fills the gap between."""
    side, down = np.abs(x), y + 0.12
    lobe = np.sqrt((side - 0.46) ** 2 + (down + 0.28) ** 2) - 0.54
    wedge = np.maximum(side * 0.7372 + down * 0.6757 - 0.6245, -(down + 0.12))
    block = np.maximum(np.maximum(side - 0.46, down - 0.3), -down - 0.28)
    return np.minimum(lobe, np.minimum(wedge, block))


def signed_distance(shape: str, x, y):
    """Of the unit shape: negative inside, exact on the outline, slope about 1 near it; y points down."""
    if shape == "circle":
        return np.sqrt(x * x + y * y) - 1
    if shape == "ring":
        return np.abs(np.sqrt(x * x + y * y) - 0.76) - 0.24
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.86
    if shape == "diamond":
        return (np.abs(x) / 0.72 + np.abs(y) - 1) * 0.584
    if shape == "triangle":
        y = y - 0.1
        return np.maximum(np.maximum(y - 0.62, 0.866 * x - 0.5 * y - 0.56), -0.866 * x - 0.5 * y - 0.56)
    if shape == "cross":
        ax, ay = np.abs(x), np.abs(y)
        return np.minimum(np.maximum(ax - 0.96, ay - 0.32), np.maximum(ay - 0.96, ax - 0.32))
    if shape == "moon":
        return np.maximum(np.sqrt(x * x + y * y) - 1, 0.86 - np.sqrt((x - 0.48) ** 2 + (y + 0.1) ** 2))
    if shape == "star":
        return star_distance(x, y)
    if shape == "heart":
        return heart_distance(x, y)
    raise KeyError(shape)


def draw_background(background: tuple, width: int, height: int) -> np.ndarray:
    kind, top = background[0], np.float32(background[1])
    if kind == "plain":
        return np.broadcast_to(top, (height, width, 3)).copy()
    bottom = np.float32(background[2])
    down = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None, None]
    return np.broadcast_to(top * (1 - down) + bottom * down, (height, width, 3)).copy()


def draw(scene: dict, width: int, height: int) -> np.ndarray:
    """Antialiased, float32 `[height, width, 3]` in 0..255."""
    image = draw_background(scene["bg"], width, height)
    for shape in scene["shapes"]:
        cx, cy, r = shape["cx"] * width, shape["cy"] * height, shape["r"] * min(width, height)
        reach = r * 1.12 + 2
        x0, x1 = max(0, int(cx - reach)), min(width, int(cx + reach) + 1)
        y0, y1 = max(0, int(cy - reach)), min(height, int(cy + reach) + 1)
        if x1 <= x0 or y1 <= y0:
            continue
        x = (np.arange(x0, x1, dtype=np.float32) + 0.5 - cx)[None, :] / r
        y = (np.arange(y0, y1, dtype=np.float32) + 0.5 - cy)[:, None] / r
        cos, sin = math.cos(shape["rot"]), math.sin(shape["rot"])
        distance = signed_distance(shape["shape"], x * cos + y * sin, y * cos - x * sin)
        cover = np.clip(0.5 - distance * r, 0, 1)[..., None]
        window = image[y0:y1, x0:x1]
        window += (np.float32(shape["rgb"]) - window) * cover
    return image


def jittered(name: str, rng: random.Random) -> tuple:
    """The named colour, a little lighter or darker and a little off in each channel."""
    lighter = rng.uniform(-5, 5)
    return tuple(min(255, max(0, v + lighter + rng.uniform(-4, 4))) for v in COLORS[name])


def random_shape(rng: random.Random, colors: list[str], shapes: list[str] = SHAPES) -> dict:
    kind = rng.choice(shapes)
    color = rng.choice(colors)
    return {"shape": kind, "color": color, "rot": rng.uniform(-0.1, 0.1) if kind not in ("circle", "ring") else 0.0}


def place(shape: dict, x: float, y: float, radius: float, rng: random.Random, jitter: float) -> None:
    shape["r"] = radius
    margin = min(0.5, radius + 0.03)
    shape["cx"] = min(1 - margin, max(margin, x + rng.uniform(-jitter, jitter)))
    shape["cy"] = min(1 - margin, max(margin, y + rng.uniform(-jitter, jitter)))


def radius_range(size: str, position: str) -> tuple[float, float]:
    if size == "small":
        return 0.085, 0.125
    if size == "large":
        return (0.31, 0.38) if position in ("", "center") else (0.25, 0.3)
    return (0.14, 0.2) if position else (0.19, 0.25)


def one_shape(rng: random.Random, free: list[str]) -> dict:
    shape = random_shape(rng, free)
    shape["size"] = rng.choice(["", "", "", "small", "large"])
    shape["pos"] = "" if rng.random() < 0.45 else rng.choice(list(PLACES))
    x, y = PLACES[shape["pos"] or "center"]
    place(shape, x, y, rng.uniform(*radius_range(shape["size"], shape["pos"])), rng, 0.03)
    return {"kind": "one", "shapes": [shape]}


def two_shapes(rng: random.Random, free: list[str]) -> dict:
    relation = rng.choice(list(RELATIONS))
    if relation == "inside":
        outer = random_shape(rng, free, CONTAINERS)
        inner = random_shape(rng, [c for c in COLOR_NAMES if c != outer["color"]])
        place(outer, 0.5, 0.5, rng.uniform(0.34, 0.4), rng, 0.03)
        lift = 0.02 if outer["shape"] == "heart" else 0
        place(inner, outer["cx"], outer["cy"] - lift, rng.uniform(0.12, 0.16), rng, 0.012)
        return {"kind": "two", "rel": relation, "shapes": [outer, inner], "ab": (inner, outer)}
    first = random_shape(rng, free)
    second = random_shape(rng, free)
    radius = rng.uniform(0.14, 0.19)
    for shape, where in zip((first, second), RELATIONS[relation]):
        place(shape, *PLACES[where], radius * rng.uniform(0.93, 1.07), rng, 0.03)
    return {"kind": "two", "rel": relation, "shapes": [first, second], "ab": (first, second)}


def sample_scene(rng: random.Random, empty: float = 0.03, one: float = 0.63) -> dict:
    """A random scene; `empty` and `one` are the shares without a shape and with one, the rest has two."""
    kind, ground = rng.random(), rng.random()
    bgkind = "plain" if ground < 0.84 else "none" if ground < 0.91 else "gradient" if ground < 0.98 else "sunset"
    if kind < empty and bgkind == "none":
        bgkind = "plain"
    if bgkind == "plain":
        bgcolors = [rng.choice(COLOR_NAMES)]
    elif bgkind == "none":
        bgcolors = ["white"]
    elif bgkind == "sunset":
        bgcolors = ["orange", "purple"]
    else:
        bgcolors = rng.sample(COLOR_NAMES, 2)
    free = [c for c in COLOR_NAMES if c not in bgcolors]
    if kind < empty:
        scene = {"kind": "empty", "shapes": []}
    else:
        scene = one_shape(rng, free) if kind < empty + one else two_shapes(rng, free)
    scene |= {"bgkind": bgkind, "bgcolors": bgcolors}
    colour(scene, rng)
    return scene


def traits(scene: dict) -> set[str]:
    """What an emphasis can name: the kind of background, the relation, and sizes."""
    return {scene["bgkind"], scene.get("rel", "")} | {shape.get("size", "") for shape in scene["shapes"]}


def emphasised_scene(rng: random.Random, empty: float, one: float, emphasis: tuple[tuple[str, float], ...]) -> dict:
    """A random scene, one with a trait of `emphasis` that many times as likely beside the others as it was."""
    most = math.prod(max(1.0, factor) for _, factor in emphasis)
    while True:
        scene = sample_scene(rng, empty, one)
        weight = math.prod(factor for trait, factor in emphasis if trait in traits(scene))
        if rng.random() * most < weight:
            return scene


def colour(scene: dict, rng: random.Random) -> None:
    """The colours that are painted. Without a background in the caption it is white, behind a white shape black."""
    used = [shape["color"] for shape in scene["shapes"]]
    if scene["bgkind"] == "none" and "white" in used[:1]:
        scene["bgcolors"] = ["black"] if "black" not in used else ["gray"]
    if scene["bgkind"] in ("plain", "none"):
        scene["bg"] = ("plain", jittered(scene["bgcolors"][0], rng))
    elif scene["bgkind"] == "gradient":
        scene["bg"] = ("gradient", *(jittered(name, rng) for name in scene["bgcolors"]))
    else:
        scene["bg"] = ("gradient", SUNSET_TOP, SUNSET_BOTTOM)
    for shape in scene["shapes"]:
        shape["rgb"] = jittered(shape["color"], rng)
