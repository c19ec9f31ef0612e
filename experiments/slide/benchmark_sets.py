"""How `pl_env.slide.benchmark`'s sets are made, and verified again: ``python -m experiments benchmark-sets``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.slide.exact import exact
from pl_env.errors import PlEnvError, UnknownName
from pl_env.slide.benchmark import BENCHMARK_STREAM, FOLDER, BenchmarkSet
from pl_env.slide.instance import Instance
from pl_env.slide.scenario import Scenario
from pl_env.slide.validation import check

SEED = 0
N_INSTANCES = 100
RECIPES = {"slide-100": Scenario.preset("default")}
"""Scenario of each set's instances, whose optima `exact` proves."""


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
        f"{int(loaded.served.sum())} users served; {path.stat().st_size / 1e3:.0f} kB, "
        f"SHA-256 {loaded.content_hash()[:16]}"
    )


def make(name: str) -> BenchmarkSet:
    """Draw and solve the instances of a set."""
    scenario = RECIPES[name]
    instances = [draw(scenario, n) for n in range(N_INSTANCES)]
    plans = [exact(instance) for instance in instances]
    for plan, instance in zip(plans, instances, strict=True):
        check(plan, instance)
    return BenchmarkSet(
        name=name,
        scenario=scenario,
        seed=SEED,
        users=np.stack([instance.users for instance in instances]),
        models=np.stack([plan.models for plan in plans]),
        upper_bound=np.array([round(plan.bound * plan.n_users) for plan in plans]),
        made_by={
            "solver": "exact",
            "versions": {package: importlib.metadata.version(package) for package in ("pl-env", "numpy", "scipy")},
        },
    )


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
        if not solve_again:
            continue
        again = exact(instance)
        if round(again.bound * again.n_users) != benchmark.upper_bound[n] or again.served != benchmark.served[n]:
            yield f"{where}: {benchmark.served[n]} of at most {benchmark.upper_bound[n]} users served; now {again}"
