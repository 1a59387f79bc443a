"""Token ids of texts that tokenizers trip over, by transformers' Qwen2Tokenizer."""

from diffusers import QwenImagePipeline
from transformers import Qwen2Tokenizer

from files import CHECKPOINTS, DATA, DEMO_MODEL, provenance, write_json
from recipes import RECIPES

TEXTS = [
    # Nothing, and nothing but white space.
    "",
    " ",
    "  ",
    "     ",
    "\n",
    "\n\n\n",
    "\r\n",
    "\t",
    " \t \n ",
    "a\n",
    " leading and trailing ",
    "in   the    middle",
    "line one\nline two\r\nline three\rline four",
    "tab\tseparated\t\tvalues",
    "a\n  indented\n\n\n  twice",
    "spaces before a line break   \n",
    "\u00a0no-break\u00a0space\u00a0",
    "\u2003em space\u2009thin\u3000ideographic",
    "\u200bzero width\u200b space\u200d joiner\u2060word joiner",
    "\ufeffbyte order mark",
    "next\u0085line\u2028separator\u2029paragraph\u000bvertical\u000cfeed",
    "nul\u0000inside",
    "control\u0001\u001b[31m\u007f characters",
    # Words, contractions, numbers, punctuation.
    "a red circle on a blue background",
    "A Red CIRCLE on a BLUE Background.",
    "don't can't I'm we'll they've you're he'd it's",
    "DON'T CAN'T I'M WE'LL THEY'VE YOU'RE HE'D IT'S",
    "Don'T 'tis o'clock rock'n'roll ''s 's",
    "It\u2019s a typographic apostrophe",
    "\u017fharp 's and '\u017f: the long s folds to s",
    "1234567890",
    "3.14159, 1,000,000 and 1e-5",
    "x86_64 v2.0-rc1 #42",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \u2460 \u00bd \u2167 \u00b2",
    "!!!???...,,,;;;:::",
    "(a) [b] {c} <d> \"e\" 'f' `g`",
    "{} {0} {prompt} {{double}} %s %d $HOME",
    "C:\\path\\to\\file /usr/bin https://example.org/?q=1&r=2#top",
    "snake_case camelCase kebab-case __dunder__",
    "a\\nb is not a line break",
    "price: $5 \u20ac6 \u00a37 \u00a58",
    "\u2014 em dash, \u2026 ellipsis, \u201cquotes\u201d, \u00abguillemets\u00bb",
    "=== *** ---\n\n--- ***\r\n ===",
    # Other scripts.
    "\u4e00\u4e2a\u7ea2\u8272\u7684\u5706\u5f62\u5728\u84dd\u8272\u80cc\u666f\u4e0a",
    "\u7d05\u3044\u5186\u3001\u9752\u3044\u80cc\u666f\u3002\u30ab\u30bf\u30ab\u30ca\u3068\u3072\u3089\u304c\u306a",
    "\uff21\uff22\uff23\uff11\uff12\uff13\uff01 \uff76\uff9e\uff77\uff9e",
    "\ube68\uac04 \uc6d0 \ud30c\ub780 \ubc30\uacbd",
    "\u1107\u1161\u11af\u1100\u1161\u11ab \u110b\u116f\u11ab",
    "\u043a\u0440\u0430\u0441\u043d\u044b\u0439 \u043a\u0440\u0443\u0433 \u0401\u0436",
    "\u03ba\u03cc\u03ba\u03ba\u03b9\u03bd\u03bf\u03c2 \u03ba\u03cd\u03ba\u03bb\u03bf\u03c2 \u03a3\u03c3\u03c2",
    "\u062f\u0627\u0626\u0631\u0629 \u062d\u0645\u0631\u0627\u0621"
    " \u0639\u0644\u0649 \u062e\u0644\u0641\u064a\u0629 \u0632\u0631\u0642\u0627\u0621",
    "\u0628\u0650\u0633\u0652\u0645\u0650 \u0627\u0644\u0644\u0651\u0647\u0650",
    "\u05e2\u05d9\u05d2\u05d5\u05dc \u05d0\u05d3\u05d5\u05dd \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd",
    "\u0928\u0940\u0932\u0947"
    " \u092a\u0943\u0937\u094d\u0920\u092d\u0942\u092e\u093f \u092a\u0930"
    " \u0932\u093e\u0932 \u0935\u0943\u0924\u094d\u0924 \u0915\u094d\u0937",
    "\u0e27\u0e07\u0e01\u0e25\u0e21\u0e2a\u0e35\u0e41\u0e14\u0e07",
    "\u0b95\u0bcb \u0bb5\u0b9f\u0bcd\u0b9f\u0bae\u0bcd",
    "h\u00ecnh tr\u00f2n \u0111\u1ecf Ti\u1ebfng Vi\u1ec7t",
    # Composed, decomposed, and what NFC does to them.
    "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
    "\u212b \u2126 \u212a",
    "q\u0323\u0307 and q\u0307\u0323",
    "\u0344 \u0958 \u2adc \ufb1d",
    "\ufb01 \u01c4 \u00e6 \u00df \u1e9e \u0130 \u0131",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324a\u0308\u0300lgo",
    # Emoji: joiners, modifiers, flags, keycaps, selectors.
    "\U0001f600 smile",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",
    "\U0001f44d\U0001f3fd\U0001f44d\U0001f3ff",
    "\U0001f1e9\U0001f1ea\U0001f1ef\U0001f1f5",
    "\u2764\ufe0f \u2764\ufe0e 1\ufe0f\u20e3 \U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a\U0001f534b\U0001f535c",
    # The ends of Unicode.
    "\ufffd alone, \ufffd\ufffd in a pair",
    "\ufffe\uffff\U0001fffe non-characters",
    "\U00010000\U0010ffff\ue000\U000f0000",
    "\U0001d54f\U0001d400\U00020000\U0002f800",
    # Tokens of the template and the tools, spelled out.
    "<|im_start|>",
    "<|im_end|>",
    "before<|im_end|>after",
    " <|im_end|> \n<|im_start|>user\nhello",
    "<|endoftext|><|endoftext|>",
    "<|vision_start|><|vision_pad|><|vision_end|>",
    "<|object_ref_start|>box<|object_ref_end|><|box_start|>(1,2)<|box_end|>",
    "<tool_call>{\"name\": 1}</tool_call>",
    "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|><|repo_name|><|file_sep|>",
    "<|im_start| > <|IM_START|> <|im_start|",
    "<<|im_end|>> <|<|im_end|>|>",
    # Length.
    "a" * 100,
    "ab " * 60,
    "\u4e00" * 40,
    "0" * 40 + " " * 40 + "!" * 40 + "\n" * 40,
]

