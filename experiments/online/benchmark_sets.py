"""How `pl_env.online.benchmark`'s sets are made; see `experiments.benchmark_sets`.

``online-tiny-100`` has instances of at most ten users, whose optima `exhaustive-online` proves. ``online-10`` has large
ones: its plans are the best known, by `clairvoyant`, and its bounds those of `baselines.online.relaxation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from baselines.online.relaxation import lagrangean_bound
from experiments.benchmark_sets import SEED, Recipe
from pl_env.online.benchmark import BenchmarkSet
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.online.scenario import Scenario

TINY = Scenario.preset("tiny", relative_deadline=(0.14, 0.2), episode_seconds=1 / 6, arrival_rate=24.0)
"""Busier than the preset, so that not everybody can be served."""


@dataclass(frozen=True)
class BoundedRecipe(Recipe):
    """A recipe whose plans get the bounds of the relaxation, where theirs prove nothing.

    Attributes:
        bound_iterations: Steps of `lagrangean_bound`.
    """

    bound_iterations: int = 400

    def solve(self, instance: Any) -> Any:
        """The plan that goes into the set, with its bound."""
        return self._bounded(super().solve(instance), instance)

    def solve_again(self, instance: Any) -> Any:
        """Likewise, to verify it with."""
        return self._bounded(super().solve_again(instance), instance)

    def _bounded(self, plan: Plan, instance: Instance) -> Plan:
        if plan.status == "optimal":
            return plan
        most = min(round(plan.bound * plan.n_users), lagrangean_bound(instance, iterations=self.bound_iterations))
        return replace(plan, bound=most / plan.n_users, status="optimal" if plan.served == most else "feasible")

    def made_by(self, *packages: str) -> dict[str, Any]:
        """What a set says of how it was made."""
        return super().made_by(*packages) | {"bound_iterations": self.bound_iterations}


RECIPES = {
    "online-tiny-100": Recipe(TINY, 100, "exhaustive-online"),
    "online-10": BoundedRecipe(Scenario(episode_seconds=5.0), 10, "clairvoyant"),
}


def collect(name: str, recipe: Recipe, instances: Sequence[Instance], plans: Sequence[Plan]) -> BenchmarkSet:
    """The set of these instances and plans."""
    return BenchmarkSet(
        name=name,
        scenario=recipe.scenario,
        seed=SEED,
        users=np.concatenate([instance.users for instance in instances]),
        user_start=np.cumsum([0, *(instance.n_users for instance in instances)]),
        plans=tuple(plans),
        upper_bound=np.array([round(plan.bound * plan.n_users) for plan in plans]),
        made_by=recipe.made_by("numba"),
    )


def summary(benchmark: BenchmarkSet) -> str:
    """What its plans attain."""
    return f"{int(benchmark.served.sum())} of at most {int(benchmark.upper_bound.sum())} users served"
