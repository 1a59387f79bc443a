"""Looks at a picture and says which attributes of its scene are there. Nothing here is learned.

A colour is the nearest named one; a shape the one whose outline covers it best; a place holds within 12 % of the side
(17 % for a large shape off the centre, which has to move in to fit).
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scenes import COLOR_NAMES, COLORS, PLACES, RELATIONS, SHAPES, draw

ATTRIBUTES = ("background", "color", "place", "shape")
DISTINCT = 36  # distance of two RGB colours from which a pixel counts as another colour
TEMPLATE_SIDE = 48
TURNS = (-0.1, -0.05, 0, 0.05, 0.1)
TOLERANCE, TOLERANCE_LARGE = 0.12, 0.17
LEAST_PIXELS = 60  # fewer are no shape


def nearest_color(rgb) -> str:
    return min(COLOR_NAMES, key=lambda name: sum((float(a) - b) ** 2 for a, b in zip(rgb, COLORS[name])))


def apart(pixels: np.ndarray, color) -> np.ndarray:
    """Where `pixels [H, W, 3]` are another colour than `color` (broadcast), `[H, W]`."""
    return np.sqrt(((pixels - color) ** 2).sum(-1)) > DISTINCT


def normalised(mask: np.ndarray) -> np.ndarray:
    """The shape in `mask`, centred and scaled to `[48, 48]`."""
    ys, xs = np.where(mask)
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    side = max(y1 - y0, x1 - x0)
    square = Image.new("L", (side, side))
    cut = Image.fromarray((mask[y0:y1, x0:x1] * 255).astype(np.uint8))
    square.paste(cut, ((side - (x1 - x0)) // 2, (side - (y1 - y0)) // 2))
    return np.asarray(square.resize((TEMPLATE_SIDE, TEMPLATE_SIDE), Image.BILINEAR)) > 127


def template(shape: str, turn: float) -> np.ndarray:
    drawn = {"shape": shape, "cx": 0.5, "cy": 0.5, "r": 0.4, "rot": turn, "rgb": (255, 255, 255)}
    return normalised(draw({"bg": ("plain", (0, 0, 0)), "shapes": [drawn]}, 160, 160)[..., 0] > 127)


TEMPLATES = {shape: [template(shape, turn) for turn in TURNS] for shape in SHAPES}


def nearest_shape(mask: np.ndarray) -> str:
    seen = normalised(mask)
    overlap = {s: max((seen & t).sum() / (seen | t).sum() for t in views) for s, views in TEMPLATES.items()}
    return max(overlap, key=overlap.get)


def filled(mask: np.ndarray) -> np.ndarray:
    """`mask` with its holes."""
    framed = Image.fromarray(np.pad(mask, 1).astype(np.uint8)).copy()  # fromarray shares memory that is read only
    ImageDraw.floodfill(framed, (0, 0), 2)
    return (np.asarray(framed) != 2)[1:-1, 1:-1]


def shrunk(mask: np.ndarray, pixels: int) -> np.ndarray:
    shrinking = ImageFilter.MinFilter(2 * pixels + 1)
    return np.asarray(Image.fromarray((mask * 255).astype(np.uint8)).filter(shrinking)) > 0


def side_strips(pixels: np.ndarray) -> np.ndarray:
    """The left and right margins, where no shape reaches: `[H, 2 * margin, 3]`."""
    margin = max(2, pixels.shape[1] // 32)
    return np.concatenate([pixels[:, :margin], pixels[:, -margin:]], 1)


def background_right(scene: dict, strips: np.ndarray) -> bool:
    def median(rows) -> str:
        return nearest_color(np.median(rows.reshape(-1, 3), 0))

    if scene["bgkind"] in ("plain", "none"):
        return median(strips) == scene["bgcolors"][0]
    band = len(strips) // 16
    expected = scene["bgcolors"] if scene["bgkind"] == "gradient" else ["purple", "orange"]
    return [median(strips[:band]), median(strips[-band:])] == expected


def centre(mask: np.ndarray) -> tuple[float, float]:
    """Of the bounding box, as fractions of width and height."""
    ys, xs = np.where(mask)
    return (xs.min() + xs.max() + 1) / 2 / mask.shape[1], (ys.min() + ys.max() + 1) / 2 / mask.shape[0]


def looked_at(shape: dict, pixels: np.ndarray, mask: np.ndarray, where: str) -> dict[str, bool]:
    if mask.sum() < LEAST_PIXELS:
        return {"color": False, "place": False, "shape": False}
    tolerance = TOLERANCE_LARGE if shape.get("size") == "large" and shape.get("pos") else TOLERANCE
    off = max(abs(a - b) for a, b in zip(centre(mask), PLACES[where]))
    return {
        "color": nearest_color(np.median(pixels[mask], 0)) == shape["color"],
        "place": off < tolerance,
        "shape": nearest_shape(mask) == shape["shape"],
    }


def both(first: dict[str, bool], second: dict[str, bool]) -> dict[str, bool]:
    return {key: first[key] and second[key] for key in first}


def inside_seen(scene: dict, pixels: np.ndarray, foreground: np.ndarray) -> dict[str, bool]:
    """The inner shape may have the colour of the background, so the outer one is looked at with its holes filled."""
    outer, inner = scene["shapes"]
    whole = filled(foreground)
    rim = foreground & ~shrunk(whole, max(3, pixels.shape[1] // 32))
    if whole.sum() < LEAST_PIXELS or rim.sum() < LEAST_PIXELS:
        return {"color": False, "place": False, "shape": False}
    outer_color = np.median(pixels[rim], 0)
    within = shrunk(whole, max(2, pixels.shape[1] // 64)) & apart(pixels, outer_color)
    seen = looked_at(outer, pixels, whole, "center")
    seen["color"] = nearest_color(outer_color) == outer["color"]
    return both(seen, looked_at(inner, pixels, within, "center"))


def judged(scene: dict, picture) -> dict[str, bool]:
    """By attribute, whether all shapes of `picture` (PIL or `[H, W, 3]` in 0..255) have what `scene` says."""
    pixels = np.asarray(picture).astype(np.float32)
    height, width, _ = pixels.shape
    strips = side_strips(pixels)
    foreground = apart(pixels, np.median(strips, 1)[:, None])
    background = {"background": background_right(scene, strips)}
    if scene["kind"] == "empty":
        empty = bool(foreground.mean() < 0.01)
        return background | {"color": empty, "place": empty, "shape": empty}
    if scene["kind"] == "one":
        shape = scene["shapes"][0]
        return background | looked_at(shape, pixels, foreground, shape["pos"] or "center")
    if scene["rel"] == "inside":
        return background | inside_seen(scene, pixels, foreground)
    rows, columns = np.mgrid[0:height, 0:width]
    halves = {
        "top": rows < height / 2, "bottom": rows >= height / 2, "left": columns < width / 2, "right": columns >= width / 2,
    }
    seen = [
        looked_at(shape, pixels, foreground & halves[where], where)
        for shape, where in zip(scene["ab"], RELATIONS[scene["rel"]])
    ]
    return background | both(*seen)
