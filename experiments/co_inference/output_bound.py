"""How far an output moves when the weights do: a bound for ReLU networks, layer by layer.

Theorem. Let f(x, W) = W_L relu(W_{L-1} ... relu(W_1 x)), and let norms of matrices be induced by the 1-norm: the
largest sum of magnitudes in a column. For |x|_1 <= 1,

    |f(x, W) - f(x, W^)|_1 <= sum over l of (prod_{j<l} ‖W^_j‖) ‖W_l - W^_l‖ (prod_{k>l} ‖W_k‖).              (12)

Proof. Replace one matrix after the other, the first first: the sum telescopes into differences in one matrix each. In
the l-th the first l - 1 layers are pruned, so what enters layer l is at most prod_{j<l} ‖W^_j‖, as relu(0) = 0 and relu
moves nothing apart; layer l changes it by at most ‖W_l - W^_l‖ times that; and the dense layers behind enlarge a
difference at most by their norms, as relu does not. A bias that is not pruned changes differences in no layer, but what
enters a layer may be larger; the theorem is for networks without.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def output(weights: Sequence[Floats], x: Floats) -> Floats:
    """f(x, W): float64 (outputs,) or (outputs, n) for inputs in columns."""
    for matrix in weights[:-1]:
        x = np.maximum(0.0, matrix @ x)
    return np.asarray(weights[-1] @ x)


def norm(matrix: Floats) -> float:
    """Largest sum of magnitudes in a column."""
    return float(np.abs(matrix).sum(axis=0).max())


def bound(weights: Sequence[Floats], pruned: Sequence[Floats]) -> float:
    """The right side of (12)."""
    total = 0.0
    for layer, (matrix, kept) in enumerate(zip(weights, pruned, strict=True)):
        before = float(np.prod([norm(other) for other in pruned[:layer]]))
        behind = float(np.prod([norm(other) for other in weights[layer + 1 :]]))
        total += before * norm(matrix - kept) * behind
    return total


def prune(weights: Sequence[Floats], kept: float) -> list[Floats]:
    """Set the smallest magnitudes to 0, at one threshold for all matrices.

    Args:
        weights: The matrices.
        kept: Fraction r that is kept.
    """
    magnitudes = np.concatenate([np.abs(matrix).ravel() for matrix in weights])
    n_dropped = round((1 - kept) * len(magnitudes))
    if n_dropped == 0:
        return [matrix.copy() for matrix in weights]
    threshold = np.partition(magnitudes, n_dropped - 1)[n_dropped - 1]
    return [np.where(np.abs(matrix) <= threshold, 0.0, matrix) for matrix in weights]


def looseness(n_networks: int = 1000, seed: int = 0) -> tuple[int, float]:
    """Random networks, inputs and fractions: how often (12) is broken, and the median of bound over distance."""
    rng = np.random.default_rng((11, seed))
    broken, ratios = 0, []
    for _ in range(n_networks):
        sizes = rng.integers(4, 40, size=int(rng.integers(2, 6)))
        shapes = zip(sizes[1:], sizes[:-1], strict=True)
        weights = [rng.laplace(size=shape) / np.sqrt(shape[1]) for shape in shapes]
        x = rng.laplace(size=sizes[0])
        x /= np.abs(x).sum()
        pruned = prune(weights, float(rng.uniform(0.1, 0.95)))
        distance = float(np.abs(output(weights, x) - output(pruned, x)).sum())
        limit = bound(weights, pruned)
        broken += distance > limit * (1 + 1e-12)
        if distance > 0:
            ratios.append(limit / distance)
    return broken, float(np.median(ratios))
