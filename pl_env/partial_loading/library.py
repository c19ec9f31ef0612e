"""The model library: which model holds which parameter blocks, and how large the blocks are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.files import Stored
from pl_env.layers import layer_table
from pl_env.partial_loading.serving_table import ServingTable, require_blocks
from pl_env.ranges import require, require_integer, require_one_of, require_real
from pl_env.read_only import ReadOnlyArrays, read_only

SHARING = ("bls", "general")


@dataclass(frozen=True, eq=False)
class ModelLibrary(Stored, ReadOnlyArrays):
    """Models × parameter blocks.

    Attributes:
        has_block: bool (I, J), model i holds block j.
        block_bytes: int64 (J,), size of each block in bytes.
        architectures: Architecture of each model (I names); an `EdgeServer` looks up its compute times by it.
        model_names: Name of each model (I names); "model-0", "model-1", … unless given.

    Raises:
        InvalidValue: Shapes disagree, or a size is negative or too large.
    """

    KIND: ClassVar[str] = "model-library"

    has_block: NDArray[np.bool_]
    block_bytes: NDArray[np.int64]
    architectures: tuple[str, ...]
    model_names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_block", read_only("has_block", self.has_block, np.bool_, 2))
        object.__setattr__(self, "block_bytes", read_only("block_bytes", self.block_bytes, np.int64, 1))
        for name in ("architectures", "model_names"):
            value = getattr(self, name)
            require(isinstance(value, (tuple, list)), name, value, "a tuple of strings")
            object.__setattr__(self, name, tuple(value))
        n_models, n_blocks = self.has_block.shape
        require(n_models >= 1, "has_block.shape", self.has_block.shape, "(I, J) with at least one model")
        require(
            self.block_bytes.shape == (n_blocks,),
            "block_bytes.shape",
            self.block_bytes.shape,
            f"({n_blocks},), one size per column of has_block",
        )
        require_blocks(self.block_bytes)
        self._require_strings("architectures")
        if not self.model_names:
            object.__setattr__(self, "model_names", tuple(f"model-{i}" for i in range(n_models)))
        self._require_strings("model_names")

    def _require_strings(self, name: str) -> None:
        values, n_models = getattr(self, name), self.n_models
        require(len(values) == n_models, f"len({name})", len(values), f"{n_models}, one per model")
        require(all(isinstance(value, str) for value in values), name, values, "strings")

    def __repr__(self) -> str:
        megabytes = float(self.block_bytes.sum()) / 1e6
        return f"<ModelLibrary: {self.n_models} models of {self.n_blocks} blocks, {megabytes:,.1f} MB>"

    @property
    def n_models(self) -> int:
        """Number of models I."""
        return int(self.has_block.shape[0])

    @property
    def n_blocks(self) -> int:
        """Number of parameter blocks J."""
        return int(self.has_block.shape[1])

    @cached_property
    def model_bytes(self) -> NDArray[np.int64]:
        """Size of each model in bytes, int64 (I,)."""
        return self.has_block.astype(np.int64) @ self.block_bytes

    @cached_property
    def sharing(self) -> str:
        """How the models share blocks: "none", "bls" (clusters of bottom layers) or "general" (arbitrary).

        It is "bls" where two models of a cluster share all that one of them shares, whatever the place of the blocks in
        the network; that is what planners for bottom-layer sharing need.
        """
        if int(self.has_block.sum(axis=0).max(initial=0)) <= 1:
            return "none"
        nothing = np.zeros(self.n_models, dtype=np.int64)
        table = ServingTable(
            self.has_block, self.block_bytes, np.zeros_like(self.block_bytes), nothing, nothing, nothing
        )
        return "general" if table.clusters is None else "bls"

    def without_sharing(self) -> ModelLibrary:
        """The same models, each one block of its own: what a server loads that knows nothing of shared blocks."""
        alone = np.eye(self.n_models, dtype=np.bool_)
        return ModelLibrary(alone, self.model_bytes, self.architectures, self.model_names)

    def compact(self) -> ModelLibrary:
        """Merge blocks that belong to exactly the same models, and drop blocks that belong to none.

        No loading size between any two models changes. Blocks keep the order of their first member.
        """
        used = self.has_block.any(axis=0)
        columns = self.has_block[:, used]
        _, first, group = np.unique(columns, axis=1, return_index=True, return_inverse=True)
        group = group.reshape(-1)
        order = np.argsort(first)
        merged_bytes = np.zeros(len(first), dtype=np.int64)
        np.add.at(merged_bytes, group, self.block_bytes[used])
        return ModelLibrary(columns[:, first[order]], merged_bytes[order], self.architectures, self.model_names)

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header = {"architectures": list(self.architectures), "model_names": list(self.model_names)}
        return header, {"has_block": self.has_block, "block_bytes": self.block_bytes}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> ModelLibrary:
        return cls(**arrays, **header)  # type: ignore[arg-type]


def build_library(
    sharing: str,
    n_models: int,
    backbones: tuple[str, ...],
    theta: float,
    theta_spread: float,
    rng: np.random.Generator,
) -> ModelLibrary:
    """Draw a library of models fine-tuned from common backbones, compacted (section VII of the paper).

    Model i takes backbone ``i mod len(backbones)`` and shares ``round(theta_i · L)`` of its L layers with its
    siblings, theta_i uniform in theta ± min(theta_spread, 1 - theta, theta); the head (the last layer) is never
    shared. With ``sharing="bls"`` these are the bottom layers, with ``"general"`` layers at random positions.

    Args:
        sharing: "bls" or "general".
        n_models: Number of models I.
        backbones: Architectures, each the backbone of one cluster.
        theta: Mean fraction of shared layers, in [0, 1].
        theta_spread: Half width of the fraction's range.
        rng: The source of all randomness.

    Raises:
        InvalidValue: An argument is out of range.
        UnknownName: A backbone is unknown.
    """
    require_one_of("sharing", sharing, SHARING)
    require_integer("n_models", n_models, 1)
    good = isinstance(backbones, (tuple, list)) and len(backbones) >= 1
    require(good, "backbones", backbones, "a tuple of at least one architecture")
    require_real("theta", theta, 0, 1)
    require_real("theta_spread", theta_spread, 0, 1)
    spread = min(theta_spread, 1 - theta, theta)
    theta_of_model = rng.uniform(theta - spread, theta + spread, size=n_models)
    bytes_of_layers = [
        np.array([layer.bytes for layer in layer_table(backbone)], dtype=np.int64) for backbone in backbones
    ]
    backbone_start = np.cumsum([0, *map(len, bytes_of_layers)])
    n_backbone_layers = int(backbone_start[-1])
    has_backbone_layer = np.zeros((n_models, n_backbone_layers), dtype=np.bool_)
    private_bytes = np.zeros(n_models, dtype=np.int64)
    for model in range(n_models):
        kind = model % len(backbones)
        layer_bytes = bytes_of_layers[kind]
        n_shareable = len(layer_bytes) - 1
        n_shared = min(round(float(theta_of_model[model]) * len(layer_bytes)), n_shareable)
        shared = np.arange(n_shared) if sharing == "bls" else rng.permutation(n_shareable)[:n_shared]
        has_backbone_layer[model, backbone_start[kind] + shared] = True
        private_bytes[model] = layer_bytes.sum() - layer_bytes[shared].sum()
    architectures = tuple(backbones[model % len(backbones)] for model in range(n_models))
    return ModelLibrary(
        np.hstack([has_backbone_layer, np.eye(n_models, dtype=np.bool_)]),
        np.concatenate([*bytes_of_layers, private_bytes]),
        architectures,
        tuple(f"{architecture}-{model}" for model, architecture in enumerate(architectures)),
    ).compact()


def most_blocks(sharing: str, n_models: int, backbones: tuple[str, ...]) -> int:
    """Upper bound of the number of blocks of any library that `build_library` draws with these arguments."""
    n_layers = sum(len(layer_table(backbone)) for backbone in backbones)
    return n_models + (min(n_models, n_layers) if sharing == "bls" else n_layers)
