"""Benchmark sets: instances with the best plan known and a proven upper bound, shipped with the package.

`benchmark(name)` loads one. How they are made and verified again: ``python -m experiments benchmark-sets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.benchmark_sets import ShippedSet
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.online.scenario import Scenario
from pl_env.partial_loading.library import ModelLibrary
from pl_env.ranges import require
from pl_env.read_only import read_only

Ints = NDArray[np.int64]

_PLAN_ARRAYS = ("history", "users", "upload_ns", "evicted", "evicted_start", "waits", "preferred")


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkSet(ShippedSet):
    """Instances drawn from one scenario, each with the best plan known and a proven upper bound (N instances).

    Attributes:
        name: Name of the set.
        scenario: The `Scenario` that the instances were drawn from; an environment made with it can play them.
        seed: Instance n was drawn with ``default_rng((BENCHMARK_STREAM, seed, n))``.
        users: int64 (all users, 5), the instances' users one instance after the other, columns as in `arrays`.
        user_start: int64 (N + 1,), where each instance's users begin.
        plans: The best plans known.
        upper_bound: int64 (N,), no plan of instance n serves more users.
        made_by: What computed the plans and bounds: solvers, versions of the software.

    Raises:
        InvalidValue: Shapes disagree.
    """

    KIND: ClassVar[str] = "online-benchmark-set"

    name: str
    scenario: Scenario
    seed: int
    users: Ints
    user_start: Ints
    plans: tuple[Plan, ...]
    upper_bound: Ints
    made_by: dict[str, Any]

    def __post_init__(self) -> None:
        for name, ndim in (("users", 2), ("user_start", 1), ("upper_bound", 1)):
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, ndim))
        n = len(self.plans)
        require(len(self.user_start) == n + 1, "len(user_start)", len(self.user_start), f"{n + 1}")
        require(len(self.upper_bound) == n, "len(upper_bound)", len(self.upper_bound), f"{n}, one for each plan")

    def __len__(self) -> int:
        return len(self.plans)

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The N instances."""
        return tuple(self.scenario.instance(users) for users in np.split(self.users, self.user_start[1:-1]))

    @property
    def n_users(self) -> Ints:
        """Users K of each instance, int64 (N,)."""
        return np.diff(self.user_start)

    @property
    def served(self) -> Ints:
        """Users served by the best plan known, int64 (N,)."""
        return np.array([plan.served for plan in self.plans], dtype=np.int64)

    @property
    def objective(self) -> NDArray[np.float64]:
        """Goodput of the best plan known, float64 (N,)."""
        return np.asarray(self.served / self.n_users)

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether the best plan known is proven optimal, bool (N,)."""
        return np.equal(self.served, self.upper_bound)

    def plan(self, n: int) -> Plan:
        """The best plan known of instance n."""
        return self.plans[n]

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        header = self._about() | {
            "playable": [plan.playable for plan in self.plans],
            "library": None,
        }
        arrays: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in ("users", "user_start", "upper_bound")}
        library = self.scenario.library
        if library is not None:
            header["library"] = {"architectures": library.architectures, "model_names": library.model_names}
            arrays |= {"library_has_block": library.has_block, "library_block_bytes": library.block_bytes}
        for name in _PLAN_ARRAYS:
            parts = [getattr(plan, name) for plan in self.plans]
            arrays[f"plan_{name}"] = np.concatenate(parts)
            arrays[f"start_of_plan_{name}"] = np.cumsum([0, *map(len, parts)])
        return header, arrays

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> BenchmarkSet:
        names, playable = header.pop("library"), header.pop("playable")
        library = None
        if names is not None:
            library = ModelLibrary(arrays.pop("library_has_block"), arrays.pop("library_block_bytes"), **names)
        scenario = Scenario.from_dict(header.pop("scenario"), library)
        parts = {
            name: np.split(arrays.pop(f"plan_{name}"), arrays.pop(f"start_of_plan_{name}")[1:-1])
            for name in _PLAN_ARRAYS
        }
        n_users = np.diff(arrays["user_start"]).tolist()
        bounds = (arrays["upper_bound"] / np.maximum(1, n_users)).tolist()
        plans = []
        for n, count in enumerate(n_users):
            of_plan: dict[str, Any] = {name: parts[name][n] for name in _PLAN_ARRAYS}
            status = "optimal" if len(of_plan["users"]) == arrays["upper_bound"][n] else "feasible"
            about: dict[str, Any] = {"solver": header["name"], "status": status}
            plans.append(Plan(n_users=count, playable=playable[n], bound=bounds[n], **of_plan, **about))
        return cls(scenario=scenario, plans=tuple(plans), **header, **arrays)  # type: ignore[arg-type]


benchmark = BenchmarkSet.shipped
benchmark_names = BenchmarkSet.shipped_names
