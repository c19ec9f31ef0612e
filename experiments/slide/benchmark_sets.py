"""How `pl_env.slide.benchmark`'s sets are made; see `experiments.benchmark_sets`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.benchmark_sets import SEED, Recipe
from pl_env.slide.benchmark import BenchmarkSet
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan
from pl_env.slide.scenario import Scenario

RECIPES = {"slide-100": Recipe(Scenario.preset("default"), 100, "exact")}


def collect(name: str, recipe: Recipe, instances: Sequence[Instance], plans: Sequence[Plan]) -> BenchmarkSet:
    """The set of these instances and plans."""
    return BenchmarkSet(
        name=name,
        scenario=recipe.scenario,
        seed=SEED,
        users=np.stack([instance.users for instance in instances]),
        models=np.stack([plan.models for plan in plans]),
        upper_bound=np.array([round(plan.bound * plan.n_users) for plan in plans]),
        made_by=recipe.made_by("scipy"),
    )


def summary(benchmark: BenchmarkSet) -> str:
    """What its plans attain."""
    return f"{int(benchmark.served.sum())} users served"
