"""One episode's numbers: the model's splits, the hardware, the tasks in order, and the battery."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.co_inference.dynamics import DEADLINE, GAIN, LINK_STATES, Draws
from pl_env.co_inference.least_energy import SPLIT_COLUMNS, Tables, fill_menu
from pl_env.co_inference.split_tables import SplitTable
from pl_env.compiling import compiled
from pl_env.errors import shown
from pl_env.files import Stored
from pl_env.ranges import require, require_integer, require_real
from pl_env.read_only import ReadOnlyArrays, read_only

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_LEVELS = 1000
LEAST_KEPT = 1e-6
MOST_SECONDS, MOST_JOULES, MOST_GAIN, MOST_WEIGHT = 1e6, 1e9, 1e3, 1e6

_TASK_ARRAYS = ("deadline", "weight", "gain", "harvest", "link", "sun")


@dataclass(frozen=True)
class Hardware:
    """Device, server and radio, equations (1) to (4).

    Attributes:
        device_flop_per_cycle: c.
        server_flop_per_cycle: c~.
        device_coefficient: eta psi, W/(cycle/s)³.
        server_coefficient: eta~ psi~, likewise.
        max_device_hz: f_max.
        max_server_hz: f~_max.
        max_power_w: p_max.
        bandwidth_hz: B.
        noise_w_per_hz: N0.
        device_weight: w_d, weight of the device's energy, the radio's included.
        server_weight: w_s, weight of the server's energy.

    Raises:
        InvalidValue: A number is out of range.
    """

    device_flop_per_cycle: float = 32.0
    server_flop_per_cycle: float = 128.0
    device_coefficient: float = 2e-29
    server_coefficient: float = 2e-28
    max_device_hz: float = 2e9
    max_server_hz: float = 10e9
    max_power_w: float = 0.2
    bandwidth_hz: float = 1e6
    noise_w_per_hz: float = 10**-20.4
    device_weight: float = 1.0
    server_weight: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("device_flop_per_cycle", 1e-3, 1e9),
            ("server_flop_per_cycle", 1e-3, 1e9),
            ("device_coefficient", 1e-40, 1.0),
            ("server_coefficient", 1e-40, 1.0),
            ("max_device_hz", 1.0, 1e15),
            ("max_server_hz", 1.0, 1e15),
            ("max_power_w", 1e-9, 1e6),
            ("bandwidth_hz", 1.0, 1e12),
            ("noise_w_per_hz", 1e-30, 1.0),
            ("device_weight", 0.0, 1e6),
            ("server_weight", 0.0, 1e6),
        ):
            require_real(name, getattr(self, name), low, high)

    @property
    def server_is_better(self) -> bool:
        """Whether the server does any work at least as fast and for no more energy at equal speed."""
        as_fast = self.device_flop_per_cycle * self.max_device_hz <= self.server_flop_per_cycle * self.max_server_hz
        device = self.device_weight * self.device_coefficient / self.device_flop_per_cycle**3
        server = self.server_weight * self.server_coefficient / self.server_flop_per_cycle**3
        return as_fast and server <= device


@dataclass(frozen=True)
class Outlook:
    """What tasks are drawn from, which is all that an online policy knows of those to come.

    Attributes:
        deadline: Range (low, high) of T in seconds; all values equally likely.
        weight: The usual weight.
        high_weight: The other.
        high_probability: Probability of that.
        link_gain: Mean channel power gain in each of the three states of the link; the fading is Exp(1) besides.
        link_stay: Probability that the link stays in its state; else it goes to a neighbour.
        sun_stay: Probability that the sun stays on, or off.
        harvest_j: Joules harvested with a task while the sun is on.

    Raises:
        InvalidValue: A number is out of range.
    """

    deadline: tuple[float, float] = (4.0, 10.0)
    weight: float = 1.0
    high_weight: float = 5.0
    high_probability: float = 0.2
    link_gain: tuple[float, float, float] = (1e-11, 5e-13, 5e-14)
    link_stay: float = 0.9
    sun_stay: float = 0.9
    harvest_j: float = 1.0

    def __post_init__(self) -> None:
        for name, count in (("deadline", 2), ("link_gain", LINK_STATES)):
            value = getattr(self, name)
            good = isinstance(value, (tuple, list)) and len(value) == count
            require(good, name, value, f"{count} numbers")
        require_real("deadline[0]", self.deadline[0], 0, MOST_SECONDS, above=True)
        require_real("deadline[1]", self.deadline[1], self.deadline[0], MOST_SECONDS)
        require_real("weight", self.weight, 0, MOST_WEIGHT, above=True)
        require_real("high_weight", self.high_weight, self.weight, MOST_WEIGHT)
        require_real("high_probability", self.high_probability, 0, 1)
        for place, gain in enumerate(self.link_gain):
            require_real(f"link_gain[{place}]", gain, 0, MOST_GAIN)
        require_real("link_stay", self.link_stay, 0, 1)
        require_real("sun_stay", self.sun_stay, 0, 1)
        require_real("harvest_j", self.harvest_j, 0, MOST_JOULES)
        for name in ("deadline", "link_gain"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))

    @property
    def mean_weight(self) -> float:
        """E[w]."""
        return self.weight + self.high_probability * (self.high_weight - self.weight)

    def draws(self) -> Draws:
        """As the kernels take it."""
        low, high = self.deadline
        return Draws(
            deadline=np.array([low, high - low]),
            weight=np.array([self.weight, self.high_weight, self.high_probability], dtype=np.float64),
            link_gain=np.array(self.link_gain),
            stay=np.array([self.link_stay, self.sun_stay], dtype=np.float64),
            harvest=float(self.harvest_j),
        )


@dataclass(frozen=True, eq=False)
class Instance(Stored, ReadOnlyArrays):
    """One episode, frozen. Two instances are equal when their contents are.

    Attributes:
        model: The model's splits.
        hardware: Device, server and radio.
        outlook: What the tasks were drawn from.
        deadline: float64 (N,), seconds T of each task.
        weight: float64 (N,), what its quality counts.
        gain: float64 (N,), channel power gain g, fading included.
        harvest: float64 (N,), joules that come after it.
        link: int64 (N,), state of the link.
        sun: int64 (N,), 1 where the sun is on.
        battery_j: Joules at the start.
        capacity_j: Joules that the battery holds.
        levels: float64 (K,), kept fractions r, ascending.
        continuous: Any kept fraction from the least level to 1 will do, not the levels alone.
        value_scale: What weighted qualities are divided by: N E[w] of the whole episode.

    Raises:
        InvalidValue: Shapes disagree or a value is out of range.
    """

    KIND: ClassVar[str] = "co-inference-instance"

    model: SplitTable
    hardware: Hardware
    outlook: Outlook
    deadline: NDArray[np.float64]
    weight: NDArray[np.float64]
    gain: NDArray[np.float64]
    harvest: NDArray[np.float64]
    link: NDArray[np.int64]
    sun: NDArray[np.int64]
    battery_j: float
    capacity_j: float
    levels: NDArray[np.float64]
    continuous: bool
    value_scale: float

    def __post_init__(self) -> None:
        for name, kind in (("model", SplitTable), ("hardware", Hardware), ("outlook", Outlook)):
            value = getattr(self, name)
            require(isinstance(value, kind), name, value, f"of the class {kind.__name__}")
        for name, low, high in (
            ("deadline", 0.0, MOST_SECONDS),
            ("weight", 0.0, MOST_WEIGHT),
            ("gain", 0.0, MOST_GAIN),
            ("harvest", 0.0, MOST_JOULES),
            ("link", 0, LINK_STATES - 1),
            ("sun", 0, 1),
        ):
            dtype: Any = np.int64 if isinstance(high, int) else np.float64
            array = read_only(name, getattr(self, name), dtype, 1)
            require(array.shape == (self.n_tasks,), f"{name}.shape", array.shape, f"({self.n_tasks},), one per task")
            in_range = bool(((array >= low) & (array <= high)).all())
            require(in_range, name, array, f"from {low:g} to {high:g}")
            object.__setattr__(self, name, array)
        require(bool((self.deadline > 0).all()), "deadline", self.deadline, "above 0")
        require_real("capacity_j", self.capacity_j, 0, MOST_JOULES)
        require_real("battery_j", self.battery_j, 0, self.capacity_j)
        require(isinstance(self.continuous, bool), "continuous", self.continuous, "True or False")
        require_real("value_scale", self.value_scale, 0, above=True)
        levels = read_only("levels", self.levels, np.float64, 1)
        object.__setattr__(self, "levels", levels)
        require_integer("len(levels)", len(levels), 1, MOST_LEVELS)
        good = bool((np.diff(levels) > 0).all()) and levels[0] >= LEAST_KEPT and levels[-1] <= 1
        require(good, "levels", levels, f"ascending, from {LEAST_KEPT:g} to 1")
        for name in ("battery_j", "capacity_j", "value_scale"):
            object.__setattr__(self, name, float(getattr(self, name)))

    def __repr__(self) -> str:
        battery = f"{self.battery_j:g} of {self.capacity_j:g} J"
        return f"<Instance: {self.n_tasks} tasks of {shown(self.model.name)}, battery {battery}>"

    @property
    def n_tasks(self) -> int:
        """Number of tasks N."""
        return len(self.deadline)

    @property
    def n_levels(self) -> int:
        """Number of levels K."""
        return len(self.levels)

    @property
    def redraws(self) -> bool:
        """Whether anything is drawn anew in mid-episode: nothing is."""
        return False

    @cached_property
    def useful_splits(self) -> Ints:
        """The splits that can be best, int64 (S',): where the server is better, those that send least so far."""
        everything = range(self.model.n_splits)
        return np.array(self.model.smaller_embeddings() if self.hardware.server_is_better else everything)

    @cached_property
    def tables(self) -> Tables:
        """The useful splits, the hardware and the levels as the kernels take them."""
        return self.tables_at(self.useful_splits)

    def tables_at(self, splits: Ints) -> Tables:
        """Likewise with other splits."""
        return tables_of(self.model, self.hardware, self.levels, splits)

    @cached_property
    def tasks(self) -> Floats:
        """The tasks as the kernels take them, float64 (N, 6); columns as in `dynamics`."""
        return np.stack([getattr(self, name) for name in _TASK_ARRAYS], axis=1).astype(np.float64)

    @cached_property
    def menus(self) -> Floats:
        """Least energy of each task at each level, float64 (N, K), infinite where the deadline is too short."""
        costs = menus_of(self.tables, self.tasks)
        costs.setflags(write=False)
        return costs

    def values(self, kept: Floats) -> Floats:
        """What each task counts at each kept fraction: weight · Q(r) / value_scale, float64 (N, len(kept))."""
        quality = kept * (1.0 - np.log(kept))
        return np.asarray(self.weight[:, None] * quality / self.value_scale)

    def remaining(self, task: int, battery_j: float) -> Instance:
        """What is left of the episode from a task on, as an instance of its own; it counts as it does in the whole."""
        left = {field.name: getattr(self, field.name) for field in fields(self)}
        left |= {name: getattr(self, name)[task:] for name in _TASK_ARRAYS}
        return Instance(**left | {"battery_j": battery_j})

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header = {
            "model": self.model.to_dict(),
            "hardware": asdict(self.hardware),
            "outlook": asdict(self.outlook),
            "numbers": [self.battery_j, self.capacity_j, self.value_scale],
            "continuous": self.continuous,
        }
        return header, {name: getattr(self, name) for name in (*_TASK_ARRAYS, "levels")}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Instance:
        battery_j, capacity_j, value_scale = header["numbers"]
        return cls(
            model=SplitTable.from_dict(header["model"]),
            hardware=Hardware(**header["hardware"]),
            outlook=Outlook(**header["outlook"]),
            battery_j=battery_j,
            capacity_j=capacity_j,
            value_scale=value_scale,
            continuous=header["continuous"],
            **arrays,
        )


def tables_of(model: SplitTable, hardware: Hardware, levels: Floats, splits: Ints) -> Tables:
    """What the kernels take of some of a model's splits."""
    rows = np.zeros((len(splits), SPLIT_COLUMNS))
    for row, split in enumerate(splits):
        device, server = model.device_flop[split], model.server_flop[split]
        cycles, server_cycles = device / hardware.device_flop_per_cycle, server / hardware.server_flop_per_cycle
        k1 = hardware.device_weight * hardware.device_coefficient * cycles**3
        k3 = hardware.server_weight * hardware.server_coefficient * server_cycles**3
        times = cycles / hardware.max_device_hz, server_cycles / hardware.max_server_hz
        rows[row] = *times, k1, k3, math.cbrt(k1), math.cbrt(k3), model.embedding_bits[split]
    numbers = (
        hardware.bandwidth_hz,
        hardware.noise_w_per_hz * hardware.bandwidth_hz,
        hardware.max_power_w,
        hardware.device_weight,
        hardware.max_device_hz,
        hardware.max_server_hz,
    )
    return Tables(rows, np.array(numbers, dtype=np.float64), levels)


@compiled
def menus_of(tables: Tables, tasks: Floats) -> Floats:
    """Least energy of each task, float64 (N, 6), at each level, float64 (N, K)."""
    costs = np.empty((len(tasks), len(tables.levels)))
    splits = np.empty(len(tables.levels), dtype=np.int64)
    for n in range(len(tasks)):
        fill_menu(tables, tasks[n, GAIN], tasks[n, DEADLINE], costs[n], splits)
    return costs
