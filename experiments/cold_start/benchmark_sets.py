"""How `pl_env.cold_start.benchmark`'s sets are made; see `experiments.benchmark_sets`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.benchmark_sets import SEED, Recipe, padded
from pl_env.cold_start.benchmark import BenchmarkSet
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan
from pl_env.cold_start.scenario import Scenario

RECIPES = {"cold-start-100": Recipe(Scenario.preset("default"), 100, "optimal-dp")}


def collect(name: str, recipe: Recipe, instances: Sequence[Instance], plans: Sequence[Plan]) -> BenchmarkSet:
    """The set of these instances, whose layers are all alike, and of their optimal plans."""
    most = recipe.scenario.most_devices
    stages = np.zeros((len(plans), most, 2), dtype=np.int64)
    for row, plan, instance in zip(stages, plans, instances, strict=True):
        assert instance.equal_layers
        row[: len(plan)] = np.stack([plan.devices, plan.counts], axis=1)
    finish = np.array([plan.finish_ns for plan in plans])
    return BenchmarkSet(
        name=name,
        scenario=recipe.scenario,
        seed=SEED,
        n_devices=np.array([instance.n_devices for instance in instances]),
        load_ns=padded([instance.load_ns[:, 0] for instance in instances], (most,)),
        compute_ns=padded([instance.compute_ns[:, 0] for instance in instances], (most,)),
        transfer_ns=padded([instance.transfer_ns[1] for instance in instances], (most, most)),
        weight_bytes=np.array([instance.weight_bytes[0] for instance in instances]),
        activation_bytes=np.array([instance.activation_bytes[0] for instance in instances]),
        memory_bytes=padded([instance.memory_bytes for instance in instances], (most,)),
        stages=stages,
        finish_ns=finish,
        bound_ns=finish,
        made_by=recipe.made_by("numba"),
    )


def summary(benchmark: BenchmarkSet) -> str:
    """What its plans attain."""
    return f"{benchmark.objective.mean():.3f} s in the mean"
