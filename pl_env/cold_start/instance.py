"""One episode's numbers: how long each device takes for each layer, and each transfer, and what fits where."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start.devices import MOST_MEMORY
from pl_env.cold_start.dynamics import Problem, Tables, prepare, reach
from pl_env.cold_start.models import MOST_LAYERS
from pl_env.files import Stored
from pl_env.ranges import require, require_integer
from pl_env.read_only import ReadOnlyArrays, read_only
from pl_env.times import LONGEST_NS

Ints = NDArray[np.int64]

MOST_DEVICES = 128
MOST_IN_SETS = 16
"""Devices that can be looked at in all their subsets: 2^16 of them."""

LONGEST_READY_NS = 10**16
"""Past any finish: 128 stages of at most 512 layers of an hour, and their transfers."""

_DIMENSIONS = {
    "load_ns": 2,
    "compute_ns": 2,
    "transfer_ns": 3,
    "weight_bytes": 1,
    "activation_bytes": 1,
    "memory_bytes": 1,
}


@dataclass(frozen=True, eq=False)
class Instance(Stored, ReadOnlyArrays):
    """One cold start, frozen, in integers: K devices, L layers. Two instances are equal when their contents are.

    Attributes:
        load_ns: int64 (K, L), nanoseconds that a device takes to load a layer.
        compute_ns: int64 (K, L), to compute it.
        transfer_ns: int64 (L, K, K), to send what goes into a layer, from a device to another. That of the first layer
            counts only behind a ``previous`` device.
        weight_bytes: int64 (L,).
        activation_bytes: int64 (L,), behind each layer; at least 1.
        memory_bytes: int64 (K,); 0 for a device that takes no layers, as it has some already.
        previous: The device that computed the layer before the first, -1 at the start.
        ready_ns: When that was done, 0 at the start.
        names: Of the devices; "device 1" and so on unless given.

    Raises:
        InvalidValue: Shapes disagree or a value is out of range.
    """

    KIND: ClassVar[str] = "cold-start-instance"

    load_ns: NDArray[np.int64]
    compute_ns: NDArray[np.int64]
    transfer_ns: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    activation_bytes: NDArray[np.int64]
    memory_bytes: NDArray[np.int64]
    previous: int = -1
    ready_ns: int = 0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, ndim in _DIMENSIONS.items():
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, ndim))
        n_devices, n_layers = self.load_ns.shape
        require_integer("number of devices", n_devices, 1, MOST_DEVICES)
        require_integer("number of layers", n_layers, 0, MOST_LAYERS + 2)
        shapes = {
            "compute_ns": (n_devices, n_layers),
            "transfer_ns": (n_layers, n_devices, n_devices),
            "weight_bytes": (n_layers,),
            "activation_bytes": (n_layers,),
            "memory_bytes": (n_devices,),
        }
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            require(found == shape, f"{name}.shape", found, f"{shape}, as of load_ns")
        for name, low, high in (
            ("load_ns", 0, LONGEST_NS),
            ("compute_ns", 0, LONGEST_NS),
            ("transfer_ns", 0, LONGEST_NS),
            ("weight_bytes", 0, MOST_MEMORY),
            ("activation_bytes", 1, MOST_MEMORY),
            ("memory_bytes", 0, MOST_MEMORY),
        ):
            array = getattr(self, name)
            require_integer(f"min({name})", int(array.min(initial=high)), low, high)
            require_integer(f"max({name})", int(array.max(initial=low)), low, high)
        require_integer("previous", self.previous, -1, n_devices - 1)
        require_integer("ready_ns", self.ready_ns, 0, LONGEST_READY_NS)
        require(self.previous >= 0 or self.ready_ns == 0, "ready_ns", self.ready_ns, "0 where previous is -1")
        names = self.names or tuple(f"device {n}" for n in range(1, n_devices + 1))
        good = isinstance(names, tuple) and len(names) == n_devices and all(isinstance(name, str) for name in names)
        require(good, "names", names, f"{n_devices} strings")
        object.__setattr__(self, "names", names)

    def __repr__(self) -> str:
        return f"<Instance: {self.n_layers} layers for {self.n_devices} devices>"

    @property
    def n_devices(self) -> int:
        """Number of devices K."""
        return len(self.load_ns)

    @property
    def n_layers(self) -> int:
        """Number of layers L."""
        return int(self.load_ns.shape[1])

    @property
    def redraws(self) -> bool:
        """Whether anything is drawn anew in mid-episode: nothing is."""
        return False

    @property
    def tables(self) -> Tables:
        """The arrays as the kernels take them."""
        return Tables(*(getattr(self, name) for name in _DIMENSIONS))

    @cached_property
    def problem(self) -> Problem:
        """What follows from them, as planners take it."""
        shape = (self.n_devices, self.n_layers + 1)
        load, compute, lowest = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        problem = Problem(load, compute, lowest, self.transfer_ns)
        prepare(self.tables, self.n_devices, self.n_layers, problem)
        return problem

    @property
    def usable(self) -> Ints:
        """Devices that can take some layer, int64, ascending."""
        counts = np.arange(self.n_layers + 1) - self.problem.lowest
        return np.flatnonzero(counts.max(axis=1) > 0)

    @cached_property
    def equal_layers(self) -> bool:
        """Whether all layers are alike, but for what goes into the first."""
        arrays = (self.load_ns.T, self.compute_ns.T, self.transfer_ns[1:], self.weight_bytes, self.activation_bytes)
        return all(bool((array[1:] == array[:-1]).all()) for array in arrays)

    @cached_property
    def capacity(self) -> Ints:
        """Most layers that each device can hold, int64 (K,)."""
        return np.asarray((np.arange(self.n_layers + 1) - self.problem.lowest).max(axis=1))

    @cached_property
    def reach(self) -> NDArray[np.int32]:
        """`dynamics.reach`; K is at most `MOST_IN_SETS`."""
        start = np.empty(1 << self.n_devices, dtype=np.int32)
        reach(self.problem, self.n_devices, self.n_layers, start)
        return start

    @property
    def why_not_placeable(self) -> str | None:
        """Why the layers do not fit into the devices; None where they do, or nobody knows (unequal, K > 16)."""
        if self.n_layers == 0:
            return None
        if self.equal_layers:
            fits = int(self.capacity.sum()) >= self.n_layers
        elif self.n_devices <= MOST_IN_SETS:
            fits = self.reach[-1] == 0
        else:
            return None
        if fits:
            return None
        return (
            f"the model does not fit: {self.n_layers} layers need {int(self.weight_bytes.sum())} bytes and room for "
            f"activations, the devices have {int(self.memory_bytes.sum())} in all"
        )

    @property
    def worst_ns(self) -> int:
        """No plan takes longer from ``ready_ns`` on: the longest load of all, the slowest computation, transfers."""
        largest = int(self.transfer_ns.max(initial=0))
        slowest = int(self.compute_ns.max(axis=0).sum()) if self.n_layers else 0
        n_transfers = self.n_devices - 1 + (self.previous >= 0)
        return int(self.problem.load_sum[:, -1].max()) + slowest + n_transfers * largest

    def remaining(self, position: int, used: NDArray[np.bool_], previous: int, finish_ns: int) -> Instance:
        """What is left of an episode, as an instance of its own.

        Args:
            position: Layers placed.
            used: bool (K,), devices that have taken layers.
            previous: The last of them, -1 for none.
            finish_ns: When that is done.
        """
        return Instance(
            self.load_ns[:, position:],
            self.compute_ns[:, position:],
            self.transfer_ns[position:],
            self.weight_bytes[position:],
            self.activation_bytes[position:],
            np.where(used, 0, self.memory_bytes),
            previous,
            finish_ns,
            self.names,
        )

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header = {"previous": int(self.previous), "ready_ns": int(self.ready_ns), "names": list(self.names)}
        return header, {name: getattr(self, name) for name in _DIMENSIONS}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Instance:
        fields: dict[str, Any] = {**header, "names": tuple(header["names"]), **arrays}
        return cls(**fields)
