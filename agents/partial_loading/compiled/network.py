"""The small network, twice: in torch, to be learnt and saved, and compiled, to be played. A test holds them equal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agents.pairwise import Layers, PairwiseNetwork, States, views_of
from agents.partial_loading.compiled.features import ACTION, EDGE, TOKEN, Scene
from pl_env.compiling import compiled
from pl_env.ranges import require_integer

Singles = NDArray[np.float32]


@dataclass(frozen=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        batch_cap: Largest batch b_cap of the environments that it plays.
        message: Units of what a model hears from another.
        hidden: Units of an action's hidden layer.

    Raises:
        InvalidValue: A number is out of range.
    """

    batch_cap: int = 8
    message: int = 16
    hidden: int = 32

    def __post_init__(self) -> None:
        require_integer("batch_cap", self.batch_cap, 1)
        for name in ("message", "hidden"):
            require_integer(name, getattr(self, name), 1, 1024)

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


class CompiledNetwork(PairwiseNetwork):
    """Scores actions. Each model hears from each other pending one; the mean and the maximum of that go to its actions.

    m_ij = relu(edge_ij E + token_j O + token_i S + e),  m_i = [mean_j m_ij, max_j m_ij]
    score = relu(action A + token_i T + m_i M + a) · c + r · log(users / time)

    The weight r begins as 1 and c as 0: before training this is the greedy rule.
    """

    def __init__(self, config: NetworkConfig) -> None:
        """Draw fresh weights."""
        super().__init__(EDGE, TOKEN, ACTION, config.message, config.hidden, [1.0])
        self.config = config

    def forward(self, states: States) -> Tensor:
        """Scores of the given actions, float32 (B, C)."""
        return self.correction(states) + self.rate * states.action[..., 0]


@compiled
def layers_of(weights: Singles, w: int, h: int) -> Layers:
    """Views of all weights, (weights,), which stand in the order of the network's parameters."""
    return views_of(weights, EDGE, TOKEN, ACTION, w, h)


class Codes(NamedTuple):
    """Scratch of the network; what it counts stands along the last axis, for vector instructions."""

    other: Singles  # (message, I + 1)
    own: Singles  # (message, I)
    heard: Singles  # (2 · message, I)
    base: Singles  # (hidden, I)
    hidden: Singles  # (hidden, A)
    score: Singles  # (A,) out


@compiled
def new_codes(n_models: int, n_actions: int, w: int, h: int) -> Codes:
    """Room for the network's numbers."""
    return Codes(
        np.zeros((w, n_models + 1), dtype=np.float32),
        np.zeros((w, n_models), dtype=np.float32),
        np.zeros((2 * w, n_models), dtype=np.float32),
        np.zeros((h, n_models), dtype=np.float32),
        np.zeros((h, n_actions), dtype=np.float32),
        np.zeros(n_actions, dtype=np.float32),
    )


_NOTHING_HEARD = np.float32(-1e30)


@compiled
def score_actions(s: Scene, layers: Layers, codes: Codes) -> None:
    """Write the score of every action of a state."""
    count, actions, w = s.counts[0], s.counts[1], len(layers.edge_bias)
    codes.other[:] = np.float32(0.0)
    _multiply(s.token, layers.other, count, codes.other)
    for k in range(w):
        codes.own[k, :count] = layers.edge_bias[k]
    _multiply(s.token, layers.own, count, codes.own)
    _hear(s, layers.edge, count, codes)
    for k in range(len(layers.out)):
        codes.base[k, :count] = layers.action_bias[k]
    _multiply(s.token, layers.token, count, codes.base)
    _multiply(codes.heard, layers.message, count, codes.base)
    score, rate, log_rate = codes.score, layers.rate[0], s.action[0]
    for a in range(actions):
        score[a] = rate * log_rate[a]
    for k in range(len(layers.out)):
        hidden, base = codes.hidden[k], codes.base[k]
        for a in range(actions):
            hidden[a] = base[s.place[a]]
    _multiply(s.action, layers.action, actions, codes.hidden)
    for k in range(len(layers.out)):
        hidden, out = codes.hidden[k], layers.out[k]
        for a in range(actions):
            score[a] += out * max(hidden[a], np.float32(0.0))


@compiled
def _hear(s: Scene, edge: Singles, count: int, codes: Codes) -> None:
    """The mean and the maximum of what each model hears from all, two others at a time."""
    none, share = np.float32(0.0), np.float32(1.0) / np.float32(max(1, count))
    w = edge.shape[1]
    codes.heard[:, :count] = none
    for k in range(w):
        own, mean, most = codes.own[k], codes.heard[k], codes.heard[w + k]
        e0, e1, e2 = edge[0, k], edge[1, k], edge[2, k]
        codes.other[k, count] = _NOTHING_HEARD
        for j in range(0, count, 2):
            next_j = min(j + 1, len(s.model) - 1)
            a0, a1, a2, a = s.edge[0, j], s.edge[1, j], s.edge[2, j], codes.other[k, j]
            b0, b1, b2, b = s.edge[0, next_j], s.edge[1, next_j], s.edge[2, next_j], codes.other[k, j + 1]
            for i in range(count):
                x = max(own[i] + a + a0[i] * e0 + a1[i] * e1 + a2[i] * e2, none)
                y = max(own[i] + b + b0[i] * e0 + b1[i] * e1 + b2[i] * e2, none)
                mean[i] += x + y
                most[i] = max(most[i], max(x, y))
        for i in range(count):
            mean[i] *= share


@compiled
def _multiply(inputs: Singles, matrix: Singles, count: int, out: Singles) -> None:
    """Add matrix' · inputs to the first columns; four inputs at a time, of which there are a multiple of four."""
    for k in range(matrix.shape[1]):
        row = out[k]
        for n in range(0, matrix.shape[0], 4):
            x0, x1, x2, x3 = inputs[n], inputs[n + 1], inputs[n + 2], inputs[n + 3]
            m0, m1, m2, m3 = matrix[n, k], matrix[n + 1, k], matrix[n + 2, k], matrix[n + 3, k]
            for a in range(count):
                row[a] += x0[a] * m0 + x1[a] * m1 + x2[a] * m2 + x3[a] * m3
