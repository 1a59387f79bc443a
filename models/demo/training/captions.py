"""Wordings of a scene. The words are in the lists below; a scene is worded anew at each use."""

import random

SHAPE_WORDS = {"moon": ["moon", "moon", "crescent"], "circle": ["circle"] * 6 + ["disc"], "ring": ["ring"]}
COLOR_WORDS = {"gray": ["gray", "grey"], "purple": ["purple"] * 5 + ["violet"]}
SIZE_WORDS = {"small": ["small", "small", "little", "tiny"], "large": ["large", "large", "big", "huge"]}
RELATION_WORDS = {
    "above": ["above", "above", "over", "on top of"], "below": ["below", "below", "under"],
    "left of": ["left of", "to the left of"], "right of": ["right of", "to the right of"],
    "and": ["and", "and", "next to", "beside"], "inside": ["inside", "in", "inside of"],
}
EMPTY_FORMS = ["{}", "just {}", "{}, no shapes", "an empty picture with {}", "{} only", "plain {}"]
LEADS = [
    "a picture of ", "an image of ", "a drawing of ", "draw ", "a simple picture of ", "an illustration of ", "show me ",
    "a photo of ", "please draw ", "there is ",
]


def article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def color_word(color: str, rng: random.Random) -> str:
    return rng.choice(COLOR_WORDS.get(color, [color]))


def shape_phrase(shape: dict, rng: random.Random, with_article: bool) -> str:
    words = [rng.choice(SIZE_WORDS[shape["size"]])] if shape.get("size") else []
    words += [color_word(shape["color"], rng), rng.choice(SHAPE_WORDS.get(shape["shape"], [shape["shape"]]))]
    return " ".join([article(words[0]), *words] if with_article else words)


def place_phrase(place: str, rng: random.Random) -> str:
    if place == "center":
        return rng.choice(["in the center", "in the middle", "at the center", "in the centre"])
    if " " in place:
        return rng.choice([f"in the {place} corner", f"in the {place}", f"at the {place}"])
    if place in ("left", "right"):
        return rng.choice([f"on the {place}", f"on the {place} side", f"at the {place}"])
    return rng.choice([f"at the {place}", f"at the {place}", f"on the {place}", f"near the {place}"])


def background_phrase(scene: dict, rng: random.Random) -> str:
    colors = [color_word(color, rng) for color in scene["bgcolors"]]
    if scene["bgkind"] == "plain":
        return f"{article(colors[0])} {colors[0]} background"
    if scene["bgkind"] == "gradient":
        top, bottom = colors
        leading = f"{article(top)} {top} to {bottom} gradient"
        return rng.choice([leading, f"a gradient from {top} to {bottom}", f"{leading} background"])
    return rng.choice(["a sunset gradient", "a sunset background", "a sunset sky"])


def without_article(phrase: str) -> str:
    return phrase.split(" ", 1)[1] if phrase.startswith(("a ", "an ")) else phrase


def subject_and_place(scene: dict, style: float, rng: random.Random) -> tuple[str, str, str]:
    """What is drawn, where in a sentence, and where in a list between commas."""
    if scene["kind"] == "one":
        shape = scene["shapes"][0]
        where = place_phrase(shape["pos"], rng) if shape["pos"] else ""
        subject = shape_phrase(shape, rng, rng.random() < 0.8)
        return subject, where, shape["pos"] if style < 0.12 and shape["pos"] else where
    with_article = rng.random() < 0.85
    first, second = (shape_phrase(shape, rng, with_article) for shape in scene["ab"])
    return f"{first} {rng.choice(RELATION_WORDS[scene['rel']])} {second}", "", ""


def joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def caption(scene: dict, rng: random.Random) -> str:
    background = background_phrase(scene, rng) if scene["bgkind"] != "none" else None
    if scene["kind"] == "empty":
        return finished(rng.choice(EMPTY_FORMS).format(background), rng)
    style = rng.random()
    subject, where, listed = subject_and_place(scene, style, rng)
    if background is None:
        text = joined(subject, where)
    elif style < 0.12:
        last = background if rng.random() < 0.4 else without_article(background)
        text = ", ".join(part for part in (subject, listed, last) if part)
    elif style < 0.22:
        text = joined(background, "with", subject, where)
    elif style < 0.34 and scene["bgkind"] == "plain":
        text = joined(subject, where, "on", color_word(scene["bgcolors"][0], rng))
    else:
        conjunction = rng.choice(["on", "on", "on", "on", "with", "against", "over", "in front of"])
        text = joined(subject, where, conjunction, background)
    return finished(text, rng)


def finished(text: str, rng: random.Random) -> str:
    if rng.random() < 0.25:
        text = rng.choice(LEADS) + text
    if rng.random() < 0.25:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.12 else text
