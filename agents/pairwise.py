"""What the small compiled networks share: their layers in torch, and the views of their weights for kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pl_env.compiling import compiled

Singles = NDArray[np.float32]


class States(NamedTuple):
    """States and some of their actions, for torch; M models, C actions.

    Attributes:
        token: float32 (B, M, tokens), models.
        known: bool (B, M), which of them there are.
        own: int64 (B, C), place of each action's model.
        edge: float32 (B, C, M, edges), pairs of that model and all.
        action: float32 (B, C, actions).
    """

    token: Tensor
    known: Tensor
    own: Tensor
    edge: Tensor
    action: Tensor


class PairwiseNetwork(nn.Module):
    """Each model hears from each other one; the mean and the maximum of that go to its actions.

    m_ij = relu(edge_ij E + token_j O + token_i S + e),  m_i = [mean_j m_ij, max_j m_ij]
    correction = relu(action A + token_i T + m_i M + a) · c, where c begins as 0.
    """

    def __init__(self, edges: int, tokens: int, actions: int, message: int, hidden: int, rate: list[float]) -> None:
        """Draw fresh weights.

        Args:
            edges: Numbers of a pair of models.
            tokens: Numbers of a model.
            actions: Numbers of an action.
            message: Units of what a model hears from another.
            hidden: Units of an action's hidden layer.
            rate: Weights of numbers that count beside the correction, as they begin.
        """
        super().__init__()
        w, h = message, hidden
        self.edge = _drawn(edges, w, edges + 2 * tokens)
        self.other = _drawn(tokens, w, edges + 2 * tokens)
        self.own = _drawn(tokens, w, edges + 2 * tokens)
        self.edge_bias = nn.Parameter(torch.zeros(w))
        self.action = _drawn(actions, h, actions + tokens + 2 * w)
        self.token = _drawn(tokens, h, actions + tokens + 2 * w)
        self.message = _drawn(2 * w, h, actions + tokens + 2 * w)
        self.action_bias = nn.Parameter(torch.zeros(h))
        self.out = nn.Parameter(torch.zeros(h))
        self.rate = nn.Parameter(torch.tensor(rate))

    def correction(self, states: States) -> Tensor:
        """What is added to the scores of the given actions, float32 (B, C)."""
        own = states.own[..., None]
        token = states.token.gather(1, own.expand(-1, -1, states.token.shape[2]))
        from_others = (states.token @ self.other)[:, None]
        heard = torch.relu(states.edge @ self.edge + from_others + (token @ self.own)[:, :, None] + self.edge_bias)
        heard = heard * states.known[:, None, :, None]
        counts = states.known.sum(dim=1)[:, None, None]
        message = torch.cat([heard.sum(dim=2) / counts, heard.max(dim=2).values], dim=2)
        h = torch.relu(states.action @ self.action + token @ self.token + message @ self.message + self.action_bias)
        return h @ self.out


def _drawn(inputs: int, outputs: int, all_inputs: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(inputs, outputs) * (1.5 / all_inputs) ** 0.5)


class Layers(NamedTuple):
    """The weights for the kernels, named as the network's parameters."""

    edge: Singles
    other: Singles
    own: Singles
    edge_bias: Singles
    action: Singles
    token: Singles
    message: Singles
    action_bias: Singles
    out: Singles
    rate: Singles


@compiled
def views_of(weights: Singles, edges: int, tokens: int, actions: int, w: int, h: int) -> Layers:
    """Views of all weights, (weights,), which stand in the order of the network's parameters."""
    ends = np.cumsum(np.array([edges * w, tokens * w, tokens * w, w, actions * h, tokens * h, 2 * w * h, h, h]))
    return Layers(
        weights[: ends[0]].reshape((edges, w)),
        weights[ends[0] : ends[1]].reshape((tokens, w)),
        weights[ends[1] : ends[2]].reshape((tokens, w)),
        weights[ends[2] : ends[3]],
        weights[ends[3] : ends[4]].reshape((actions, h)),
        weights[ends[4] : ends[5]].reshape((tokens, h)),
        weights[ends[5] : ends[6]].reshape((2 * w, h)),
        weights[ends[6] : ends[7]],
        weights[ends[7] : ends[8]],
        weights[ends[8] :],
    )
