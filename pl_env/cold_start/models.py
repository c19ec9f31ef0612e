"""Language models as tables of layers: bytes of weights, work for a prompt, bytes of the activation behind each layer.

Symbols are those of ``docs/cold-start.md``: d_m width, h_q and h_k heads, d_h head width, d_ff feed-forward width.
Norms and biases are left out, as in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import UnknownName
from pl_env.ranges import require, require_integer

Ints = NDArray[np.int64]

MOST_LAYERS = 512
MOST_TOKENS = 1_000_000
_MOST_WIDTH = 100_000
_MOST_PARAMETERS = 10**14
WEIGHT_BITS = (2, 3, 4, 5, 6, 8, 16, 32)


class LayerTable(NamedTuple):
    """The L layers of a model, for a prompt of t tokens; work and activations as functions of t."""

    weight_bytes: Ints  # (L,)
    flop: Ints  # (3, L): work is flop[0] + flop[1] t + flop[2] t²; 2 FLOP a multiply-add, all t² pairs of positions
    activation_bytes: Ints  # (L,) a token, behind each layer


@dataclass(frozen=True)
class LanguageModel:
    """A decoder-only transformer, by the numbers of its config; all its layers are alike.

    Attributes:
        name: Its name.
        layers: Layers L, without embedding and head.
        width: d_m.
        query_heads: h_q.
        key_value_heads: h_k.
        head_width: d_h.
        feed_forward: d_ff.
        vocabulary: V.
        gated: Three matrices in the feed-forward part, not two.
        bits: Bits of a number of an activation, and of a weight unless ``weight_bits`` says otherwise.
        weight_bits: Bits of a weight.
        positions: Positions that the embedding has a row for; 0 where positions are rotated.
        tied: Embedding and head are the same matrix; both are loaded, as they may be on different devices.

    Raises:
        InvalidValue: A number is out of range.
    """

    name: str
    layers: int
    width: int
    query_heads: int
    key_value_heads: int
    head_width: int
    feed_forward: int
    vocabulary: int
    gated: bool = True
    bits: int = 16
    weight_bits: int = 0
    positions: int = 0
    tied: bool = False

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name != "", "name", self.name, "a string that is not empty")
        require_integer("layers", self.layers, 1, MOST_LAYERS)
        for name in ("width", "query_heads", "key_value_heads", "head_width"):
            require_integer(name, getattr(self, name), 1, _MOST_WIDTH)
        require_integer("feed_forward", self.feed_forward, 1, 10 * _MOST_WIDTH)
        require_integer("vocabulary", self.vocabulary, 1, 10_000_000)
        require_integer("positions", self.positions, 0, 10_000_000)
        for name in ("gated", "tied"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        require(self.bits in (16, 32), "bits", self.bits, "16 or 32")
        if self.weight_bits == 0:
            object.__setattr__(self, "weight_bits", self.bits)
        require_weight_bits(self.weight_bits)
        require_integer("parameters of a layer", self.layer_parameters, 1, _MOST_PARAMETERS // MOST_LAYERS)

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer."""
        attention = 2 * self.width * self.head_width * (self.query_heads + self.key_value_heads)
        return attention + (3 if self.gated else 2) * self.width * self.feed_forward

    @property
    def parameters(self) -> int:
        """Parameters of the whole model."""
        ends = self.width * (self.positions + self.vocabulary * (1 if self.tied else 2))
        return self.layers * self.layer_parameters + ends

    def table(self, *, weight_bits: int | None = None, ends: bool = False) -> LayerTable:
        """The layers, equations (1) to (7).

        Args:
            weight_bits: Bits of a weight, in place of the model's own.
            ends: With the embedding as a first layer and the head as a last one, which computes the last position only.

        Raises:
            InvalidValue: ``weight_bits`` is out of range.
        """
        bits = self.weight_bits if weight_bits is None else weight_bits
        require_weight_bits(bits)
        linear = 4 * self.head_width * self.width * (self.query_heads + self.key_value_heads)
        linear += (6 if self.gated else 4) * self.width * self.feed_forward
        squared = 4 * self.head_width * self.query_heads
        rows = [(self.layer_parameters, 0, linear, squared)] * self.layers
        if ends:
            embedding = (self.width * (self.vocabulary + self.positions), 0, 0, 0)
            head = (self.width * self.vocabulary, 2 * self.width * self.vocabulary, 0, 0)
            rows = [embedding, *rows, head]
        columns = np.array(rows, dtype=np.int64).T
        activation = np.full(len(rows), self.bits // 8 * self.width, dtype=np.int64)
        return LayerTable(-(-columns[0] * bits // 8), columns[1:].copy(), activation)


def require_weight_bits(bits: object) -> None:
    """Raise `InvalidValue` unless weights can have so many bits."""
    require(bits in WEIGHT_BITS, "weight_bits", bits, f"one of {', '.join(map(str, WEIGHT_BITS))}")


MODELS = {
    "qwen3-14b": LanguageModel("qwen3-14b", 40, 5120, 40, 8, 128, 17408, 151936),
    "llama3-8b": LanguageModel("llama3-8b", 32, 4096, 32, 8, 128, 14336, 128256),
    "gpt2": LanguageModel("gpt2", 12, 768, 12, 12, 64, 3072, 50257, gated=False, bits=32, positions=1024, tied=True),
}
"""By name."""


def model_named(name: str) -> LanguageModel:
    """A model by its name.

    Raises:
        UnknownName: There is no such model.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    return MODELS[name]
