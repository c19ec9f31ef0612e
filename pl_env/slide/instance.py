"""One episode's numbers: who asks for what, over which link, on which device, with how much time and energy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.files import Stored
from pl_env.ranges import require, require_integer
from pl_env.read_only import ReadOnlyArrays, read_only
from pl_env.slide.dynamics import PAIR_COLUMNS, Tables, describe_pairs, describe_steps
from pl_env.slide.library import Library
from pl_env.times import LONGEST_NS

Ints = NDArray[np.int64]

BITS_IN_NS = 8 * 10**9
"""Nanoseconds that a byte takes at 1 bit/s."""

MOST_ENERGY_NJ = 10**14
MOST_POWER_NW = 10**14
MOST_FREQUENCY_HZ = 4 * 10**9
MOST_CYCLES = 9 * 10**9
"""Of one layer: its nanoseconds at 1 Hz stay below 2^63."""

SPEED_UNIT = 1_000_000
"""Speeds are FLOP in a million cycles."""

_USER_ARRAYS = ("rate_bps", "speed", "deadline_ns", "energy_nj", "request", "arrival_ns")
_COMMITTED = ("committed_due_ns", "committed_rest_ns")


@dataclass(frozen=True)
class Device:
    """What all users' devices have in common.

    Attributes:
        min_frequency_hz: Lowest clock frequency f_min.
        max_frequency_hz: Highest clock frequency f_max.
        power_nw: Power in nanowatts at f_max, kappa · f_max³.
    """

    min_frequency_hz: int
    max_frequency_hz: int
    power_nw: int

    def __post_init__(self) -> None:
        require_integer("max_frequency_hz", self.max_frequency_hz, 10**6, MOST_FREQUENCY_HZ)
        require_integer("min_frequency_hz", self.min_frequency_hz, 10**6, self.max_frequency_hz)
        require_integer("power_nw", self.power_nw, 1, MOST_POWER_NW)


@dataclass(frozen=True, eq=False)
class Instance(Stored, ReadOnlyArrays):
    """One episode, frozen, in integers; all times follow from them without rounding twice.

    Two instances are equal when their contents are.

    Attributes:
        library: The models (I) and what answers which request (J).
        device: What the devices have in common.
        rate_bps: int64 (K,), whole bit/s of each user alone on the whole band, B · R_k rounded down.
        speed: int64 (K,), FLOP n_k of each device in a million cycles.
        deadline_ns: int64 (K,), nanoseconds T_k after the arrival until which the task must be done.
        energy_nj: int64 (K,), energy E_k of the computation in nanojoules, at most.
        request: int64 (K,), which request each user has.
        arrival_ns: int64 (K,), nanoseconds from the start to each arrival, ascending.
        committed_due_ns: int64 (C,), due times, ascending, of what was promised to users before these.
        committed_rest_ns: int64 (C,), nanoseconds on the whole band that each of those needs still.

    Raises:
        InvalidValue: Shapes disagree or a value is out of range.
    """

    KIND: ClassVar[str] = "slide-instance"

    library: Library
    device: Device
    rate_bps: NDArray[np.int64]
    speed: NDArray[np.int64]
    deadline_ns: NDArray[np.int64]
    energy_nj: NDArray[np.int64]
    request: NDArray[np.int64]
    arrival_ns: NDArray[np.int64]
    committed_due_ns: NDArray[np.int64] = None  # type: ignore[assignment]  # nothing, set in __post_init__
    committed_rest_ns: NDArray[np.int64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        require(isinstance(self.library, Library), "library", self.library, "a Library")
        require(isinstance(self.device, Device), "device", self.device, "a Device")
        for name in _COMMITTED:
            value = getattr(self, name)
            object.__setattr__(self, name, read_only(name, [] if value is None else value, np.int64, 1))
        for name in _USER_ARRAYS:
            array = read_only(name, getattr(self, name), np.int64, 1)
            require(array.shape == (self.n_users,), f"{name}.shape", array.shape, f"({self.n_users},), one per user")
            object.__setattr__(self, name, array)
        largest_flop = int(self.library.layer_flop.max())
        for name, low, high in (
            ("rate_bps", 0, 10**15),
            ("speed", max(1, -(-largest_flop * SPEED_UNIT // MOST_CYCLES)), 10**15),
            ("deadline_ns", 0, LONGEST_NS),
            ("energy_nj", 0, MOST_ENERGY_NJ),
            ("request", 0, self.library.n_requests - 1),
            ("arrival_ns", 0, LONGEST_NS),
            ("committed_due_ns", 0, LONGEST_NS),
            ("committed_rest_ns", 0, LONGEST_NS),
        ):
            array = getattr(self, name)
            require_integer(f"min({name})", int(array.min(initial=high)), low, high)
            require_integer(f"max({name})", int(array.max(initial=low)), low, high)
        for name in ("arrival_ns", "committed_due_ns"):
            require(bool((np.diff(getattr(self, name)) >= 0).all()), name, getattr(self, name), "ascending")
        require(
            len(self.committed_due_ns) == len(self.committed_rest_ns),
            "len(committed_rest_ns)",
            len(self.committed_rest_ns),
            f"{len(self.committed_due_ns)}, as of committed_due_ns",
        )
        kept = bool((np.cumsum(self.committed_rest_ns) <= self.committed_due_ns).all())
        require(kept, "committed_rest_ns", self.committed_rest_ns, "such that all of it is in time")

    def __repr__(self) -> str:
        span_ms = int(self.arrival_ns.max(initial=0)) / 1e6
        return f"<Instance: {self.n_users} users within {span_ms:g} ms, {self.n_models} models>"

    @property
    def n_users(self) -> int:
        """Number of users K."""
        return len(self.rate_bps)

    @property
    def n_models(self) -> int:
        """Number of models I."""
        return self.library.n_models

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """The models that answer each user's request, bool (K, I)."""
        return np.asarray(self.library.accepted[self.request])

    @property
    def all_present(self) -> bool:
        """Whether everybody is there at the start."""
        return not self.arrival_ns.any()

    @property
    def redraws(self) -> bool:
        """Whether anything is drawn anew in mid-episode: nothing is."""
        return False

    @cached_property
    def tables(self) -> Tables:
        """The library and the device as the kernels take them."""
        library, device = self.library, self.device
        received = [np.cumsum(library.layer_bytes[library.layers(model)]) for model in range(self.n_models)]
        return Tables(
            start=library.layer_start,
            layers=np.stack([BITS_IN_NS * np.concatenate(received), SPEED_UNIT * library.layer_flop]),
            accepted=library.accepted,
            device=np.array([device.min_frequency_hz, device.max_frequency_hz, device.power_nw]),
        )

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """The users as the kernels take them, int64 (K, 6); columns as in `dynamics`."""
        return np.stack([getattr(self, name) for name in _USER_ARRAYS], axis=1)

    def pairs(self, frequency: int = 0) -> Ints:
        """What is known of each user with each model, int64 (K, I, 6), columns as in `dynamics`; N_STEPS is 0.

        Args:
            frequency: Hz at which all compute; 0 for the highest frequency that each one's energy allows.
        """
        pairs = np.empty((self.n_users, self.n_models, PAIR_COLUMNS), dtype=np.int64)
        describe_pairs(self.tables, self.users, frequency, pairs)
        return pairs

    def pairs_and_steps(self) -> tuple[Ints, Ints]:
        """Likewise, and what each pair asks of the band, int64 (K, I, 2, L): due times and sizes, `N_STEPS` of them."""
        longest = int(np.diff(self.library.layer_start).max())
        pairs = np.empty((self.n_users, self.n_models, PAIR_COLUMNS), dtype=np.int64)
        steps = np.empty((self.n_users, self.n_models, 2, longest), dtype=np.int64)
        describe_steps(self.tables, self.users, pairs, steps)
        return pairs, steps

    def remaining(
        self, user: int, now_ns: int, committed_due_ns: NDArray[np.int64], committed_rest_ns: NDArray[np.int64]
    ) -> Instance:
        """What is left of the episode from a user on, as an instance of its own.

        Args:
            user: The first user of it.
            now_ns: Its start, in nanoseconds since the start of this one.
            committed_due_ns: int64, ascending due times since the start of this one.
            committed_rest_ns: int64, what is still to be sent for each.
        """
        left = {name: getattr(self, name)[user:] for name in _USER_ARRAYS}
        left["arrival_ns"] = left["arrival_ns"] - now_ns
        return Instance(
            self.library,
            self.device,
            **left,
            committed_due_ns=committed_due_ns - now_ns,
            committed_rest_ns=committed_rest_ns,
        )

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        device = {name: int(getattr(self.device, name)) for name in Device.__dataclass_fields__}
        header = {"names": list(self.library.names), "device": device}
        users = {name: getattr(self, name) for name in (*_USER_ARRAYS, *_COMMITTED)}
        return header, self.library.arrays() | users

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Instance:
        users = {name: arrays.pop(name) for name in (*_USER_ARRAYS, *_COMMITTED)}
        library = Library(names=tuple(header["names"]), **arrays)
        return cls(library, Device(**header["device"]), **users)
