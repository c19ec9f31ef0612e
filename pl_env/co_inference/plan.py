"""What was decided for each task, and what it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pl_env.co_inference.dynamics import (
    DECISION_COLUMNS,
    DEVICE_HZ,
    DEVICE_S,
    ENERGY,
    KEPT,
    POWER,
    RADIO_S,
    SERVER_HZ,
    SERVER_S,
    SPLIT,
    VALUE,
    quality,
    use_all_resources,
    use_least_energy,
)
from pl_env.co_inference.instance import Floats, Instance, Ints
from pl_env.co_inference.least_energy import BITS, Tables, least_energy, shortest_radio
from pl_env.errors import InfeasibleSchedule
from pl_env.ranges import require

LOWEST_POWER, LOWEST_HZ = 1e-3, 0.1
"""Lowest power and frequency that a continuous action can say, as fractions of the highest."""


@dataclass(frozen=True, eq=False)
class Plan:
    """For each of the first n tasks: skipped, or a split, a kept fraction, and resources.

    Attributes:
        split: int64 (n,), blocks that the device runs, -1 where the task is skipped.
        kept: float64 (n,), kept fraction r; 0 where the task is skipped, and so in all that follows.
        power_w: float64 (n,), transmit power p.
        device_hz: float64 (n,), f.
        server_hz: float64 (n,), f~.
        device_s: float64 (n,), t1.
        radio_s: float64 (n,), t2.
        server_s: float64 (n,), t3.
        energy_j: float64 (n,), weighted joules.
        value: float64 (n,), weighted quality as a share of N E[w].
        n_tasks: Number of tasks N of the instance.
        solver: Name of what made the plan.
        status: "optimal" where no plan attains more, else "feasible".
        bound: No plan attains more.
        elapsed: Seconds the solver took.
        played: The continuous actions that made it, where an environment did.
    """

    SENSE: ClassVar[str] = "max"

    split: Ints
    kept: Floats
    power_w: Floats
    device_hz: Floats
    server_hz: Floats
    device_s: Floats
    radio_s: Floats
    server_s: Floats
    energy_j: Floats
    value: Floats
    n_tasks: int
    solver: str = ""
    status: str = "feasible"
    bound: float = math.inf
    elapsed: float = 0.0
    played: tuple[tuple[float, ...], ...] | None = None

    @classmethod
    def from_decisions(cls, decisions: Floats, n_tasks: int, **about: Any) -> Plan:
        """A plan from rows of decisions, float64 (n, 10), columns as in `dynamics`."""
        columns = (KEPT, POWER, DEVICE_HZ, SERVER_HZ, DEVICE_S, RADIO_S, SERVER_S, ENERGY, VALUE)
        arrays: Any = (*(np.array(decisions[:, column]) for column in columns), n_tasks)
        return cls(decisions[:, SPLIT].astype(np.int64), *arrays, **about)

    @classmethod
    def from_fractions(cls, instance: Instance, kept: Any, split: Any = None, **about: Any) -> Plan:
        """Each task at a kept fraction with least energy.

        Args:
            instance: The instance.
            kept: float64 (n,), kept fraction of each of the first n tasks; 0 skips.
            split: int64 (n,), where to split; the best of all unless given.
            **about: ``solver``, ``status``, ``bound`` and ``elapsed``.

        Raises:
            InvalidValue: A fraction is out of range, or there are too many.
            InfeasibleSchedule: A deadline is too short for its fraction.
        """
        kept = np.asarray(kept, dtype=np.float64)
        good = kept.ndim == 1 and len(kept) <= instance.n_tasks and bool(((kept >= 0) & (kept <= 1)).all())
        require(good, "kept", kept, f"from 0 to 1, for each of at most {instance.n_tasks} tasks")
        decisions = np.zeros((len(kept), DECISION_COLUMNS))
        for n, fraction in enumerate(kept.tolist()):
            decisions[n, SPLIT] = -1
            if fraction > 0:
                splits = instance.useful_splits if split is None else np.array([split[n]])
                tables = instance.tables if split is None else instance.tables_at(splits)
                decide_task(instance, n, fraction, tables, splits, decisions[n])
        return cls.from_decisions(decisions, instance.n_tasks, **about)

    @classmethod
    def from_resources(
        cls, instance: Instance, split: int, kept: float, power_w: float, device_hz: float, server_hz: float
    ) -> Plan:
        """One task, the first, with given resources, equations (1) to (3); it may break limits."""
        numbers = instance.tables_at(np.array([split]))
        decisions = np.zeros((1, DECISION_COLUMNS))
        use_all_resources(
            numbers.splits[0], numbers.hardware, instance.tasks[0], kept, power_w, device_hz, server_hz, decisions[0]
        )
        decisions[0, SPLIT] = split
        decisions[0, VALUE] = instance.weight[0] * quality(kept) / instance.value_scale
        return cls.from_decisions(decisions, instance.n_tasks)

    @classmethod
    def from_levels(cls, instance: Instance, levels: Any, **about: Any) -> Plan:
        """Each task at a level, -1 for skipped, with least energy; otherwise as `from_fractions`."""
        levels = np.asarray(levels)
        good = levels.ndim == 1 and (levels.dtype.kind in "iu" or len(levels) == 0)
        good = good and bool(((levels >= -1) & (levels < instance.n_levels)).all())
        require(good, "levels", levels, f"for each task -1, or a level from 0 to {instance.n_levels - 1}")
        levels = levels.astype(np.int64)
        kept = np.where(levels >= 0, instance.levels[levels], 0.0)
        return cls.from_fractions(instance, kept, **about)

    def __repr__(self) -> str:
        return f"<Plan {self}>"

    def __len__(self) -> int:
        return len(self.split)

    @property
    def objective(self) -> float:
        """Mean weighted quality: the sum of w Q(r) over N E[w]."""
        return float(self.value.sum())

    @property
    def served(self) -> int:
        """Number of tasks that are not skipped."""
        return int((self.split >= 0).sum())

    def levels(self, instance: Instance) -> Ints:
        """The level of each task, -1 where it is skipped."""
        nearest = np.abs(self.kept[:, None] - instance.levels).argmin(axis=1)
        return np.where(self.split >= 0, nearest, -1)

    def actions(self, env: Any) -> list[Any]:
        """The environment's actions: levels from 1 on, 0 to skip; or points of its Box, as tuples."""
        if self.played is not None:
            return list(self.played)
        instance: Instance = env.instance
        if not instance.continuous:
            return [int(level) + 1 for level in self.levels(instance)]
        return [self.point(task, instance) for task in range(len(self))]

    def point(self, task: int, instance: Instance) -> tuple[float, ...]:
        """A continuous action that makes the same of a task."""
        choice = np.where(instance.useful_splits == self.split[task], 1.0, -1.0).tolist()
        if self.split[task] < 0:
            return (-1.0, 0.0, 0.0, *choice)
        least = float(instance.levels[0])
        kept = (float(self.kept[task]) - least) / (1 - least) if least < 1 else 1.0
        power = max(LOWEST_POWER, float(self.power_w[task]) / instance.hardware.max_power_w)
        hertz = max(LOWEST_HZ, float(self.device_hz[task]) / instance.hardware.max_device_hz)
        point = (kept, 1 + math.log10(power) / 1.5, (hertz - LOWEST_HZ) / 0.45 - 1)
        return (*(min(1.0, max(-1.0, value)) for value in point), *choice)

    def __str__(self) -> str:
        last = f"{self.elapsed:.3f} s, {self.status}"
        served = f"{self.served} of {self.n_tasks} tasks served"
        return f"{self.solver or 'plan'}: mean weighted quality {self.objective:.4f}, {served} ({last})"


def decide_task(instance: Instance, task: int, kept: float, tables: Tables, splits: Ints, decision: Floats) -> None:
    """Fill a decision, float64 (10,), with the least energy at a kept fraction over some splits.

    Raises:
        InfeasibleSchedule: The deadline is too short at all of them.
    """
    numbers, best = instance.tasks[task], math.inf
    gain, deadline = float(instance.gain[task]), float(instance.deadline[task])
    per_bit = shortest_radio(tables.hardware, gain)
    for row, split in zip(tables.splits, splits, strict=True):
        least_seconds = per_bit * row[BITS] if row[BITS] > 0 else 0.0
        energy, seconds = least_energy(row, tables.hardware, gain, least_seconds, deadline, kept, 0.0)
        if energy < best:
            best = energy
            use_least_energy(row, tables.hardware, numbers, kept, seconds, decision)
            decision[SPLIT] = split
            decision[VALUE] = instance.weight[task] * quality(kept) / instance.value_scale
    if math.isinf(best):
        raise InfeasibleSchedule(f"plan: task {task}: its deadline of {deadline:.6g} s is too short to keep {kept:.6g}")
