"""The resumable state of the flow training, small enough to keep (under 60 MB for this model).

Weights are kept in float32; the moving average as its difference to them in bfloat16; first moments of the optimisers in
float8 with one scale a tensor; AdamW's second moments in bfloat16. A resumed run hence is not the uninterrupted one to
the bit: its first moments are rounded once.
"""

from pathlib import Path

import torch

from workdir import save_whole

FLOAT8 = torch.float8_e4m3fn
FLOAT8_MAX = torch.finfo(FLOAT8).max


def to_float8(value: torch.Tensor) -> tuple[torch.Tensor, float]:
    scale = value.abs().max().item() / FLOAT8_MAX or 1.0
    return (value / scale).to(FLOAT8), scale


def from_float8(value: torch.Tensor, scale: float) -> torch.Tensor:
    return value.float() * scale


FIRST_MOMENTS = ("momentum", "exp_avg")


def optimizer_state(optimizers, names: dict) -> dict:
    """By parameter name, what the optimisers hold for it."""
    kept = {}
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            kept[names[parameter]] = {
                key: to_float8(value) if key in FIRST_MOMENTS else value.bfloat16() if value.dim() else value
                for key, value in state.items()
            }
    return kept


def restore_optimizers(optimizers, names: dict, kept: dict) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if names[parameter] in kept:
                    optimizer.state[parameter] = {
                        key: from_float8(*value) if key in FIRST_MOMENTS else value.float()
                        for key, value in kept[names[parameter]].items()
                    }


def save_state(path: Path, parameters: dict, average: dict, optimizers, progress: dict) -> None:
    names = {parameter: name for name, parameter in parameters.items()}
    save_whole(
        {
            **progress,
            "weights": {name: parameter.detach() for name, parameter in parameters.items()},
            "average_less_weights": {name: (average[name] - p.detach()).bfloat16() for name, p in parameters.items()},
            "optimizers": optimizer_state(optimizers, names),
        },
        path,
    )


def load_weights(state: dict, averaged: bool) -> dict[str, torch.Tensor]:
    if not averaged:
        return state["weights"]
    return {name: value + state["average_less_weights"][name].float() for name, value in state["weights"].items()}
