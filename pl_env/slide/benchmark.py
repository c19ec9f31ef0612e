"""Benchmark sets: instances with certified optima, shipped with the package.

`benchmark(name)` loads one. How they are made and verified again: ``python -m experiments benchmark-sets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.benchmark_sets import ShippedSet
from pl_env.ranges import require
from pl_env.read_only import read_only
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan
from pl_env.slide.scenario import Scenario


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkSet(ShippedSet):
    """Instances drawn from one scenario, each with the best plan known and a proven upper bound (N instances).

    Attributes:
        name: Name of the set.
        scenario: The `Scenario` that the instances were drawn from; an environment made with it can play them.
        seed: Instance n was drawn with ``default_rng((BENCHMARK_STREAM, seed, n))``.
        users: int64 (N, K, 6), the instances' users, columns as in `dynamics`.
        models: int64 (N, K), the best plans known: each user's model, -1 for refused.
        upper_bound: int64 (N,), no plan of instance n serves more users.
        made_by: What computed the plans and bounds: solver, versions of the software.

    Raises:
        InvalidValue: Shapes disagree, or a bound is below what is served or above what there is.
    """

    KIND: ClassVar[str] = "slide-benchmark-set"

    name: str
    scenario: Scenario
    seed: int
    users: NDArray[np.int64]
    models: NDArray[np.int64]
    upper_bound: NDArray[np.int64]
    made_by: dict[str, Any]

    def __post_init__(self) -> None:
        for name, ndim in (("users", 3), ("models", 2), ("upper_bound", 1)):
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, ndim))
        n, k = len(self.users), self.users.shape[1]
        require(self.models.shape == (n, k), "models.shape", self.models.shape, f"({n}, {k}), as of users")
        require(len(self.upper_bound) == n, "len(upper_bound)", len(self.upper_bound), f"{n}, one for each instance")
        require(isinstance(self.name, str), "name", self.name, "text")
        good = bool(((self.served <= self.upper_bound) & (self.upper_bound <= k)).all())
        require(good, "upper_bound", self.upper_bound, "from the users served to all users, for each instance")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The N instances."""
        return tuple(self.scenario.instance(users) for users in self.users)

    @property
    def served(self) -> NDArray[np.int64]:
        """Users served by the best plan known, int64 (N,)."""
        return np.asarray((self.models >= 0).sum(axis=1))

    @property
    def objective(self) -> NDArray[np.float64]:
        """Share of users served by the best plan known, float64 (N,)."""
        return np.asarray(self.served / self.users.shape[1])

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether the best plan known is proven optimal, bool (N,)."""
        return np.equal(self.served, self.upper_bound)

    def plan(self, n: int) -> Plan:
        """The best plan known of instance n."""
        n_users = self.users.shape[1]
        status = "optimal" if self.is_optimal[n] else "feasible"
        bound = int(self.upper_bound[n]) / n_users
        instance = self.scenario.instance(self.users[n])
        return Plan.from_models(instance, self.models[n], solver=self.name, status=status, bound=bound)

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return self._about(), {"users": self.users, "models": self.models, "upper_bound": self.upper_bound}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> BenchmarkSet:
        scenario = Scenario.from_dict(header.pop("scenario"))
        return cls(scenario=scenario, **header, **arrays)  # type: ignore[arg-type]


benchmark = BenchmarkSet.shipped
benchmark_names = BenchmarkSet.shipped_names
