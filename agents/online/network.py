"""The network, twice: in torch, to be learnt and saved, and compiled, to be played. A test holds them equal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agents.online.features import ACTION, AHEAD, EDGE, MOST_MODELS, TOKEN, Scene
from agents.pairwise import Layers, PairwiseNetwork, States, views_of
from pl_env.compiling import compiled, inlined
from pl_env.low_level import borrowed
from pl_env.ranges import require_integer

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        message: Units of what a model hears from another.
        hidden: Units of a batch's hidden layer.
        ahead: Batches of which it is looked ahead what comes of them, the others being left out; 0 for none and all.

    Raises:
        InvalidValue: A number is out of range.
    """

    message: int = 16
    hidden: int = 32
    ahead: int = 0

    def __post_init__(self) -> None:
        require_integer("ahead", self.ahead, 0, 1000)
        for name in ("message", "hidden"):
            require_integer(name, getattr(self, name), 1, 1024)

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


class CompiledNetwork(PairwiseNetwork):
    """Scores batches. Each model hears from each other one that can run; the mean and the maximum go to its batches.

    m_ij = relu(edge_ij E + token_j O + token_i S + e),  m_i = [mean_j m_ij, max_j m_ij]
    score = relu(batch A + token_i T + m_i M + a) · c + r · log(urgency) + p · users served yet, looking ahead

    Before training r is 1, p 0.3 and c 0: this is `urgent-greedy`, and with the look ahead a part of `replan`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Draw fresh weights."""
        super().__init__(EDGE, TOKEN, ACTION, config.message, config.hidden, [1.0, 0.3])
        self.config = config

    def forward(self, states: States) -> Tensor:
        """Scores of the given batches, float32 (B, C)."""
        return self.correction(states) + self.rate[0] * states.action[..., 0] + self.rate[1] * states.action[..., AHEAD]


@compiled
def layers_of(weights: Singles, w: int, h: int) -> Layers:
    """Views of all weights, (weights,), which stand in the order of the network's parameters."""
    return views_of(weights, EDGE, TOKEN, ACTION, w, h)


class Codes(NamedTuple):
    """Scratch of the network; units stand along the last axis, for vector instructions."""

    other: Singles  # (M, message)
    own: Singles  # (M, message)
    heard: Singles  # (M, 2 · message)
    base: Singles  # (M, hidden)
    hidden: Singles  # (hidden,)
    score: Singles  # (A,) out


@compiled
def new_codes(n_models: int, n_actions: int, w: int, h: int) -> Codes:
    """Room for the network's numbers."""
    most = min(n_models, MOST_MODELS)
    return Codes(
        np.zeros((most, w), dtype=np.float32),
        np.zeros((most, w), dtype=np.float32),
        np.zeros((most, 2 * w), dtype=np.float32),
        np.zeros((most, h), dtype=np.float32),
        np.zeros(h, dtype=np.float32),
        np.zeros(n_actions, dtype=np.float32),
    )


@compiled
def score_actions(s: Scene, layers: Layers, codes: Codes) -> None:
    """Write the score of every batch of a decision."""
    s, layers, codes = borrowed(s), borrowed(layers), borrowed(codes)
    count, w, h, none = s.counts[0], len(layers.edge_bias), len(layers.out), np.float32(0.0)
    for c in range(count):
        for k in range(w):
            codes.other[c, k] = none
            codes.own[c, k] = layers.edge_bias[k]
        for k in range(h):
            codes.base[c, k] = layers.action_bias[k]
        _add_product(s.token, c, layers.other, codes.other, c)
        _add_product(s.token, c, layers.own, codes.own, c)
        _add_product(s.token, c, layers.token, codes.base, c)
    for c in range(count):
        _hear(s, layers.edge, count, c, codes)
        _add_product(codes.heard, c, layers.message, codes.base, c)
    hidden, out = codes.hidden, layers.out
    for a in range(s.counts[1]):
        base = codes.base[s.place[a]]
        for k in range(h):
            hidden[k] = base[k]
        _add_product(s.action, a, layers.action, codes.hidden.reshape(1, h), 0)
        for k in range(h):
            hidden[k] = out[k] * (hidden[k] if hidden[k] > none else none)
        codes.score[a] = layers.rate[0] * s.action[a, 0] + layers.rate[1] * s.action[a, AHEAD] + _sum(hidden)


@inlined
def _hear(s: Scene, edge: Singles, count: int, own: int, codes: Codes) -> None:
    """The mean and the maximum of what a model hears from all."""
    none, share, w = np.float32(0.0), np.float32(1.0) / np.float32(count), edge.shape[1]
    for k in range(2 * w):
        codes.heard[own, k] = none
    for other in range(count):
        x0, x1, x2, x3 = s.edge[own, other, 0], s.edge[own, other, 1], s.edge[own, other, 2], s.edge[own, other, 3]
        for k in range(w):
            x = codes.own[own, k] + codes.other[other, k]
            x += x0 * edge[0, k] + x1 * edge[1, k] + x2 * edge[2, k] + x3 * edge[3, k]
            x = x if x > none else none
            most = codes.heard[own, w + k]
            codes.heard[own, k] += x
            codes.heard[own, w + k] = x if x > most else most
    for k in range(w):
        codes.heard[own, k] *= share


@inlined
def _add_product(inputs: Singles, row: int, matrix: Singles, out: Singles, to: int) -> None:
    """Add a row of inputs times a matrix to a row; four inputs at a time, of which there are a multiple of four."""
    for n in range(0, matrix.shape[0], 4):
        x0, x1, x2, x3 = inputs[row, n], inputs[row, n + 1], inputs[row, n + 2], inputs[row, n + 3]
        for k in range(matrix.shape[1]):
            out[to, k] += x0 * matrix[n, k] + x1 * matrix[n + 1, k] + x2 * matrix[n + 2, k] + x3 * matrix[n + 3, k]


@inlined
def _sum(values: Singles) -> np.float32:
    """Sum, four chains of additions side by side."""
    n = len(values)
    s0, s1, s2, s3 = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for k in range(0, n - 3, 4):
        s0 += values[k]
        s1 += values[k + 1]
        s2 += values[k + 2]
        s3 += values[k + 3]
    for k in range(n - n % 4, n):
        s0 += values[k]
    return (s0 + s1) + (s2 + s3)
