"""What can be downloaded: models layer by layer, in bytes and FLOP, and which of them answers which request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import UnknownName, shown
from pl_env.layers import ARCHITECTURES, TRANSFORMERS, Layer, layer_table, transformer_table
from pl_env.ranges import require, require_integer
from pl_env.read_only import ReadOnlyArrays, read_only

BYTES_PER_PARAMETER = 2
"""Weights are half precision (fp16)."""

FLOP_PER_MAC = 2

MOST_LAYERS = 10_000
MOST_BYTES = 10**9
"""Of a whole model: 8e9 · bytes, the download time at 1 bit/s, stays below 2^63."""

MOST_FLOP = 9 * 10**12
"""Of one layer of a task: a million times that, what cycles are computed from, stays below 2^63."""

N_CLASSES, IMAGE_SIZE, PROMPT_TOKENS = 1000, 224, 256

_VISION = (*ARCHITECTURES, "vit_b_16", "resnet50-int8")
MODELS = (*_VISION, "gpt2")
"""Names of the models that are built in, smaller before larger."""

SUBSTITUTES = ("resnet50-int8",)
"""Models that nobody asks for, and that are accepted in place of others."""


@dataclass(frozen=True)
class Model:
    """One model, layer by layer in the order of the forward pass.

    Attributes:
        name: Its name.
        layer_bytes: Bytes S_l of each layer.
        layer_flop: FLOP of each layer for one sample.
        answers: Names of the requests that it answers besides those for itself.
    """

    name: str
    layer_bytes: tuple[int, ...]
    layer_flop: tuple[int, ...]
    answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in ("layer_bytes", "layer_flop", "answers"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        n_layers = len(self.layer_bytes)
        require_integer("len(layer_bytes)", n_layers, 1, MOST_LAYERS)
        require(len(self.layer_flop) == n_layers, "len(layer_flop)", len(self.layer_flop), f"{n_layers}, as of bytes")
        for field, most in (("layer_bytes", MOST_BYTES), ("layer_flop", MOST_FLOP)):
            for value in getattr(self, field):
                require_integer(field, value, 0, most)
        require_integer("sum of layer_bytes", sum(self.layer_bytes), 0, MOST_BYTES)


@lru_cache(maxsize=16)
def built_in(name: str) -> Model:
    """A model of `MODELS`; a vision model answers requests for all smaller ones, GPT-2 those for itself.

    The int8 ResNet-50 has half the bytes of the fp16 one and computes 1.5 times as long, which is our choice.

    Raises:
        UnknownName: There is no such model.
    """
    if name not in MODELS:
        raise UnknownName("model", name, MODELS)
    architecture, _, is_quantised = name.partition("-")
    table: Sequence[Layer] = (
        transformer_table(architecture, N_CLASSES, IMAGE_SIZE, PROMPT_TOKENS)
        if architecture in TRANSFORMERS
        else layer_table(architecture, N_CLASSES, IMAGE_SIZE)
    )
    size, work = (1, 3) if is_quantised else (BYTES_PER_PARAMETER, FLOP_PER_MAC)  # 3 = 1.5 · 2 FLOP
    smaller = ("resnet18", "resnet34", "resnet50") if is_quantised else _VISION[: MODELS.index(name)]
    return Model(
        name,
        tuple(layer.parameters * size for layer in table),
        tuple(layer.macs * work for layer in table),
        smaller if name in _VISION else (),
    )


@dataclass(frozen=True, eq=False)
class Library(ReadOnlyArrays):
    """All models (I), and requests (J <= I), which are for the first J of them.

    Attributes:
        names: Names of the models.
        layer_start: int64 (I + 1,), where each model's layers begin in the two arrays that follow.
        layer_bytes: int64 (L,), bytes S_l, model by model.
        layer_flop: int64 (L,), FLOP C_l of a whole task, all its samples together.
        accepted: bool (J, I), the models that answer a request.

    Raises:
        InvalidValue: Shapes disagree or a value is out of range.
    """

    names: tuple[str, ...]
    layer_start: NDArray[np.int64]
    layer_bytes: NDArray[np.int64]
    layer_flop: NDArray[np.int64]
    accepted: NDArray[np.bool_]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        for name in ("layer_start", "layer_bytes", "layer_flop"):
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, 1))
        object.__setattr__(self, "accepted", read_only("accepted", self.accepted, np.bool_, 2))
        start, n = self.layer_start, len(self.names)
        good = len(start) == n + 1 and n >= 1 and start[0] == 0 and bool((np.diff(start) >= 1).all())
        require(good, "layer_start", start, f"{n + 1} ascending integers from 0 on, at least one layer a model")
        for name, most in (("layer_bytes", MOST_BYTES), ("layer_flop", MOST_FLOP)):
            array = getattr(self, name)
            require(len(array) == start[-1], f"len({name})", len(array), f"{start[-1]}, as layer_start says")
            require_integer(f"min({name})", int(array.min()), 0)
            require_integer(f"max({name})", int(array.max()), 0, most)
        require_integer("largest model's layers", int(np.diff(start).max()), 1, MOST_LAYERS)
        require_integer(
            "largest model's bytes", int(np.add.reduceat(self.layer_bytes, start[:-1]).max()), 0, MOST_BYTES
        )
        good = self.accepted.shape[1] == n and 1 <= len(self.accepted) <= n
        require(good, "accepted.shape", self.accepted.shape, f"(J, {n}) with J from 1 to {n}")

    def __repr__(self) -> str:
        return f"<Library: {', '.join(map(shown, self.names[:8]))}{', ...' * (len(self.names) > 8)}>"

    @property
    def n_models(self) -> int:
        """Number of models I."""
        return len(self.names)

    @property
    def n_requests(self) -> int:
        """Number J of different requests."""
        return len(self.accepted)

    def layers(self, model: int) -> slice:
        """Where a model's layers lie."""
        return slice(int(self.layer_start[model]), int(self.layer_start[model + 1]))

    @property
    def model_bytes(self) -> NDArray[np.int64]:
        """Bytes of each model, int64 (I,)."""
        return np.add.reduceat(self.layer_bytes, self.layer_start[:-1])

    @property
    def model_flop(self) -> NDArray[np.int64]:
        """FLOP of each model's task, int64 (I,)."""
        return np.add.reduceat(self.layer_flop, self.layer_start[:-1])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, as files hold them."""
        return {name: getattr(self, name) for name in ("layer_start", "layer_bytes", "layer_flop", "accepted")}


def build_library(models: Sequence[Model], samples: int) -> Library:
    """The library of some models, for tasks of so many samples; those that nobody asks for stand last."""
    asked = [model for model in models if model.name not in SUBSTITUTES]
    ordered = [*asked, *(model for model in models if model.name in SUBSTITUTES)]
    return Library(
        names=tuple(model.name for model in ordered),
        layer_start=np.cumsum([0, *(len(model.layer_bytes) for model in ordered)]),
        layer_bytes=np.concatenate([model.layer_bytes for model in ordered]).astype(np.int64),
        layer_flop=np.concatenate([model.layer_flop for model in ordered]).astype(np.int64) * samples,
        accepted=np.array([[m is r or r.name in m.answers for m in ordered] for r in asked], dtype=np.bool_),
    )
