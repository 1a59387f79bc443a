"""Builds a small byte-level BPE in the files of Qwen2's tokenizer.

Every word of the two prompt templates and of the captions is one token, with and without the space before it. The added
tokens are those of Qwen2.5-VL, in their order.
"""

import json
import random
import re
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from captions import caption
from networks import TEMPLATE, TEMPLATE_HEAD
from scenes import sample_scene

EDIT_TEMPLATE = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size, texture, objects, background), "
    "then explain how the user's text instruction should alter or modify the image. Generate a new image that meets the "
    "user's requirements while maintaining consistency with the original input where appropriate.<|im_end|>\n"
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
)
EDIT_TEMPLATE_HEAD = 64
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
]
NOT_SPECIAL = [
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>",
]
# Words that no caption has, for prompts that go beyond the captions.
FURTHER_WORDS = (
    "Picture teal violet gold silver magenta turquoise navy lime beige dark light bright pastel rectangle oval hexagon "
    "plus shape shapes two three one another color colored colour change make turn replace into it its this that is are "
    "has have and the to in on at of left right top bottom upper lower side corner edge between around behind under over "
    "near far very tiny huge medium sized solid flat filled hollow simple minimal art logo icon sun sky sea night day "
    "flower house tree cat dog text word line lines dots dotted pattern striped stripes gradient sunset sunrise empty "
    "blank plain clean background foreground picture image photo drawing painting illustration draw paint show me please an"
).split()
CAPTIONS = 6000


def corpus() -> list[str]:
    between_added = [re.sub(r"<\|.*?\|>", "\0", template) for template in (TEMPLATE, EDIT_TEMPLATE)]
    texts = [part.replace("{}", "") for text in between_added for part in text.split("\0") if part.replace("{}", "")] * 50
    words, rng = set(FURTHER_WORDS), random.Random(3)
    for _ in range(CAPTIONS):
        text = caption(sample_scene(rng), rng)
        texts.append(text)
        words |= set(re.findall(r"[A-Za-z]+", text))
    for word in sorted(words):
        lower, capital = word.lower(), word.lower().capitalize()
        texts += [lower, f" {lower}", capital, f" {capital}"] * 3
    return texts


def trained() -> tuple[dict[str, int], list]:
    """Vocabulary and merges."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=4000, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def added_tokens(first_id: int) -> dict[int, dict]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    contents = SPECIAL + NOT_SPECIAL
    return {first_id + i: {"content": c, **flags, "special": c in SPECIAL} for i, c in enumerate(contents)}


def tokenizer_json(vocabulary: dict[str, int], merges: list) -> dict:
    """transformers gives its own order to added tokens; here their ids follow the list above."""
    made = Qwen2Tokenizer(
        vocab=vocabulary, merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>",
        model_max_length=131072,
    )
    whole = json.loads(made._tokenizer.to_str())
    whole["added_tokens"] = [{"id": i, **token} for i, token in added_tokens(len(vocabulary)).items()]
    whole["model"]["vocab"], whole["model"]["merges"] = vocabulary, [list(merge) for merge in merges]
    whole["truncation"] = whole["padding"] = None
    return whole


def tokenizer_config(vocabulary: dict[str, int]) -> dict:
    return {
        "add_prefix_space": False, "add_bos_token": False,
        "added_tokens_decoder": {
            str(i): {key: token[key] for key in ("content", "lstrip", "normalized", "rstrip", "single_word", "special")}
            for i, token in added_tokens(len(vocabulary)).items()
        },
        "additional_special_tokens": SPECIAL[1:], "bos_token": None, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 131072, "pad_token": "<|endoftext|>",
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }


def write(folder: Path) -> None:
    vocabulary, merges = trained()
    folder.mkdir(parents=True, exist_ok=True)

    def dump(name: str, value, **options) -> None:
        (folder / name).write_text(json.dumps(value, **options), encoding="utf-8")

    dump("tokenizer.json", tokenizer_json(vocabulary, merges), ensure_ascii=False, indent=1)
    dump("vocab.json", vocabulary, ensure_ascii=False)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges), encoding="utf-8")
    dump("added_tokens.json", {token["content"]: i for i, token in added_tokens(len(vocabulary)).items()}, indent=1)
    special = {"additional_special_tokens": SPECIAL[1:], "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    dump("special_tokens_map.json", special, indent=1)
    dump("tokenizer_config.json", tokenizer_config(vocabulary), indent=1)
    check(folder)


def check(folder: Path) -> None:
    """The heads of the templates have the lengths that the pipelines drop, and no word of a caption is split."""
    tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    heads = [len(tokenizer(text)["input_ids"]) for text in (TEMPLATE.split("{}")[0], EDIT_TEMPLATE.split("<|vision_start|>")[0])]
    if heads != [TEMPLATE_HEAD, EDIT_TEMPLATE_HEAD]:
        raise RuntimeError(f"template heads of {heads} tokens, not {[TEMPLATE_HEAD, EDIT_TEMPLATE_HEAD]}")
    rng = random.Random(11)
    for _ in range(3000):
        text = caption(sample_scene(rng), rng)
        if len(tokenizer(text)["input_ids"]) != len(re.findall(r"[A-Za-z]+|[,.]", text)):
            raise RuntimeError(f"a word is split: {tokenizer.tokenize(text)}")
    print(f"tokenizer: {len(tokenizer)} tokens in {folder}")
