"""How `pl_env.cold_start_stream.benchmark`'s sets are made; see `experiments.benchmark_sets`.

The plans are the best known, by `rollout-search`, and the bounds those of `baselines.cold_start_stream.bounds`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from baselines.cold_start_stream.bounds import lower_bound
from experiments.benchmark_sets import SEED, Recipe, padded
from pl_env.cold_start_stream.benchmark import BenchmarkSet
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.cold_start_stream.scenario import Scenario

RECIPES = {
    "cold-start-stream-40": Recipe(Scenario.preset("default"), 40, "rollout-search", options={"candidates": 24}),
}


def collect(name: str, recipe: Recipe, instances: Sequence[Instance], plans: Sequence[Plan]) -> BenchmarkSet:
    """The set of these instances and plans."""
    scenario = recipe.scenario
    most, m, n = scenario.most_devices, len(scenario.models), scenario.n_prompts
    return BenchmarkSet(
        name=name,
        scenario=scenario,
        seed=SEED,
        n_devices=np.array([instance.n_devices for instance in instances]),
        load_ns=padded([instance.load_ns for instance in instances], (most, m)),
        n_layers=np.stack([instance.n_layers for instance in instances]),
        weight_bytes=np.stack([instance.weight_bytes for instance in instances]),
        memory_bytes=padded([instance.memory_bytes for instance in instances], (most,)),
        compute_ns=padded([instance.compute_ns for instance in instances], (n, most)),
        transfer_ns=padded([instance.transfer_ns for instance in instances], (n, most, most)),
        activation_bytes=np.stack([instance.activation_bytes for instance in instances]),
        model=np.stack([instance.model for instance in instances]),
        arrival_ns=np.stack([instance.arrival_ns for instance in instances]),
        stages=padded([plan.stages for plan in plans], (max(len(plan) for plan in plans), 3)),
        n_stages=np.array([len(plan) for plan in plans]),
        latency_ns=np.array([plan.latency_ns for plan in plans]),
        bound_ns=np.array([lower_bound(instance) for instance in instances]),
        made_by=recipe.made_by("numba"),
    )


def summary(benchmark: BenchmarkSet) -> str:
    """What its plans attain."""
    above = float((benchmark.latency_ns / np.maximum(1, benchmark.bound_ns)).mean())
    return f"{benchmark.objective.mean():.3f} s in the mean, {above:.3f} times the bound"
