"""Linear prices: what is learnt is what a plan is charged for, and which model is kept least dearly.

The prompt's plan takes least time and prices, by the dynamic program of the myopic planner. So what is learnt is only
what time alone does not tell: what a layer is worth on a device after this prompt. Fresh weights price nothing, and
play as the myopic planner does, but for what leaves first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agents.cold_start_stream.features import DEVICE, KEPT, Scene
from baselines.cold_start_stream.planning import Prices
from pl_env.cold_start_stream.dynamics import PROMPT, Memory, Tables
from pl_env.compiling import compiled

Floats = NDArray[np.float64]

WEIGHTS = 2 * DEVICE + KEPT


class PriceNetwork(nn.Module):
    """The weights; the kernels below read them in this order."""

    def __init__(self) -> None:
        super().__init__()
        self.prices = nn.Linear(DEVICE, 2, bias=False)
        self.worth = nn.Linear(KEPT, 1, bias=False)
        with torch.no_grad():
            self.prices.weight.zero_()
            self.worth.weight.zero_()


class Layers(NamedTuple):
    """The weights as arrays."""

    prices: Floats  # (2, 16)
    worth: Floats  # (9,)


@compiled
def layers_of(weights: Floats) -> Layers:
    """The arrays of a vector of weights."""
    return Layers(weights[: 2 * DEVICE].reshape((2, DEVICE)), weights[2 * DEVICE :])


@compiled
def set_prices(t: Tables, m: Memory, scene: Scene, layers: Layers, prices: Prices) -> None:
    """Prices of layers and of loads on every device, nanoseconds: at most twice the time to load a layer."""
    model = t.model[m.state[PROMPT]]
    least = t.load_ns[:, model].min()
    for k in range(len(t.memory_bytes)):
        layer, loaded = 0.0, 0.0
        for n in range(DEVICE):
            layer += layers.prices[0, n] * scene.device[k, n]
            loaded += layers.prices[1, n] * scene.device[k, n]
        prices.layer[k] = int(2.0 * np.tanh(layer) * least)
        prices.loaded[k] = int(2.0 * np.tanh(loaded) * t.load_ns[k, model])


@compiled
def choose_victim(scene: Scene, layers: Layers, device: int) -> int:
    """The model in a device's memory that is worth least there; what was used long ago is worth less."""
    least, victim = np.inf, -1
    for q in range(scene.kept.shape[1]):
        if scene.kept[device, q, 0] > 0.0:
            worth = -scene.kept[device, q, 5]
            for n in range(KEPT):
                worth += layers.worth[n] * scene.kept[device, q, n]
            if worth < least:
                least, victim = worth, q
    return victim
