"""A small network that sets the prices of a plan, and says which model is kept least dearly.

The prompt's plan takes least time and prices, by the dynamic program of the myopic planner. So what is learnt is only
what time alone does not tell: what a layer is worth on a device after this prompt. Fresh weights price nothing, and
play as the myopic planner does, but for what leaves first.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agents.cold_start_stream.features import DEVICE, KEPT, Scene
from baselines.cold_start_stream.planning import Prices
from pl_env.cold_start_stream.dynamics import PROMPT, Memory, Tables
from pl_env.compiling import compiled
from pl_env.ranges import require_integer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NetworkConfig:
    """Its size.

    Attributes:
        hidden: Units of the hidden layer over a device.
        kept: Units of the hidden layer over a model on a device.

    Raises:
        InvalidValue: A number is out of range.
    """

    hidden: int = 12
    kept: int = 8

    def __post_init__(self) -> None:
        require_integer("hidden", self.hidden, 1, 1024)
        require_integer("kept", self.kept, 1, 1024)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)


class PriceNetwork(nn.Module):
    """The weights; the kernels below read them in this order."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.device = nn.Linear(DEVICE, config.hidden, bias=False)
        self.prices = nn.Linear(config.hidden, 2, bias=False)
        self.model = nn.Linear(KEPT, config.kept, bias=False)
        self.worth = nn.Linear(config.kept, 1, bias=False)
        with torch.no_grad():
            self.prices.weight.zero_()
            self.worth.weight.zero_()


class Layers(NamedTuple):
    """A network's weights as matrices."""

    device: Floats  # (H, 16)
    prices: Floats  # (2, H)
    model: Floats  # (V, 9)
    worth: Floats  # (1, V)


@compiled
def layers_of(weights: Floats, hidden: int, kept: int) -> Layers:
    """The matrices of a vector of weights."""
    a = hidden * DEVICE
    b = a + 2 * hidden
    c = b + kept * KEPT
    return Layers(
        weights[:a].reshape((hidden, DEVICE)),
        weights[a:b].reshape((2, hidden)),
        weights[b:c].reshape((kept, KEPT)),
        weights[c : c + kept].reshape((1, kept)),
    )


@compiled
def set_prices(t: Tables, m: Memory, scene: Scene, layers: Layers, prices: Prices) -> None:
    """Prices of layers and of loads on every device, nanoseconds, as multiples of the time to load a layer."""
    model = t.model[m.state[PROMPT]]
    least = t.load_ns[:, model].min()
    for k in range(len(t.memory_bytes)):
        hidden = np.tanh(layers.device @ scene.device[k])
        out = layers.prices @ hidden
        prices.layer[k] = int(out[0] * least)
        prices.loaded[k] = int(out[1] * t.load_ns[k, model])


@compiled
def choose_victim(scene: Scene, layers: Layers, device: int) -> int:
    """The model in a device's memory that is worth least there; what was used long ago is worth less."""
    least, victim = np.inf, -1
    for q in range(scene.kept.shape[1]):
        if scene.kept[device, q, 0] > 0.0:
            hidden = np.tanh(layers.model @ scene.kept[device, q])
            worth = (layers.worth @ hidden)[0] - scene.kept[device, q, 5]
            if worth < least:
                least, victim = worth, q
    return victim
