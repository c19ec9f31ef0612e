"""How `pl_env.online.benchmark`'s sets are made; see `experiments.benchmark_sets`.

``online-tiny-100`` has instances of at most ten users, whose optima `exhaustive-online` proves. ``online-10`` has large
ones, of which no useful bound is known: its plans are the best known, by `clairvoyant`, and its bound, the best valid
one, says how many users could be served if each of them were alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.benchmark_sets import SEED, Recipe
from pl_env.online.benchmark import BenchmarkSet
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.online.scenario import Scenario

TINY = Scenario.preset("tiny", relative_deadline=(0.14, 0.2), episode_seconds=1 / 6, arrival_rate=24.0)
"""Busier than the preset, so that not everybody can be served."""

RECIPES = {
    "online-tiny-100": Recipe(TINY, 100, "exhaustive-online"),
    "online-10": Recipe(Scenario(episode_seconds=5.0), 10, "clairvoyant"),
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
