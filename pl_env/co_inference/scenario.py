"""A family of episodes: a model, hardware, what tasks are drawn from, a battery; and named presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from pl_env.co_inference.dynamics import DRAWS_PER_TASK, TASK_COLUMNS, draw_tasks
from pl_env.co_inference.instance import LEAST_KEPT, MOST_JOULES, MOST_LEVELS, Floats, Hardware, Instance, Outlook
from pl_env.co_inference.split_tables import MODELS, SplitTable, split_table
from pl_env.configured import Configured
from pl_env.errors import UnknownName
from pl_env.ranges import require, require_integer, require_real

MOST_TASKS = 100_000

_HARDWARE, _OUTLOOK = Hardware(), Outlook()


@dataclass(frozen=True)
class Scenario(Configured):
    """Everything that is fixed from episode to episode. SI units.

    Attributes:
        n_tasks: Tasks N of an episode.
        model: Name of a model that is built in, or a `SplitTable`.
        battery_j: Joules at the start.
        capacity_j: Joules that the battery holds.
        least_kept: Least kept fraction r; the levels go from there to 1 in equal steps.
        n_levels: Number of levels K.
        continuous: Any kept fraction will do, not the levels alone.
        device_flop_per_cycle: c.
        server_flop_per_cycle: c~.
        device_coefficient: eta psi, W/(cycle/s)³.
        server_coefficient: eta~ psi~, likewise.
        max_device_hz: f_max.
        max_server_hz: f~_max.
        max_power_w: p_max.
        bandwidth_hz: B.
        noise_w_per_hz: N0, -174 dBm/Hz.
        device_weight: w_d.
        server_weight: w_s.
        deadline: Range of T in seconds.
        weight: The usual weight of a task.
        high_weight: The other.
        high_probability: Probability of that.
        link_gain: Mean channel power gain in each state of the link.
        link_stay: Probability that the link stays in its state.
        sun_stay: Probability that the sun stays on, or off.
        harvest_j: Joules harvested with a task while the sun is on.

    Raises:
        InvalidValue: A field is out of range.
        UnknownName: There is no such model.
    """

    n_tasks: int = 40
    model: str | SplitTable = "blip2"
    battery_j: float = 1.5
    capacity_j: float = 3.0
    least_kept: float = 0.5
    n_levels: int = 11
    continuous: bool = False
    device_flop_per_cycle: float = _HARDWARE.device_flop_per_cycle
    server_flop_per_cycle: float = _HARDWARE.server_flop_per_cycle
    device_coefficient: float = _HARDWARE.device_coefficient
    server_coefficient: float = _HARDWARE.server_coefficient
    max_device_hz: float = _HARDWARE.max_device_hz
    max_server_hz: float = _HARDWARE.max_server_hz
    max_power_w: float = _HARDWARE.max_power_w
    bandwidth_hz: float = _HARDWARE.bandwidth_hz
    noise_w_per_hz: float = _HARDWARE.noise_w_per_hz
    device_weight: float = _HARDWARE.device_weight
    server_weight: float = _HARDWARE.server_weight
    deadline: tuple[float, float] = _OUTLOOK.deadline
    weight: float = _OUTLOOK.weight
    high_weight: float = _OUTLOOK.high_weight
    high_probability: float = _OUTLOOK.high_probability
    link_gain: tuple[float, float, float] = _OUTLOOK.link_gain
    link_stay: float = _OUTLOOK.link_stay
    sun_stay: float = _OUTLOOK.sun_stay
    harvest_j: float = _OUTLOOK.harvest_j

    def __post_init__(self) -> None:
        require_integer("n_tasks", self.n_tasks, 1, MOST_TASKS)
        good = isinstance(self.model, (str, SplitTable))
        require(good, "model", self.model, "the name of a model or a SplitTable")
        if isinstance(self.model, str) and self.model not in MODELS:
            raise UnknownName("model", self.model, MODELS)
        require_real("capacity_j", self.capacity_j, 0, MOST_JOULES, above=True)
        require_real("battery_j", self.battery_j, 0, self.capacity_j)
        require_real("least_kept", self.least_kept, LEAST_KEPT, 1)
        most = 1 if self.least_kept == 1 else MOST_LEVELS
        require_integer("n_levels", self.n_levels, min(2, most), most)
        require(isinstance(self.continuous, bool), "continuous", self.continuous, "True or False")
        for name in ("deadline", "link_gain"):
            object.__setattr__(self, name, getattr(self.outlook, name))  # checked there, and made tuples of floats
        assert self.hardware

    @cached_property
    def hardware(self) -> Hardware:
        """Device, server and radio."""
        return Hardware(**{field.name: getattr(self, field.name) for field in fields(Hardware)})

    @cached_property
    def outlook(self) -> Outlook:
        """What tasks are drawn from."""
        return Outlook(**{field.name: getattr(self, field.name) for field in fields(Outlook)})

    @property
    def split_table(self) -> SplitTable:
        """The model's splits."""
        return split_table(self.model) if isinstance(self.model, str) else self.model

    @cached_property
    def levels(self) -> Floats:
        """Kept fractions, float64 (K,)."""
        levels = np.linspace(self.least_kept, 1.0, self.n_levels)
        levels.setflags(write=False)
        return levels

    @cached_property
    def nothing(self) -> Instance:
        """The instance without tasks, which has the tables of all."""
        return self.instance(np.zeros((0, TASK_COLUMNS)))

    @property
    def n_splits(self) -> int:
        """Number of useful splits S'."""
        return len(self.nothing.useful_splits)

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw one episode.

        The environment's ``reset`` draws the very same numbers from the same state of the generator.

        Args:
            rng: The source of all randomness.
        """
        tasks = np.empty((self.n_tasks, TASK_COLUMNS))
        draw_tasks(rng.random((DRAWS_PER_TASK, self.n_tasks)), self.outlook.draws(), tasks)
        return self.instance(tasks)

    def instance(self, tasks: Floats) -> Instance:
        """The instance of this scenario with the given tasks, float64 (N, 6), columns as in `dynamics`."""
        deadline, weight, gain, harvest, link, sun = np.asarray(tasks, dtype=np.float64).T
        return Instance(
            model=self.split_table,
            hardware=self.hardware,
            outlook=self.outlook,
            deadline=deadline,
            weight=weight,
            gain=gain,
            harvest=harvest,
            link=link,
            sun=sun,
            battery_j=self.battery_j,
            capacity_j=self.capacity_j,
            levels=self.levels,
            continuous=self.continuous,
            value_scale=self.n_tasks * self.outlook.mean_weight,
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if isinstance(self.model, SplitTable):
            values["model"] = self.model.to_dict()
        return dict(json.loads(json.dumps(values, default=lambda number: number.item())))  # NumPy's numbers

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scenario:
        """The scenario that `to_dict` described.

        Raises:
            InvalidValue: A field is out of range.
            UnknownName: There is no such field or model.
        """
        given = dict(values)
        if isinstance(given.get("model"), Mapping):
            given["model"] = SplitTable.from_dict(given["model"])
        return cls().override(**given)


def _static() -> dict[str, Any]:
    """The paper's problem: one task, and all that its energy limit allows; nothing is drawn but the channel."""
    return {
        "n_tasks": 1,
        "battery_j": 2.0,
        "capacity_j": 2.0,
        "least_kept": 1e-3,
        "continuous": True,
        "deadline": (4.0, 4.0),
        "high_probability": 0.0,
        "link_gain": (5e-13, 5e-13, 5e-13),
        "harvest_j": 0.0,
    }


Scenario.PRESETS = {
    "default": lambda: {},
    "budget": lambda: {"n_tasks": 24, "battery_j": 6.0, "capacity_j": 6.0, "harvest_j": 0.0},
    "continuous": lambda: {"continuous": True},
    "static": _static,
    "tiny": lambda: {"n_tasks": 4, "battery_j": 0.7, "capacity_j": 1.0, "harvest_j": 0.4},
}
