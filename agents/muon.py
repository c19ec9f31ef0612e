"""Muon: momentum whose matrices are made orthogonal, so that an update moves all directions alike.

See K. Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024, and, for the scale of an update,
J. Liu et al., Muon is scalable for LLM training, 2025. Unlike `torch.optim.Muon` it takes all weights of a network:
what is no matrix is Adam's; and it stays in float32, in which small matrices cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.95

_BETAS = (0.9, 0.95)
"""Adam's."""

_ADAMS_SHARE = 0.4
"""Adam's learning rate as a part of the matrices'."""

_EPSILON = 1e-8


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """A matrix with about the same singular vectors, and singular values of about 1, from 0.7 to 1.2.

    By Newton and Schulz's iteration, with the coefficients of Jordan et al.
    """
    wide: Tensor = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (torch.linalg.matrix_norm(wide) + _EPSILON)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = 3.4445 * wide + (-4.7750 * gram + 2.0315 * gram @ gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Orthogonal momentum for matrices, Adam for all other weights."""

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float = 1e-2) -> None:
        """Set the optimiser.

        Args:
            parameters: What to learn.
            learning_rate: Of matrices: their entries move by a fifth of it in the root mean square. Adam's is
                `_ADAMS_SHARE` of it.
        """
        super().__init__(parameters, {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all weights that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.ndim == 2 and min(parameter.shape) > 1:
                    _move_matrix(parameter, parameter.grad, self.state[parameter], group["lr"])
                else:
                    _move_others(parameter, parameter.grad, self.state[parameter], _ADAMS_SHARE * group["lr"])


def _move_matrix(matrix: Tensor, gradient: Tensor, state: dict[str, Any], learning_rate: float) -> None:
    mean: Tensor = state.setdefault("momentum", torch.zeros_like(matrix))
    mean.lerp_(gradient, 1 - _MOMENTUM)
    ahead = gradient.lerp(mean, _MOMENTUM)  # Nesterov's
    matrix.add_(orthogonal(ahead), alpha=-0.2 * learning_rate * max(matrix.shape) ** 0.5)


def _move_others(weights: Tensor, gradient: Tensor, state: dict[str, Any], learning_rate: float) -> None:
    if not state:
        state |= {"step": torch.zeros(()), "mean": torch.zeros_like(weights), "square": torch.zeros_like(weights)}
    state["step"] += 1
    state["mean"].lerp_(gradient, 1 - _BETAS[0])
    state["square"].lerp_(gradient**2, 1 - _BETAS[1])
    mean, square = (
        state[name] / (1 - beta ** state["step"].item()) for name, beta in zip(("mean", "square"), _BETAS, strict=True)
    )
    weights.addcdiv_(mean, square.sqrt() + _EPSILON, value=-learning_rate)
