"""How the sets of `pl_env.benchmark` are made; see `experiments.benchmark_sets`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.benchmark_sets import SEED, Recipe
from pl_env.partial_loading.benchmark import BenchmarkSet
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule

_BACKBONES = ("resnet18", "resnet34", "resnet50")


class _Recipe(Recipe):
    """Instances, each with a library of its own, without what a schedule does not depend on."""

    def draw(self, n: int) -> Instance:
        drawn: Instance = super().draw(n)
        return replace(drawn, mean_snr=None, unit_upload_ns=0.0)


def _scenario(preset: str, **overrides: Any) -> Scenario:
    return Scenario.preset(preset, resample_library=True, **overrides)


RECIPES = {
    "bls-100": _Recipe(_scenario("bls"), 100, "optimal-dp", second_solver="exact"),
    "general-100": _Recipe(_scenario("general"), 100, "exact"),
    "general-hard-100": _Recipe(_scenario("general-hard"), 100, "exact"),
    "mixed-100": _Recipe(_scenario("general", n_models=27, backbones=_BACKBONES, deadline=0.3), 100, "exact"),
    "large-10": _Recipe(
        _scenario("general", n_models=200, n_users=2000, deadline=2.0),
        10,
        "exact",
        options={"time_limit": 600.0},
        second_solver="exact",  # which need not say the same after the same time
    ),
}


def collect(name: str, recipe: Recipe, instances: Sequence[Instance], plans: Sequence[Schedule]) -> BenchmarkSet:
    """The set of these instances and schedules."""
    runs = [_runs(schedule) for schedule in plans]
    flat = [run for of_instance in runs for run in of_instance]
    return BenchmarkSet(
        name=name,
        scenario=recipe.scenario,
        seed=SEED,
        instances=tuple(instances),
        upper_bound=np.array([schedule.upper_bound for schedule in plans]),
        run_start=np.cumsum([0, *map(len, runs)]),
        run_models=np.array([model for model, _ in flat]),
        run_counts=np.array([count for _, count in flat]),
        made_by=recipe.made_by("ortools"),
    )


def _runs(schedule: Schedule) -> list[tuple[int, int]]:
    """Models and numbers of users of a schedule's runs: batches of one model that follow each other."""
    runs: list[tuple[int, int]] = []
    for batch in schedule.batches:
        served = len(batch.users)
        if runs and runs[-1][0] == batch.model:
            served += runs.pop()[1]
        runs.append((batch.model, served))
    return runs


def summary(benchmark: BenchmarkSet) -> str:
    """What its schedules attain."""
    return f"{int(benchmark.served.sum())} users served, {int(benchmark.upper_bound.sum())} at most"
