"""Benchmark sets: instances with certified optima, shipped with the package.

`benchmark(name)` loads one. How they are made and verified again: ``python -m experiments benchmark-sets``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.benchmark_sets import ShippedSet
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.plan import Plan
from pl_env.co_inference.scenario import Scenario
from pl_env.ranges import require
from pl_env.read_only import read_only

CERTIFIED = 1e-9
"""How far a plan may be below its bound and count as optimal: rounding."""


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkSet(ShippedSet):
    """Instances drawn from one scenario of levels, each with the best plan known and a proven bound (M instances).

    Attributes:
        name: Name of the set.
        scenario: The `Scenario` that the instances were drawn from; an environment made with it can play them.
        seed: Instance m was drawn with ``default_rng((BENCHMARK_STREAM, seed, m))``.
        tasks: float64 (M, N, 6), the instances' tasks, columns as in `dynamics`.
        levels: int64 (M, N), the best plans known: each task's level, -1 for skipped.
        objective: float64 (M,), what they attain.
        upper_bound: float64 (M,), no plan of instance m attains more.
        made_by: What computed the plans and bounds: solver, versions of the software.

    Raises:
        InvalidValue: Shapes disagree, or a bound is below what is attained.
    """

    KIND: ClassVar[str] = "co-inference-benchmark-set"

    name: str
    scenario: Scenario
    seed: int
    tasks: NDArray[np.float64]
    levels: NDArray[np.int64]
    objective: NDArray[np.float64]
    upper_bound: NDArray[np.float64]
    made_by: dict[str, Any]

    def __post_init__(self) -> None:
        for name, ndim in (("tasks", 3), ("levels", 2), ("objective", 1), ("upper_bound", 1)):
            dtype: Any = np.int64 if name == "levels" else np.float64
            object.__setattr__(self, name, read_only(name, getattr(self, name), dtype, ndim))
        m, n = self.tasks.shape[:2]
        require(self.levels.shape == (m, n), "levels.shape", self.levels.shape, f"({m}, {n}), as of tasks")
        for name in ("objective", "upper_bound"):
            length = len(getattr(self, name))
            require(length == m, f"len({name})", length, f"{m}, one for each instance")
        require(isinstance(self.name, str), "name", self.name, "text")
        good = bool(((self.objective >= 0) & (self.objective <= self.upper_bound + CERTIFIED)).all())
        require(good and bool(np.isfinite(self.upper_bound).all()), "upper_bound", self.upper_bound, "above objective")

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The M instances."""
        return tuple(self.scenario.instance(tasks) for tasks in self.tasks)

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether the best plan known is proven optimal, bool (M,)."""
        return np.asarray(self.upper_bound - self.objective <= CERTIFIED)

    def plan(self, m: int) -> Plan:
        """The best plan known of instance m."""
        plan = Plan.from_levels(self.scenario.instance(self.tasks[m]), self.levels[m], solver=self.name)
        bound = max(float(self.upper_bound[m]), plan.objective)
        if bound - plan.objective <= CERTIFIED:
            return replace(plan, status="optimal", bound=plan.objective)
        return replace(plan, bound=bound)

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return self._about(), {name: getattr(self, name) for name in ("tasks", "levels", "objective", "upper_bound")}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> BenchmarkSet:
        scenario = Scenario.from_dict(header.pop("scenario"))
        return cls(scenario=scenario, **header, **arrays)  # type: ignore[arg-type]


benchmark = BenchmarkSet.shipped
benchmark_names = BenchmarkSet.shipped_names
