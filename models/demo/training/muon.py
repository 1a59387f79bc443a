"""Muon: momentum whose update is orthogonalised, for weight matrices and convolution kernels."""

import torch

# Quintic Newton-Schulz iteration x -> a x + b x^3 + c x^5 on the singular values; it takes all of (0, 1] to about 1.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalised(matrices: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`[N, R, C]` with every matrix's singular values near 1 and its singular vectors kept."""
    a, b, c = COEFFICIENTS
    x = matrices.to(dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) * 1.01 + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.transpose(1, 2) if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised. Parameters of equal shape go through one batched product.

    A kernel `[O, I, H, W]` counts as a matrix `[O, I*H*W]`. `dtype` is the type of the products: bfloat16 pays only on
    processors that multiply in it.
    """

    def __init__(self, parameters, lr: float = 0.02, momentum: float = 0.95, dtype: torch.dtype = torch.float32):
        super().__init__(list(parameters), dict(lr=lr, momentum=momentum))
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_shape: dict[tuple, list] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(tuple(parameter.flatten(1).shape), []).append(parameter)
            for (rows, columns), parameters in by_shape.items():
                updates = []
                for parameter in parameters:
                    average = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                    average.lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(average, group["momentum"]).flatten(1))
                rate = group["lr"] * max(1, rows / columns) ** 0.5
                for parameter, update in zip(parameters, orthogonalised(torch.stack(updates), self.dtype)):
                    parameter.add_(update.view(parameter.shape), alpha=-rate)
