"""How `pl_env.co_inference.benchmark`'s sets are made; see `experiments.benchmark_sets`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.benchmark_sets import SEED, Recipe
from pl_env.co_inference.benchmark import CERTIFIED, BenchmarkSet
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.plan import Plan
from pl_env.co_inference.scenario import Scenario


class _Recipe(Recipe):
    """Instances may differ by rounding where another machine's logarithm differs in its last bit."""

    def is_instance(self, n: int, instance: Instance) -> bool:
        return np.allclose(instance.tasks, self.draw(n).tasks, rtol=1e-12, atol=0)


RECIPES = {
    "co-inference-100": _Recipe(Scenario.preset("default"), 100, "exact", tolerance=CERTIFIED),
    "co-inference-budget-100": _Recipe(Scenario.preset("budget"), 100, "exact", tolerance=CERTIFIED),
}


def collect(name: str, recipe: Recipe, instances: Sequence[Instance], plans: Sequence[Plan]) -> BenchmarkSet:
    """The set of these instances and plans."""
    return BenchmarkSet(
        name=name,
        scenario=recipe.scenario,
        seed=SEED,
        tasks=np.stack([instance.tasks for instance in instances]),
        levels=np.stack([plan.levels(instance) for plan, instance in zip(plans, instances, strict=True)]),
        objective=np.array([plan.objective for plan in plans]),
        upper_bound=np.array([plan.bound for plan in plans]),
        made_by=recipe.made_by("numba"),
    )


def summary(benchmark: BenchmarkSet) -> str:
    """What its plans attain."""
    return f"mean weighted quality {benchmark.objective.mean():.4f}"
