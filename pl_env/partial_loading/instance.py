"""One episode's numbers: who asks for what, how long everything takes, and when it must be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.files import Stored
from pl_env.partial_loading.serving_table import ServingTable
from pl_env.ranges import require, require_integer, require_one_of, require_real
from pl_env.read_only import ReadOnlyArrays, read_only
from pl_env.times import LONGEST_NS, LONGEST_UPLOAD_NS

FADING = ("episode", "batch")

_USER_ARRAYS: dict[str, type[np.generic]] = {
    "requested_model": np.int64,
    "upload_ns": np.int64,
    "mean_snr": np.float64,
}


@dataclass(frozen=True, eq=False)
class Instance(Stored, ReadOnlyArrays):
    """One episode, frozen, in integer nanoseconds.

    The arrays of the `ServingTable` are public names of the instance too: ``has_block``, ``block_bytes``,
    ``block_load_ns``, ``load_overhead_ns``, ``load_ns``, ``compute_ns_per_sample``, ``compute_ns_per_batch`` and
    ``max_batch``. Two instances are equal when their contents are.

    Attributes:
        table: The library on its server (I models).
        requested_model: int64 (K,), model that each user asks for.
        upload_ns: int64 (K,), p_k / B: upload nanoseconds of each user alone on the whole band, rounded up.
        deadline_ns: Nanoseconds T_bar until which a batch must end for its users to count as served.
        slot_ns: Nanoseconds of a slot; only the slotted planners use it.
        resident: Model in GPU memory at the start, or -1 for an empty GPU.
        fading: "episode": ``upload_ns`` holds throughout; "batch": it holds for the first batch, after which all
            pending users' channels are drawn anew.
        mean_snr: float64 (K,), each user's signal-to-noise ratio at |h|² = 1; zeros where unknown, which "batch"
            does not allow.
        unit_upload_ns: Nanoseconds D / B that an upload takes at 1 bit/s/Hz; 0 where unknown, likewise.

    Raises:
        InvalidValue: Shapes disagree or a value is out of range.
    """

    KIND: ClassVar[str] = "instance"

    table: ServingTable
    requested_model: NDArray[np.int64]
    upload_ns: NDArray[np.int64]
    deadline_ns: int
    slot_ns: int = 10_000_000
    resident: int = -1
    fading: str = "episode"
    mean_snr: NDArray[np.float64] | None = None
    unit_upload_ns: float = 0.0

    def __post_init__(self) -> None:
        require(isinstance(self.table, ServingTable), "table", self.table, "a ServingTable")
        requests = read_only("requested_model", self.requested_model, np.int64, 1)
        object.__setattr__(self, "requested_model", requests)
        if self.mean_snr is None:
            object.__setattr__(self, "mean_snr", np.zeros(self.n_users))
        for name, dtype in _USER_ARRAYS.items():
            array = read_only(name, getattr(self, name), dtype, 1)
            require(array.shape == (self.n_users,), f"{name}.shape", array.shape, f"({self.n_users},), one per user")
            object.__setattr__(self, name, array)
        for name, low, high in (
            ("requested_model", 0, self.n_models - 1),
            ("upload_ns", 0, LONGEST_UPLOAD_NS),
        ):
            array = getattr(self, name)
            require_integer(f"min({name})", int(array.min(initial=high)), low, high)
            require_integer(f"max({name})", int(array.max(initial=low)), low, high)
        assert self.mean_snr is not None
        require_real("min(mean_snr)", float(self.mean_snr.min(initial=0)), 0)
        require_real("max(mean_snr)", float(self.mean_snr.max(initial=0)), 0)
        require_integer("deadline_ns", self.deadline_ns, 0, LONGEST_NS)
        require_integer("slot_ns", self.slot_ns, 1, LONGEST_NS)
        require_integer("resident", self.resident, -1, self.n_models - 1)
        require_one_of("fading", self.fading, FADING)
        require_real("unit_upload_ns", self.unit_upload_ns, 0)
        if self.fading == "batch":
            known = self.unit_upload_ns > 0 and bool((self.mean_snr > 0).all())
            require(known, "mean_snr and unit_upload_ns", "unknown", "above 0 where fading is 'batch'")

    def __repr__(self) -> str:
        models = f"{self.n_models} models of {self.n_blocks} blocks"
        return f"<Instance: {self.n_users} users, {models}, deadline {self.deadline_ns / 1e6:g} ms>"

    @property
    def redraws(self) -> bool:
        """Whether channels are drawn anew in mid-episode, so that no schedule made at the start holds to the end."""
        return self.fading == "batch"

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
    def block_load_ns(self) -> NDArray[np.int64]:
        """Loading nanoseconds of each block, int64 (J,)."""
        return self.table.block_load_ns

    @property
    def load_overhead_ns(self) -> int:
        """Nanoseconds c0 that a load of at least one block takes besides."""
        return self.table.load_overhead_ns

    @property
    def load_ns(self) -> NDArray[np.int64]:
        """Loading nanoseconds, int64 (I + 1, I): row = resident model, last row = empty GPU."""
        return self.table.load_ns

    @property
    def compute_ns_per_sample(self) -> NDArray[np.int64]:
        """Compute nanoseconds mu_i for each sample, int64 (I,)."""
        return self.table.compute_ns_per_sample

    @property
    def compute_ns_per_batch(self) -> NDArray[np.int64]:
        """Compute nanoseconds beta_i for each batch, int64 (I,)."""
        return self.table.compute_ns_per_batch

    @property
    def max_batch(self) -> NDArray[np.int64]:
        """Largest batch b_i of each model, int64 (I,)."""
        return self.table.max_batch

    def remaining(
        self, pending: NDArray[np.int64], upload_ns: NDArray[np.int64], resident: int, elapsed_ns: int
    ) -> Instance:
        """What is left of the episode, as an instance of its own.

        Args:
            pending: int64, indices of the users not yet served, ascending; user n of the result is ``pending[n]``.
            upload_ns: int64 (K,), every user's present upload time.
            resident: Model in GPU memory now, or -1.
            elapsed_ns: Nanoseconds since the start.
        """
        assert self.mean_snr is not None
        return Instance(
            table=self.table,
            requested_model=self.requested_model[pending],
            upload_ns=upload_ns[pending],
            deadline_ns=self.deadline_ns - elapsed_ns,
            slot_ns=self.slot_ns,
            resident=resident,
            fading=self.fading,
            mean_snr=self.mean_snr[pending],
            unit_upload_ns=self.unit_upload_ns,
        )

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header = {
            "load_overhead_ns": self.load_overhead_ns,
            "affine": self.table.affine,
            "deadline_ns": int(self.deadline_ns),
            "slot_ns": int(self.slot_ns),
            "resident": int(self.resident),
            "fading": self.fading,
            "unit_upload_ns": float(self.unit_upload_ns),
        }
        return header, self.table.arrays() | {name: getattr(self, name) for name in _USER_ARRAYS}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Instance:
        users = {name: arrays.pop(name) for name in _USER_ARRAYS}
        require("load_ns" in arrays, "load_ns", "missing", "in the file")  # I² of them, before so many are derived
        table = ServingTable(load_overhead_ns=header.pop("load_overhead_ns"), affine=header.pop("affine"), **arrays)
        return cls(table=table, **users, **header)  # type: ignore[arg-type]
