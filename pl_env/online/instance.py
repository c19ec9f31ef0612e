"""One episode's numbers: who asks for what and when, how long everything takes, and how much memory there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.files import Stored
from pl_env.partial_loading.serving_table import MOST_BYTES, ServingTable
from pl_env.ranges import require, require_integer, require_one_of
from pl_env.read_only import ReadOnlyArrays, read_only
from pl_env.times import LONGEST_NS, LONGEST_UPLOAD_NS

EVICTIONS = ("previous", "lru", "demand", "agent")
OVERLAPS = ("none", "upload")

MEMORY_NS = 3_000_000_000
"""Demand counts the users who came in so many nanoseconds."""

_PER_USER = ("requested_model", "arrival_ns", "ready_ns", "deadline_ns", "upload_ns")
_PER_BLOCK = ("resident_blocks", "last_used")
_BEFORE = ("before_model", "before_ns")
_ARRAYS: dict[str, type[np.generic]] = {
    **dict.fromkeys((*_PER_USER, *_BEFORE, "last_used"), np.int64),
    "resident_blocks": np.bool_,
}


@dataclass(frozen=True, eq=False)
class Instance(Stored, ReadOnlyArrays):
    """One episode, frozen, in integer nanoseconds since its start; two are equal when their contents are.

    Users are numbered by arrival. Those of an episode that goes on in the middle may have come before its start.

    Attributes:
        table: The library on its server (I models, J blocks); loading must be affine.
        requested_model: int64 (K,), model that each user asks for.
        arrival_ns: int64 (K,), a_k, ascending: when each user comes, and what responses count from.
        deadline_ns: int64 (K,), d_k: until when a user's batch must end.
        upload_ns: int64 (K,), u_k: what the user's upload takes alone on the whole band, in the batch.
        cache_bytes: GPU memory M for parameter blocks; with eviction "previous" it does not count.
        ready_ns: int64 (K,), ascending, from when a batch may take each user: the arrival unless given, or the end of
            an upload that went before.
        eviction: What leaves memory: "previous" (all that the next model does not hold), "lru", "demand", or "agent"
            ("demand", but an agent names a model whose blocks leave first).
        overlap: "none": uploads, load and compute of a batch one after the other; "upload": loading while users upload.
        resident_blocks: bool (J,), R at the start; nothing unless given.
        last_used: int64 (J,), order in which blocks were last used, ascending, below 1; 0 unless given.
        before_model: int64 (P,), models of users who came before and are gone; demand counts them. None unless given.
        before_ns: int64 (P,), when, ascending, at most 0.

    Raises:
        InvalidValue: Shapes disagree, a value is out of range, or loading is not affine.
    """

    KIND: ClassVar[str] = "online-instance"

    table: ServingTable
    requested_model: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    deadline_ns: NDArray[np.int64]
    upload_ns: NDArray[np.int64]
    cache_bytes: int
    ready_ns: NDArray[np.int64] = None  # type: ignore[assignment]  # arrival_ns, set in __post_init__
    eviction: str = "demand"
    overlap: str = "none"
    resident_blocks: NDArray[np.bool_] = None  # type: ignore[assignment]  # empty
    last_used: NDArray[np.int64] = None  # type: ignore[assignment]  # zeros
    before_model: NDArray[np.int64] = None  # type: ignore[assignment]  # nobody
    before_ns: NDArray[np.int64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        require(isinstance(self.table, ServingTable), "table", self.table, "a ServingTable")
        require(self.table.affine, "table.affine", self.table.affine, "True: loads must follow from the blocks")
        nobody, no_block = np.zeros(0, dtype=np.int64), np.zeros(self.n_blocks, dtype=np.int64)
        defaults = {"ready_ns": self.arrival_ns, "resident_blocks": no_block, "last_used": no_block}
        defaults |= dict.fromkeys(_BEFORE, nobody)
        for name, dtype in _ARRAYS.items():
            value = defaults[name] if getattr(self, name) is None else getattr(self, name)
            object.__setattr__(self, name, read_only(name, value, dtype, 1))
        for names, length in ((_PER_USER, self.n_users), (_PER_BLOCK, self.n_blocks), (_BEFORE, len(self.before_ns))):
            for name in names:
                found = len(getattr(self, name))
                require(found == length, f"len({name})", found, f"{length}, as of {names[0]}")
        self._check_ranges()
        require_integer("cache_bytes", self.cache_bytes, 0, MOST_BYTES)
        require_one_of("eviction", self.eviction, EVICTIONS)
        require_one_of("overlap", self.overlap, OVERLAPS)
        if self.eviction != "previous":
            self._check_memory()

    def _check_ranges(self) -> None:
        for name, low, high in (
            ("requested_model", 0, self.n_models - 1),
            ("arrival_ns", -LONGEST_NS, LONGEST_NS),
            ("ready_ns", -LONGEST_NS, 2 * LONGEST_NS),
            ("deadline_ns", -LONGEST_NS, 2 * LONGEST_NS),
            ("upload_ns", 0, LONGEST_UPLOAD_NS),
            ("last_used", -(2**31), 0),
            ("before_model", 0, self.n_models - 1),
            ("before_ns", -LONGEST_NS, 0),
        ):
            array = getattr(self, name)
            require_integer(f"min({name})", int(array.min(initial=high)), low, high)
            require_integer(f"max({name})", int(array.max(initial=low)), low, high)
        for name in ("arrival_ns", "ready_ns", "before_ns"):
            require(bool((np.diff(getattr(self, name)) >= 0).all()), name, getattr(self, name), "ascending")
        later = bool((self.ready_ns >= self.arrival_ns).all())
        require(later, "ready_ns", self.ready_ns, "at or after arrival_ns")

    def _check_memory(self) -> None:
        requested = np.unique(self.requested_model)
        needed = int((self.has_block[requested] @ self.block_bytes).max(initial=0))
        require(needed <= self.cache_bytes, "cache_bytes", self.cache_bytes, f"at least {needed}, the largest model")
        used = int(self.block_bytes[self.resident_blocks].sum())
        require(used <= self.cache_bytes, "bytes of resident_blocks", used, f"at most {self.cache_bytes}, cache_bytes")

    def __repr__(self) -> str:
        models = f"{self.n_models} models of {self.n_blocks} blocks"
        last = int(self.arrival_ns.max(initial=0)) / 1e9
        return f"<online Instance: {self.n_users} users in {last:.3f} s, {models}, {self.cache_bytes / 1e6:g} MB>"

    @property
    def redraws(self) -> bool:
        """Whether anything is drawn anew in mid-episode: nothing is. A policy does not look at users to come."""
        return False

    @property
    def n_users(self) -> int:
        """Number of users K."""
        return len(self.requested_model)

    @property
    def n_models(self) -> int:
        """Number of models I."""
        return self.table.n_models

    @property
    def n_blocks(self) -> int:
        """Number of parameter blocks J."""
        return self.table.n_blocks

    @property
    def has_block(self) -> NDArray[np.bool_]:
        """Model i holds block j, bool (I, J)."""
        return self.table.has_block

    @property
    def block_bytes(self) -> NDArray[np.int64]:
        """Bytes of each block, int64 (J,)."""
        return self.table.block_bytes

    @property
    def users(self) -> NDArray[np.int64]:
        """The users as the kernels take them, int64 (K, 5); columns as in `arrays`."""
        names = ("requested_model", "ready_ns", "deadline_ns", "upload_ns", "arrival_ns")
        return np.stack([getattr(self, name) for name in names], axis=1)

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header = {
            "load_overhead_ns": self.table.load_overhead_ns,
            "cache_bytes": int(self.cache_bytes),
            "eviction": self.eviction,
            "overlap": self.overlap,
        }
        table = {name: array for name, array in self.table.arrays().items() if name != "load_ns"}
        return header, table | {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Instance:
        own = {name: arrays.pop(name) for name in _ARRAYS}
        table = ServingTable(load_overhead_ns=header.pop("load_overhead_ns"), **arrays)  # type: ignore[arg-type]
        return cls(table=table, **own, **header)  # type: ignore[arg-type]
