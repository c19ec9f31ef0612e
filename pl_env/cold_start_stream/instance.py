"""One stream's numbers: devices, models, prompts with their arrivals, and what is in memory when it begins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env import cold_start
from pl_env.cold_start.devices import MOST_MEMORY
from pl_env.cold_start.models import MOST_LAYERS
from pl_env.cold_start_stream.dynamics import Memory, Tables, begin, new_memory
from pl_env.files import Stored
from pl_env.ranges import require, require_integer
from pl_env.read_only import ReadOnlyArrays, read_only
from pl_env.times import LONGEST_NS

Ints = NDArray[np.int64]

MOST_DEVICES, MOST_MODELS, MOST_PROMPTS = 16, 64, 1000
LATEST_NS = 10**18
"""Latest arrival, and start of a stream that goes on: with 1,000 prompts of the longest times below 2^63."""

_DIMENSIONS = {
    "load_ns": 2,
    "n_layers": 1,
    "weight_bytes": 1,
    "memory_bytes": 1,
    "compute_ns": 2,
    "transfer_ns": 3,
    "activation_bytes": 1,
    "model": 1,
    "arrival_ns": 1,
}
_RANGES = {
    "load_ns": (0, LONGEST_NS),
    "n_layers": (1, MOST_LAYERS),
    "weight_bytes": (1, MOST_MEMORY),
    "memory_bytes": (0, MOST_MEMORY),
    "compute_ns": (0, LONGEST_NS),
    "transfer_ns": (0, LONGEST_NS),
    "activation_bytes": (1, MOST_MEMORY),
    "arrival_ns": (0, LATEST_NS),
}


@dataclass(frozen=True, eq=False)
class Instance(Stored, ReadOnlyArrays):
    """A stream of N prompts for M models over K devices, frozen, in integers.

    Two instances are equal when their contents are. All layers of a model are alike. What follows ``arrival_ns`` says
    how it begins, and need not be given where memory is empty.

    Attributes:
        load_ns: int64 (K, M), nanoseconds that a device takes to load a layer of a model.
        n_layers: int64 (M,).
        weight_bytes: int64 (M,), of a layer.
        memory_bytes: int64 (K,).
        compute_ns: int64 (N, K), to compute a layer of the prompt's model.
        transfer_ns: int64 (N, K, K), to send the prompt's activation from a device to another.
        activation_bytes: int64 (N,), at least 1.
        model: int64 (N,), which model each prompt asks for.
        arrival_ns: int64 (N,), ascending.
        used_at: int64 (K, M, L_max), the number of the last prompt that used a layer there; 0: it is not in memory.
        stamp: Number of the first prompt, at least 1; the others' follow.
        start_ns: The first prompt does not begin before; when it did, where it is under way.
        placed: Its layers that are placed.
        previous: The device that has the last of them, -1 for none.
        ready_ns: When that is done.
        used: bool (K,), devices that have some of them.

    Raises:
        InvalidValue: Shapes disagree or a value is out of range.
    """

    KIND: ClassVar[str] = "cold-start-stream-instance"

    load_ns: Ints
    n_layers: Ints
    weight_bytes: Ints
    memory_bytes: Ints
    compute_ns: Ints
    transfer_ns: Ints
    activation_bytes: Ints
    model: Ints
    arrival_ns: Ints
    used_at: Ints = None  # type: ignore[assignment]  # set in __post_init__
    stamp: int = 1
    start_ns: int = 0
    placed: int = 0
    previous: int = -1
    ready_ns: int = 0
    used: NDArray[np.bool_] = None  # type: ignore[assignment]  # likewise

    def __post_init__(self) -> None:
        for name, ndim in _DIMENSIONS.items():
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, ndim))
        k, m = self.load_ns.shape
        n = len(self.model)
        require_integer("number of devices", k, 1, MOST_DEVICES)
        require_integer("number of models", m, 1, MOST_MODELS)
        require_integer("number of prompts", n, 0, MOST_PROMPTS)
        shapes: dict[str, tuple[int, ...]] = {"n_layers": (m,), "weight_bytes": (m,), "memory_bytes": (k,)}
        shapes |= {"compute_ns": (n, k), "transfer_ns": (n, k, k), "activation_bytes": (n,), "arrival_ns": (n,)}
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            require(found == shape, f"{name}.shape", found, f"{shape}, as of load_ns and model")
        for name, (low, high) in (_RANGES | {"model": (0, m - 1)}).items():
            array = getattr(self, name)
            require_integer(f"min({name})", int(array.min(initial=high)), low, high)
            require_integer(f"max({name})", int(array.max(initial=low)), low, high)
        require(bool((np.diff(self.arrival_ns) >= 0).all()), "arrival_ns", "not sorted", "ascending")
        self._check_beginning()

    def _check_beginning(self) -> None:
        k, m = self.load_ns.shape
        most = int(self.n_layers.max())
        used_at = np.zeros((k, m, most), dtype=np.int64) if self.used_at is None else self.used_at
        used = np.zeros(k, dtype=np.bool_) if self.used is None else self.used
        object.__setattr__(self, "used_at", read_only("used_at", used_at, np.int64, 3))
        object.__setattr__(self, "used", read_only("used", used, np.bool_, 1))
        require(self.used_at.shape == (k, m, most), "used_at.shape", self.used_at.shape, f"{(k, m, most)}")
        require(self.used.shape == (k,), "used.shape", self.used.shape, f"{(k,)}")
        require_integer("stamp", self.stamp, 1, LATEST_NS)
        require_integer("min(used_at)", int(self.used_at.min()), 0, self.stamp)
        require_integer("max(used_at)", int(self.used_at.max()), 0, self.stamp)
        beyond = np.arange(most) >= self.n_layers[:, None]
        require(not self.used_at[:, beyond].any(), "used_at", "not 0 beyond a model's layers", "0 there")
        held = ((self.used_at > 0).sum(axis=2) * self.weight_bytes.astype(object)).sum(axis=1)
        fits = bool((held <= self.memory_bytes).all())
        require(fits, "used_at", "more than the memory holds", "what fits into memory_bytes")
        first = int(self.n_layers[self.model[0]]) if len(self.model) else 1
        require_integer("start_ns", self.start_ns, 0, LATEST_NS)
        require_integer("placed", self.placed, 0, first - 1)
        require_integer("previous", self.previous, 0 if self.placed else -1, k - 1 if self.placed else -1)
        low, high = (self.start_ns, 2 * LATEST_NS) if self.placed else (0, 0)
        require_integer("ready_ns", self.ready_ns, low, high)
        consistent = bool(self.used.any()) == (self.placed > 0) and (self.placed == 0 or bool(self.used[self.previous]))
        require(consistent, "used", self.used.tolist(), "the devices that have layers of a prompt under way")

    def __repr__(self) -> str:
        return f"<Instance: {self.n_prompts} prompts for {self.n_models} models over {self.n_devices} devices>"

    @property
    def n_devices(self) -> int:
        """Number of devices K."""
        return len(self.load_ns)

    @property
    def n_models(self) -> int:
        """Number of models M."""
        return len(self.n_layers)

    @property
    def n_prompts(self) -> int:
        """Number of prompts N."""
        return len(self.model)

    @property
    def redraws(self) -> bool:
        """Whether anything is drawn anew in mid-episode: nothing is."""
        return False

    @property
    def tables(self) -> Tables:
        """The arrays as the kernels take them."""
        return Tables(*(getattr(self, name) for name in _DIMENSIONS))

    def begun(self) -> Memory:
        """The beginning, as the kernels take it."""
        memory = new_memory(self.n_prompts, self.used_at)
        bits = sum(1 << device for device in np.flatnonzero(self.used).tolist())
        begin(self.tables, self.start_ns, self.placed, self.previous, self.ready_ns, bits, self.stamp, memory)
        return memory

    @cached_property
    def capacity(self) -> Ints:
        """Most layers of its model that each device can hold for each prompt, int64 (N, K)."""
        room = np.maximum(0, self.memory_bytes[None] - self.activation_bytes[:, None])
        most = room // self.weight_bytes[self.model][:, None]
        return np.asarray(np.minimum(self.n_layers[self.model][:, None], most))

    @cached_property
    def why_not_placeable(self) -> str | None:
        """Why some prompt's model does not fit into the devices; None where all do."""
        free = self.capacity.copy()
        left = self.n_layers[self.model].copy()
        if self.n_prompts:
            free[0, self.used] = 0
            left[0] -= self.placed
        short = np.flatnonzero(free.sum(axis=1) < left)
        if not len(short):
            return None
        n = int(short[0])
        held, name = int(free[n].sum()), int(self.model[n]) + 1
        return f"model {name} does not fit: prompt {n + 1} has {int(left[n])} layers, the devices hold {held} of them"

    @cached_property
    def worst_finish_ns(self) -> list[int]:
        """No plan that places all layers lets any prompt be done later, (N,)."""
        before, finish = 0, []
        for n, model in enumerate(self.model.tolist()):
            layers = int(self.n_layers[model])
            longest = layers * (int(self.load_ns[:, model].max()) + int(self.compute_ns[n].max()))
            longest += self.n_devices * int(self.transfer_ns[n].max())
            begin_ns = max(self.start_ns, self.ready_ns) if n == 0 else before
            before = max(begin_ns, int(self.arrival_ns[n])) + longest
            finish.append(before)
        return finish

    @property
    def worst_latency_ns(self) -> int:
        """The sum of all prompts' times from arrival to `worst_finish_ns`."""
        return int(sum(self.worst_finish_ns) - sum(self.arrival_ns.tolist()))

    def first_prompt(self, *, warm: bool = True) -> cold_start.Instance:
        """The first prompt alone, as a cold start whose warm layers load in no time; time counts from its start.

        Args:
            warm: Count what is in memory; else all layers load.
        """
        model, done = int(self.model[0]), self.placed
        layers, k = int(self.n_layers[model]), self.n_devices
        cold = self.used_at[:, model, done:layers] == 0 if warm else np.ones((k, layers - done), dtype=np.bool_)
        transfer = np.repeat(self.transfer_ns[:1], layers - done, axis=0)
        if done == 0:
            transfer[0] = 0
        return cold_start.Instance(
            self.load_ns[:, model, None] * cold,
            np.repeat(self.compute_ns[0][:, None], layers - done, axis=1),
            transfer,
            np.repeat(self.weight_bytes[model], layers - done),
            np.repeat(self.activation_bytes[0], layers - done),
            np.where(self.used, 0, self.memory_bytes),
            self.previous,
            self.ready_ns - self.start_ns if done else 0,
        )

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        numbers = ("stamp", "start_ns", "placed", "previous", "ready_ns")
        arrays = {name: getattr(self, name) for name in _DIMENSIONS}
        arrays |= {"used_at": self.used_at, "used": self.used}
        return {name: int(getattr(self, name)) for name in numbers}, arrays

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Instance:
        fields: dict[str, Any] = {**header, **arrays}
        return cls(**fields)
