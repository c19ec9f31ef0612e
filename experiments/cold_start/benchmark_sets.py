"""How `pl_env.cold_start.benchmark`'s sets are made, and verified: ``python -m experiments benchmark-sets``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.cold_start.optimal_dp import optimal_dp
from pl_env.cold_start.benchmark import BENCHMARK_STREAM, FOLDER, BenchmarkSet
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.scenario import Scenario
from pl_env.cold_start.validation import check
from pl_env.errors import PlEnvError, UnknownName

SEED = 0
N_INSTANCES = 100
RECIPES = {"cold-start-100": Scenario.preset("default")}
"""Scenario of each set's instances, whose optima `optimal-dp` proves."""


def draw(scenario: Scenario, n: int) -> Instance:
    """Instance n."""
    return scenario.sample(np.random.default_rng((BENCHMARK_STREAM, SEED, n)))


def certify(name: str, *, write: bool = False, solve_again: bool = True, folder: Path | None = None) -> str:
    """Verify a set, or make, write and verify it; returns a line about it.

    Args:
        name: Name of the set.
        write: Make the set and write it to the folder before.
        solve_again: Prove the optima anew; else only draw the instances and check the plans.
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
    return (
        f"{name}: {len(loaded)} instances, {int(loaded.is_optimal.sum())} with a proven optimum, "
        f"{loaded.objective.mean():.3f} s in the mean; {path.stat().st_size / 1e3:.0f} kB, "
        f"SHA-256 {loaded.content_hash()[:16]}"
    )


def make(name: str) -> BenchmarkSet:
    """Draw and solve the instances of a set."""
    scenario = RECIPES[name]
    instances = [draw(scenario, n) for n in range(N_INSTANCES)]
    plans = [optimal_dp(instance) for instance in instances]
    most = scenario.most_devices
    stages = np.zeros((N_INSTANCES, most, 2), dtype=np.int64)
    for n, (plan, instance) in enumerate(zip(plans, instances, strict=True)):
        check(plan, instance)
        assert instance.equal_layers
        stages[n, : len(plan)] = np.stack([plan.devices, plan.counts], axis=1)
    finish = np.array([plan.finish_ns for plan in plans])
    return BenchmarkSet(
        name=name,
        scenario=scenario,
        seed=SEED,
        n_devices=np.array([instance.n_devices for instance in instances]),
        load_ns=_padded([instance.load_ns[:, 0] for instance in instances], (most,)),
        compute_ns=_padded([instance.compute_ns[:, 0] for instance in instances], (most,)),
        transfer_ns=_padded([instance.transfer_ns[1] for instance in instances], (most, most)),
        weight_bytes=np.array([instance.weight_bytes[0] for instance in instances]),
        activation_bytes=np.array([instance.activation_bytes[0] for instance in instances]),
        memory_bytes=_padded([instance.memory_bytes for instance in instances], (most,)),
        stages=stages,
        finish_ns=finish,
        bound_ns=finish,
        made_by={
            "solver": "optimal-dp",
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
    """Verify a set: every instance is drawn again, its plan checked and its optimum proven anew; what is wrong."""
    scenario = RECIPES[benchmark.name]
    if benchmark.scenario != scenario or len(benchmark) != N_INSTANCES:
        yield f"{benchmark.name}: its scenario or number of instances is not the recipe's"
        return
    for n, instance in enumerate(benchmark.instances):
        where = f"{benchmark.name}, instance {n}"
        if instance != draw(scenario, n):
            yield f"{where}: drawn again, it is another one"
            continue
        try:
            check(benchmark.plan(n), instance)
        except PlEnvError as error:
            yield f"{where}: the stored plan is not feasible: {error}"
            continue
        if benchmark.plan(n).finish_ns != benchmark.finish_ns[n]:
            yield f"{where}: the stored plan is done at another time"
        if solve_again and optimal_dp(instance).finish_ns != benchmark.bound_ns[n]:
            yield f"{where}: its bound is {benchmark.bound_ns[n]} ns; now {optimal_dp(instance)}"
