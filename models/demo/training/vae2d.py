"""A 2-D mirror of AutoencoderKLQwenImage for still pictures, with its parameter names, and the way there and back.

The 3-D class pads in time with zeros in front, so of a 3x3x3 kernel only the last temporal tap touches a single frame.
Pictures are `[B, 3, H, W]` in -1..1, latents `[B, 8, H/8, W/8]`.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from diffusers import AutoencoderKLQwenImage

BASE, LATENT_CHANNELS, MULTIPLIERS, RESIDUAL_BLOCKS = 16, 8, [1, 2, 4, 4], 1
TEMPORAL_DOWNSAMPLE = [False, True, True]


class RmsNorm(nn.Module):
    """Over channels, as F.normalize times sqrt(channels)."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = channels**0.5
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inverse = x.float().square().sum(1, keepdim=True).clamp_min(1e-12).rsqrt() * self.scale
        return x * inverse.to(x.dtype) * self.gamma.view(1, -1, 1, 1)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.norm1, self.conv1 = RmsNorm(inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2, self.conv2 = RmsNorm(outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        return self.conv_shortcut(x) + self.conv2(F.silu(self.norm2(inner)))


class Attention(nn.Module):
    """One head over all places."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = RmsNorm(channels)
        self.to_qkv, self.proj = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        q, k, v = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, -1)  # each [B, 1, HW, C]
        attended = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj(attended.squeeze(1).transpose(1, 2).reshape(b, c, h, w))


class Middle(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.attentions = nn.ModuleList([Attention(channels)])
        self.resnets = nn.ModuleList([Residual(channels, channels), Residual(channels, channels)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Down(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resample(x)


class Up(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        convolution = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), convolution)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resample(x)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [BASE * m for m in [1, *MULTIPLIERS]]
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for level, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:])):
            for block in range(RESIDUAL_BLOCKS):
                self.down_blocks.append(Residual(outputs if block else inputs, outputs))
            if level != len(MULTIPLIERS) - 1:
                self.down_blocks.append(Down(outputs))
        self.mid_block = Middle(widths[-1])
        self.norm_out, self.conv_out = RmsNorm(widths[-1]), nn.Conv2d(widths[-1], 2 * LATENT_CHANNELS, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.norm_out(self.mid_block(x))))


class UpBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, doubles: bool):
        super().__init__()
        widths = [inputs] + [outputs] * RESIDUAL_BLOCKS
        self.resnets = nn.ModuleList([Residual(width, outputs) for width in widths])
        self.upsamplers = nn.ModuleList([Up(outputs)]) if doubles else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for resnet in self.resnets:
            x = resnet(x)
        return self.upsamplers[0](x) if self.upsamplers is not None else x


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [BASE * m for m in [MULTIPLIERS[-1], *MULTIPLIERS[::-1]]]
        self.conv_in = nn.Conv2d(LATENT_CHANNELS, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0])
        self.up_blocks = nn.ModuleList()
        for level, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:])):
            halved = inputs // 2 if level else inputs  # by the Up before it
            self.up_blocks.append(UpBlock(halved, outputs, level != len(MULTIPLIERS) - 1))
        self.norm_out, self.conv_out = RmsNorm(widths[-1]), nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VAE2D(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.quant_conv = nn.Conv2d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.post_quant_conv = nn.Conv2d(LATENT_CHANNELS, LATENT_CHANNELS, 1)

    def encode(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of the posterior, the latter limited as the 3-D class limits it."""
        mean, log_variance = self.quant_conv(self.encoder(pictures)).chunk(2, 1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.post_quant_conv(latents))


def to_diffusers(weights: dict, mean: list[float], std: list[float]) -> AutoencoderKLQwenImage:
    """The 3-D class: a 3x3 kernel becomes the last tap of a 3x3x3 kernel, all else in time is zero."""
    vae = AutoencoderKLQwenImage(
        base_dim=BASE, z_dim=LATENT_CHANNELS, dim_mult=MULTIPLIERS, num_res_blocks=RESIDUAL_BLOCKS, attn_scales=[],
        temperal_downsample=TEMPORAL_DOWNSAMPLE, latents_mean=mean, latents_std=std,
    )
    filled = {}
    for name, value in vae.state_dict().items():
        filled[name] = torch.zeros_like(value)
        if "time_conv" in name:
            continue
        flat = weights[name].float()
        if value.dim() == 5:
            filled[name][:, :, -1] = flat
        else:
            filled[name] = flat.view(value.shape)
    vae.load_state_dict(filled)
    return vae.eval()


def from_diffusers(vae: AutoencoderKLQwenImage) -> VAE2D:
    """The 2-D weights of what `to_diffusers` made."""
    own, theirs = VAE2D(), vae.state_dict()
    own.load_state_dict({
        name: (theirs[name][:, :, -1] if theirs[name].dim() == 5 else theirs[name]).reshape(value.shape)
        for name, value in own.state_dict().items()
    })
    return own.eval()
