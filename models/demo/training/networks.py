"""The tiny Qwen-Image: configurations, first weights, prompts to ids, and the forward pass that is trained.

Letters in shapes: B pictures, S image tokens (height/16 * width/16), T text tokens, D = 128 text width.
"""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from vae2d import LATENT_CHANNELS

TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
TEMPLATE_HEAD = 34  # tokens before the prompt; QwenImagePipeline drops them from the embeddings
TEXT_WIDTH, TEXT_LAYERS = 128, 2
BLOCKS, HEADS, HEAD_SIZE = 5, 3, 64
PIXELS_PER_TOKEN = 16  # VAE ratio 8, patches of 2 x 2 latents


def load_tokenizer(folder: Path) -> Qwen2Tokenizer:
    return Qwen2Tokenizer.from_pretrained(folder)


def build_text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    token = tokenizer.convert_tokens_to_ids
    rope = dict(rope_type="default", rope_theta=1000000.0, mrope_section=[4, 6, 6])
    config = Qwen2_5_VLConfig(
        text_config=dict(
            hidden_size=TEXT_WIDTH, num_hidden_layers=TEXT_LAYERS, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=384, vocab_size=(len(tokenizer) + 63) // 64 * 64, hidden_act="silu", rms_norm_eps=1e-6,
            max_position_embeddings=4096, use_sliding_window=False, rope_parameters=rope,
            bos_token_id=token("<|endoftext|>"), eos_token_id=token("<|im_end|>"), pad_token_id=token("<|endoftext|>"),
        ),
        vision_config=dict(
            depth=2, hidden_size=32, num_heads=2, intermediate_size=64, out_hidden_size=TEXT_WIDTH, patch_size=14,
            temporal_patch_size=2, spatial_merge_size=2, in_channels=3, window_size=112, fullatt_block_indexes=[1],
            tokens_per_second=2, hidden_act="silu",
        ),
        image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"), vision_end_token_id=token("<|vision_end|>"),
        vision_token_id=token("<|vision_pad|>"), tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration(config).float()
    model.tie_weights()
    with torch.no_grad():
        model.model.language_model.embed_tokens.weight.normal_(0, 0.5)
    return model


def build_transformer() -> QwenImageTransformer2DModel:
    """Every block starts with gates of 0.3, no shift and no scale; the output starts at 0."""
    model = QwenImageTransformer2DModel(
        patch_size=2, in_channels=4 * LATENT_CHANNELS, out_channels=LATENT_CHANNELS, num_layers=BLOCKS,
        attention_head_dim=HEAD_SIZE, num_attention_heads=HEADS, joint_attention_dim=TEXT_WIDTH, guidance_embeds=False,
        axes_dims_rope=(16, 24, 24),
    )
    width = HEADS * HEAD_SIZE
    with torch.no_grad():
        for block in model.transformer_blocks:
            for modulation in (block.img_mod[1], block.txt_mod[1]):  # [shift, scale, gate] of attention, then of the MLP
                modulation.weight.zero_()
                modulation.bias.zero_()
                modulation.bias[2 * width : 3 * width] = 0.3
                modulation.bias[5 * width :] = 0.3
        for layer in (model.norm_out.linear, model.proj_out):
            layer.weight.zero_()
            layer.bias.zero_()
    return model


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    """The settings of the released Qwen-Image."""
    return FlowMatchEulerDiscreteScheduler(
        num_train_timesteps=1000, shift=1.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9,
        base_image_seq_len=256, max_image_seq_len=8192, shift_terminal=0.02, time_shift_type="exponential",
        invert_sigmas=False, stochastic_sampling=False, use_karras_sigmas=False, use_exponential_sigmas=False,
        use_beta_sigmas=False,
    )


class Prompts:
    """Prompts to padded ids of the filled template, `[B, TEMPLATE_HEAD + T]`, and the mask of what is no padding."""

    KEPT = 300_000  # encoded captions remembered

    def __init__(self, tokenizer: Qwen2Tokenizer):
        head, tail = TEMPLATE.split("{}")
        self.tokenizer, self.padding = tokenizer, tokenizer.pad_token_id
        self.head, self.tail = tokenizer(head)["input_ids"], tokenizer(tail)["input_ids"]
        self.encoded: dict[str, list[int]] = {}

    def ids(self, prompt: str) -> list[int]:
        if prompt not in self.encoded:
            if len(self.encoded) > self.KEPT:
                self.encoded.clear()
            self.encoded[prompt] = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return self.head + self.encoded[prompt] + self.tail

    def batch(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [self.ids(prompt) for prompt in prompts]
        ids = torch.full((len(rows), max(map(len, rows))), self.padding)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        return ids, mask


def pack(latents: torch.Tensor) -> torch.Tensor:
    """`[B, C, H, W]` latents to `[B, H/2 * W/2, 4C]` tokens, as the pipelines pack them."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, c * 4)


def velocity(text_encoder, transformer, noisy, ids, mask, sigma, grid: tuple[int, int]) -> torch.Tensor:
    """Predicted `noise - clean` of `noisy [B, S, 4C]` at `sigma [B]`; `grid` is (rows, columns) of tokens, S in all."""
    hidden = text_encoder.model(input_ids=ids, use_cache=False).last_hidden_state[:, TEMPLATE_HEAD:]
    mask = mask[:, TEMPLATE_HEAD:]
    return transformer(
        hidden_states=noisy, encoder_hidden_states=hidden, encoder_hidden_states_mask=None if mask.all() else mask,
        timestep=sigma, img_shapes=[[(1, *grid)]] * len(noisy), return_dict=False,
    )[0]


def trained_parameters(text_encoder, transformer) -> dict[str, torch.nn.Parameter]:
    """By name, `text_encoder.…` and `transformer.…`; the vision tower stays as it was drawn."""
    models = {"text_encoder": text_encoder, "transformer": transformer}
    return {
        f"{prefix}.{name}": parameter
        for prefix, model in models.items()
        for name, parameter in model.named_parameters()
        if "visual" not in name
    }
