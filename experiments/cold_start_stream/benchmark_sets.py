"""How `pl_env.cold_start_stream.benchmark`'s sets are made, and verified: ``python -m experiments benchmark-sets``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.cold_start_stream.bounds import lower_bound
from baselines.cold_start_stream.search import rollout_search
from pl_env.cold_start_stream.benchmark import BENCHMARK_STREAM, FOLDER, BenchmarkSet
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.cold_start_stream.validation import check
from pl_env.errors import PlEnvError, UnknownName

SEED = 0
N_INSTANCES = 40
CANDIDATES = 24
RECIPES = {"cold-start-stream-40": Scenario.preset("default")}
"""Scenario of each set's instances; `rollout-search` finds the plans, `lower_bound` proves how far they can be."""


def draw(scenario: Scenario, i: int) -> Instance:
    """Instance i."""
    return scenario.sample(np.random.default_rng((BENCHMARK_STREAM, SEED, i)))


def certify(name: str, *, write: bool = False, solve_again: bool = True, folder: Path | None = None) -> str:
    """Verify a set, or make, write and verify it; returns a line about it.

    Args:
        name: Name of the set.
        write: Make the set and write it to the folder before.
        solve_again: Compute the bounds anew; else only draw the instances and check the plans.
        folder: Folder of the sets; where those that ship with the package lie, unless given.

    Raises:
        UnknownName: There is no such set.
        PlEnvError: The set is wrong; the message says all that is.
    """
    if name not in RECIPES:
        raise UnknownName("benchmark set", name, RECIPES)
    path = (folder or FOLDER) / f"{name}.npz"
    if write:
        make(name).save(path)
    loaded = BenchmarkSet.load(path)
    found = list(problems(loaded, solve_again=solve_again))
    if found:
        raise PlEnvError("; ".join(found))
    above = float((loaded.latency_ns / np.maximum(1, loaded.bound_ns)).mean())
    return (
        f"{name}: {len(loaded)} instances, {int(loaded.is_optimal.sum())} with a proven optimum, "
        f"{loaded.objective.mean():.3f} s in the mean, {above:.3f} times the bound; "
        f"{path.stat().st_size / 1e3:.0f} kB, SHA-256 {loaded.content_hash()[:16]}"
    )


def make(name: str) -> BenchmarkSet:
    """Draw and solve the instances of a set."""
    scenario = RECIPES[name]
    instances = [draw(scenario, i) for i in range(N_INSTANCES)]
    plans = [rollout_search(instance, candidates=CANDIDATES) for instance in instances]
    for plan, instance in zip(plans, instances, strict=True):
        check(plan, instance)
    most, m, n = scenario.most_devices, len(scenario.models), scenario.n_prompts
    return BenchmarkSet(
        name=name,
        scenario=scenario,
        seed=SEED,
        n_devices=np.array([instance.n_devices for instance in instances]),
        load_ns=_padded([instance.load_ns for instance in instances], (most, m)),
        n_layers=np.stack([instance.n_layers for instance in instances]),
        weight_bytes=np.stack([instance.weight_bytes for instance in instances]),
        memory_bytes=_padded([instance.memory_bytes for instance in instances], (most,)),
        compute_ns=_padded([instance.compute_ns for instance in instances], (n, most)),
        transfer_ns=_padded([instance.transfer_ns for instance in instances], (n, most, most)),
        activation_bytes=np.stack([instance.activation_bytes for instance in instances]),
        model=np.stack([instance.model for instance in instances]),
        arrival_ns=np.stack([instance.arrival_ns for instance in instances]),
        stages=_padded([plan.stages for plan in plans], (max(len(plan) for plan in plans), 3)),
        n_stages=np.array([len(plan) for plan in plans]),
        latency_ns=np.array([plan.latency_ns for plan in plans]),
        bound_ns=np.array([lower_bound(instance) for instance in instances]),
        made_by={
            "solver": f"rollout-search, {CANDIDATES} candidates",
            "versions": {package: importlib.metadata.version(package) for package in ("pl-env", "numpy", "numba")},
        },
    )


def _padded(arrays: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Arrays of different sizes as one, with zeros beyond."""
    padded = np.zeros((len(arrays), *shape), dtype=np.int64)
    for row, array in zip(padded, arrays, strict=True):
        row[tuple(slice(size) for size in array.shape)] = array
    return padded


def problems(benchmark: BenchmarkSet, *, solve_again: bool = True) -> Iterator[str]:
    """Verify a set: every instance is drawn again, its plan checked and its bound computed anew; what is wrong."""
    scenario = RECIPES[benchmark.name]
    if benchmark.scenario != scenario or len(benchmark) != N_INSTANCES:
        yield f"{benchmark.name}: its scenario or number of instances is not the recipe's"
        return
    for i, instance in enumerate(benchmark.instances):
        where = f"{benchmark.name}, instance {i}"
        if instance != draw(scenario, i):
            yield f"{where}: drawn again, it is another one"
            continue
        try:
            plan: Plan = benchmark.plan(i)
            check(plan, instance)
        except PlEnvError as error:
            yield f"{where}: the stored plan is not feasible: {error}"
            continue
        if plan.latency_ns != benchmark.latency_ns[i]:
            yield f"{where}: the stored plan has another latency"
        if solve_again and lower_bound(instance) != benchmark.bound_ns[i]:
            yield f"{where}: its bound is {benchmark.bound_ns[i]} ns; now {lower_bound(instance)}"
