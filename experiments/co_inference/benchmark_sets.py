"""How `pl_env.co_inference.benchmark`'s sets are made, and verified again: ``python -m experiments benchmark-sets``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from baselines.co_inference.offline import exact
from pl_env.co_inference.benchmark import BENCHMARK_STREAM, CERTIFIED, FOLDER, BenchmarkSet
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.scenario import Scenario
from pl_env.co_inference.validation import check
from pl_env.errors import PlEnvError, UnknownName

SEED = 0
N_INSTANCES = 100
RECIPES = {
    "co-inference-100": Scenario.preset("default"),
    "co-inference-budget-100": Scenario.preset("budget"),
}
"""Scenario of each set's instances, whose optima `exact` proves."""


def draw(scenario: Scenario, m: int) -> Instance:
    """Instance m."""
    return scenario.sample(np.random.default_rng((BENCHMARK_STREAM, SEED, m)))


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
        f"mean weighted quality {loaded.objective.mean():.4f}; {path.stat().st_size / 1e3:.0f} kB, "
        f"SHA-256 {loaded.content_hash()[:16]}"
    )


def make(name: str) -> BenchmarkSet:
    """Draw and solve the instances of a set."""
    scenario = RECIPES[name]
    instances = [draw(scenario, m) for m in range(N_INSTANCES)]
    plans = [exact(instance) for instance in instances]
    for plan, instance in zip(plans, instances, strict=True):
        check(plan, instance)
    return BenchmarkSet(
        name=name,
        scenario=scenario,
        seed=SEED,
        tasks=np.stack([instance.tasks for instance in instances]),
        levels=np.stack([plan.levels(instance) for plan, instance in zip(plans, instances, strict=True)]),
        objective=np.array([plan.objective for plan in plans]),
        upper_bound=np.array([plan.bound for plan in plans]),
        made_by={
            "solver": "exact",
            "versions": {package: importlib.metadata.version(package) for package in ("pl-env", "numpy", "numba")},
        },
    )


def problems(benchmark: BenchmarkSet, *, solve_again: bool = True) -> Iterator[str]:
    """Verify a set: every instance is drawn again, its plan checked and its optimum proven anew; what is wrong.

    Instances may differ by rounding where another machine's logarithm differs in its last bit.
    """
    scenario = RECIPES[benchmark.name]
    if benchmark.scenario != scenario or len(benchmark) != N_INSTANCES:
        yield f"{benchmark.name}: its scenario or number of instances is not the recipe's"
        return
    for m, instance in enumerate(benchmark.instances):
        where = f"{benchmark.name}, instance {m}"
        if not np.allclose(instance.tasks, draw(scenario, m).tasks, rtol=1e-12, atol=0):
            yield f"{where}: drawn again, it is another one"
            continue
        plan = benchmark.plan(m)
        try:
            check(plan, instance)
        except PlEnvError as error:
            yield f"{where}: the stored plan is not feasible: {error}"
            continue
        if abs(plan.objective - benchmark.objective[m]) > CERTIFIED:
            yield f"{where}: the stored plan attains {plan.objective}, not {benchmark.objective[m]}"
        if not solve_again:
            continue
        again = exact(instance)
        if abs(again.bound - benchmark.upper_bound[m]) > CERTIFIED or again.objective < plan.objective - CERTIFIED:
            yield f"{where}: {benchmark.objective[m]} of at most {benchmark.upper_bound[m]}; now {again}"