PROMPTS = [
    "",
    " ",
    "a red circle on a blue background",
    "{braces} and {}",
    "\n",
    " a space first and last ",
    "\u4e00\u4e2a\u7ea2\u8272\u7684\u5706\u5f62 \U0001f534",
    "<|im_end|>\n<|im_start|>assistant\nliteral tokens",
    "cafe\u0301",
    # Cut by the pipelines' own limit, and with it the template's end.
    "red circle, " * 500,
]


def record() -> None:
    tokenizer = Qwen2Tokenizer.from_pretrained(DEMO_MODEL / "tokenizer")
    # The template is an attribute that the constructor sets; it needs no components for that.
    pipe = QwenImagePipeline(scheduler=None, vae=None, text_encoder=None, tokenizer=tokenizer, transformer=None)
    templates = [pipe.prompt_template_encode.format(prompt) for prompt in PROMPTS]
    length = pipe.tokenizer_max_length + pipe.prompt_template_encode_start_idx

    def encode(with_tokenizer: Qwen2Tokenizer) -> list[list[int]]:
        cut = with_tokenizer(templates, max_length=length, truncation=True).input_ids
        return with_tokenizer(TEXTS).input_ids + cut

    ids = encode(tokenizer)
    for recipe in RECIPES:
        copy = Qwen2Tokenizer.from_pretrained(CHECKPOINTS / recipe.name / "tokenizer")
        if encode(copy) != ids:
            raise AssertionError(f"{recipe.name}: {', '.join(recipe.tokenizer_files)} make another tokenizer")
    write_json(
        DATA / "tokenizer.json",
        {
            **provenance(),
            "texts": [{"text": text, "ids": row} for text, row in zip(TEXTS, ids)],
            "template": pipe.prompt_template_encode,
            "dropIndex": pipe.prompt_template_encode_start_idx,
            "maxLength": length,
            "prompts": [{"prompt": prompt, "ids": row} for prompt, row in zip(PROMPTS, ids[len(TEXTS):])],
        },
    )
