"""What a server needs to know of a library to schedule it: integer nanoseconds, no radio, no users."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.partial_loading.dynamics import affine_load_ns
from pl_env.ranges import require, require_integer
from pl_env.read_only import ReadOnlyArrays, read_only
from pl_env.times import LONGEST_LOAD_NS, LONGEST_NS

LARGEST_BATCH = 1_024
"""Most users of a batch, and most channels of equal width: 1,024 uploads of `LONGEST_UPLOAD_NS` are 1.02e17 ns."""

MOST_BLOCKS = 1_000_000
"""So many blocks that take `LONGEST_NS` each add up to 3.6e18 ns, less than 2^63."""

MOST_BYTES = 10**18
"""Most bytes of a library; sums of its blocks stay below 2^63."""


def require_blocks(block_bytes: NDArray[np.int64]) -> None:
    """Require sizes of blocks of which no sum leaves int64.

    Raises:
        InvalidValue: A size is negative, or there are too many blocks or bytes.
    """
    require_integer("len(block_bytes)", len(block_bytes), 0, MOST_BLOCKS)
    smallest = int(block_bytes.min(initial=0))
    require(smallest >= 0, "min(block_bytes)", smallest, "at least 0")
    together = float(block_bytes.sum(dtype=np.float64))  # as int64 the sum itself could wrap around
    require(together <= MOST_BYTES, "sum(block_bytes)", together, f"at most {MOST_BYTES}")


def _require_loads(load_ns: NDArray[np.int64]) -> None:
    require_integer("min(load_ns)", int(load_ns.min()), 0)
    require_integer("max(load_ns)", int(load_ns.max()), 0, LONGEST_LOAD_NS)


@dataclass(frozen=True)
class Clusters(ReadOnlyArrays):
    """Bottom-layer sharing, read off a table: models that share blocks, and how much of each is shared.

    Two models of one cluster share exactly the shared blocks of the one that has fewer of them, so loading i after a
    costs V(private_ns[i] + max(0, shared_ns[i] - shared_ns[a])).

    Attributes:
        members: int64 (I,), the models cluster by cluster, each cluster in ascending order of ``shared_ns``
            (Corollary 1); among equals those without private blocks first, then by index.
        start: int64 (C + 1,), where each cluster begins in ``members``.
        cluster: int64 (I,), cluster of each model.
        shared_ns: int64 (I,), loading nanoseconds of the blocks that a model shares with others.
        private_ns: int64 (I,), loading nanoseconds of the blocks that only this model has.
    """

    members: NDArray[np.int64]
    start: NDArray[np.int64]
    cluster: NDArray[np.int64]
    shared_ns: NDArray[np.int64]
    private_ns: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ServingTable(ReadOnlyArrays):
    """One library on one server. Shared by all instances drawn with it.

    Attributes:
        has_block: bool (I, J), model i holds block j.
        block_bytes: int64 (J,), bytes of each block.
        block_load_ns: int64 (J,), loading nanoseconds of each block, rounded up.
        load_overhead_ns: Nanoseconds c0 that a load of at least one block takes besides.
        compute_ns_per_sample: int64 (I,), mu_i.
        compute_ns_per_batch: int64 (I,), beta_i.
        max_batch: int64 (I,), largest batch b_i of each model; 0 where the model does not fit.
        affine: Loading times are V(s) = c0·[s > 0] + sum of block_load_ns. False for a table with a measured
            ``load_ns``, which solvers that rely on V refuse.
        load_ns: int64 (I + 1, I), loading nanoseconds of model i (column) when model a (row) is resident; last row:
            empty GPU. Derived from the blocks unless ``affine`` is False.

    Raises:
        InvalidValue: Shapes disagree or a value is out of range.
    """

    has_block: NDArray[np.bool_]
    block_bytes: NDArray[np.int64]
    block_load_ns: NDArray[np.int64]
    compute_ns_per_sample: NDArray[np.int64]
    compute_ns_per_batch: NDArray[np.int64]
    max_batch: NDArray[np.int64]
    load_overhead_ns: int = 0
    affine: bool = True
    load_ns: NDArray[np.int64] = None  # type: ignore[assignment]  # set in __post_init__

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_block", read_only("has_block", self.has_block, np.bool_, 2))
        n_models, n_blocks = self.has_block.shape
        require(n_models >= 1, "has_block.shape", self.has_block.shape, "(I, J) with at least one model")
        for name, length, largest in (
            ("block_bytes", n_blocks, MOST_BYTES),
            ("block_load_ns", n_blocks, LONGEST_NS),
            ("compute_ns_per_sample", n_models, LONGEST_NS),
            ("compute_ns_per_batch", n_models, LONGEST_NS),
            ("max_batch", n_models, LARGEST_BATCH),
        ):
            array = read_only(name, getattr(self, name), np.int64, 1)
            require(array.shape == (length,), f"{name}.shape", array.shape, f"({length},)")
            require_integer(f"min({name})", int(array.min(initial=0)), 0)
            require_integer(f"max({name})", int(array.max(initial=0)), 0, largest)
            object.__setattr__(self, name, array)
        require_blocks(self.block_bytes)
        require(isinstance(self.affine, bool), "affine", self.affine, "True or False")
        require_integer("load_overhead_ns", self.load_overhead_ns, 0, LONGEST_NS)
        object.__setattr__(self, "load_overhead_ns", int(self.load_overhead_ns))
        self._set_load_ns(n_models)

    def _set_load_ns(self, n_models: int) -> None:
        given = None
        if self.load_ns is None:
            require(self.affine, "load_ns", None, "given where affine is False")
        else:
            given = read_only("load_ns", self.load_ns, np.int64, 2)
            shape = (n_models + 1, n_models)
            require(given.shape == shape, "load_ns.shape", given.shape, f"{shape}")
            _require_loads(given)
        load_ns = affine_load_ns(self.has_block, self.block_load_ns, self.load_overhead_ns)
        _require_loads(load_ns)
        if given is not None:
            same = bool(np.array_equal(given, load_ns))
            require(same or not self.affine, "load_ns", "a matrix", "what the blocks imply, unless affine is False")
            require(not np.diagonal(given).any(), "load_ns", "a matrix", "0 where the model is already resident")
            load_ns = given
        load_ns.setflags(write=False)
        object.__setattr__(self, "load_ns", load_ns)

    def __repr__(self) -> str:
        largest = int(self.max_batch.max())
        return f"<ServingTable: {self.n_models} models of {self.n_blocks} blocks, batches of at most {largest}>"

    @property
    def n_models(self) -> int:
        """Number of models I."""
        return int(self.has_block.shape[0])

    @property
    def n_blocks(self) -> int:
        """Number of parameter blocks J."""
        return int(self.has_block.shape[1])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The array fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)}

    @cached_property
    def full_load_ns(self) -> NDArray[np.int64]:
        """`load_ns` where every model loads in full whatever is resident, int64 (I + 1, I); 0 where it is itself.

        That is the load into an empty GPU. Where loads are measured, and one after another model takes longer, it is
        the longest: so what is timed like this never ends before what is loaded as measured.
        """
        full = np.tile(self.load_ns.max(axis=0), (self.n_models + 1, 1))
        np.fill_diagonal(full, 0)
        return read_only("full_load_ns", full, np.int64, 2)

    @cached_property
    def clusters(self) -> Clusters | None:
        """The bottom-layer-sharing structure of the table, or None where it has none or loading is not affine."""
        return _find_clusters(self) if self.affine else None


def _find_clusters(table: ServingTable) -> Clusters | None:
    shared_block = table.has_block.sum(axis=0) > 1
    shares = table.has_block & shared_block
    overlap = (shares.astype(np.int64) @ shares.T.astype(np.int64)).astype(np.int64)
    n_shared = np.diagonal(overlap)
    # Nested or disjoint: what two models share is all that the smaller one shares with anybody, or nothing.
    nested = (overlap == 0) | (overlap == np.minimum(n_shared[:, None], n_shared[None, :]))
    if not nested.all():
        return None
    shared_ns = shares @ table.block_load_ns
    private_ns = (table.has_block & ~shared_block) @ table.block_load_ns
    # With everything nested or disjoint, "shares a block with" need not be transitive: b and c may hold disjoint parts
    # of a. Such shared blocks are no chain of bottom layers.
    connected = overlap > 0
    cluster = np.full(table.n_models, -1, dtype=np.int64)
    members: list[NDArray[np.int64]] = []
    for model in range(table.n_models):
        if cluster[model] >= 0:
            continue
        group = np.flatnonzero(connected[model]) if n_shared[model] > 0 else np.array([model])
        if not (connected[group] == connected[model]).all():
            return None
        cluster[group] = len(members)
        order = np.lexsort((group, private_ns[group] > 0, shared_ns[group]))
        members.append(group[order])
    return Clusters(
        read_only("members", np.concatenate(members), np.int64, 1),
        read_only("start", np.cumsum([0, *map(len, members)]), np.int64, 1),
        read_only("cluster", cluster, np.int64, 1),
        read_only("shared_ns", shared_ns, np.int64, 1),
        read_only("private_ns", private_ns, np.int64, 1),
    )
