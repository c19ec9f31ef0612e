"""How `pl_env.online.benchmark`'s sets are made, and verified again: ``python -m experiments benchmark-sets``.

``online-tiny-100`` has instances of at most ten users, whose optima `exhaustive-online` proves. ``online-10`` has large
ones: its plans are the best known, by `clairvoyant`, and its bounds those of `baselines.online.relaxation`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import baselines
from baselines.online.relaxation import lagrangean_bound
from pl_env.errors import PlEnvError, UnknownName
from pl_env.online.benchmark import BENCHMARK_STREAM, FOLDER, BenchmarkSet
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.online.scenario import Scenario
from pl_env.online.validation import check

SEED = 0


class Recipe(NamedTuple):
    """How a set is made.

    Attributes:
        scenario: What its instances are drawn from.
        n_instances: How many.
        solver: What makes the plans.
        options: The solver's options.
        bound_iterations: Steps of `lagrangean_bound`; 0 where the plans are proven optimal.
    """

    scenario: Scenario
    n_instances: int
    solver: str
    options: dict[str, object]
    bound_iterations: int = 0


TINY = Scenario.preset("tiny", relative_deadline=(0.14, 0.2), episode_seconds=1 / 6, arrival_rate=24.0)
"""Busier than the preset, so that not everybody can be served."""

RECIPES = {
    "online-tiny-100": Recipe(TINY, 100, "exhaustive-online", {}),
    "online-10": Recipe(Scenario(episode_seconds=5.0), 10, "clairvoyant", {}, bound_iterations=400),
}


def draw(scenario: Scenario, n: int) -> Instance:
    """Instance n."""
    return scenario.sample(np.random.default_rng((BENCHMARK_STREAM, SEED, n)))


def certify(name: str, *, write: bool = False, solve_again: bool = True, folder: Path | None = None) -> str:
    """Verify a set, or make, write and verify it; returns a line about it.

    Args:
        name: Name of the set.
        write: Make the set and write it to the folder before.
        solve_again: Make the plans anew; else only draw the instances and check the plans.
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
        f"{int(loaded.served.sum())} of at most {int(loaded.upper_bound.sum())} users served; "
        f"{path.stat().st_size / 1e3:.0f} kB, SHA-256 {loaded.content_hash()[:16]}"
    )


def _solved(recipe: Recipe, instance: Instance) -> Plan:
    plan: Plan = baselines.solve(instance, recipe.solver, **recipe.options)
    return plan


def _bound(recipe: Recipe, instance: Instance, plan: Plan) -> int:
    """The best bound on users served: the plan's own, and where it proves nothing that of the relaxation."""
    own = round(plan.bound * plan.n_users)
    if recipe.bound_iterations == 0 or own == plan.served:
        return own
    return min(own, lagrangean_bound(instance, iterations=recipe.bound_iterations))


def make(name: str) -> BenchmarkSet:
    """Draw and solve the instances of a set."""
    recipe = RECIPES[name]
    instances = [draw(recipe.scenario, n) for n in range(recipe.n_instances)]
    plans = tuple(_solved(recipe, instance) for instance in instances)
    return BenchmarkSet(
        name=name,
        scenario=recipe.scenario,
        seed=SEED,
        users=np.concatenate([instance.users for instance in instances]),
        user_start=np.cumsum([0, *(instance.n_users for instance in instances)]),
        plans=plans,
        upper_bound=np.array([_bound(recipe, *pair) for pair in zip(instances, plans, strict=True)]),
        made_by={
            "solver": recipe.solver,
            "options": recipe.options,
            "bound_iterations": recipe.bound_iterations,
            "versions": {package: importlib.metadata.version(package) for package in ("pl-env", "numpy", "numba")},
        },
    )


def problems(benchmark: BenchmarkSet, *, solve_again: bool = True) -> Iterator[str]:
    """Verify a set: every instance is drawn again, its plan checked and made anew; what is wrong."""
    recipe = RECIPES[benchmark.name]
    if benchmark.scenario.to_dict() != recipe.scenario.to_dict() or len(benchmark) != recipe.n_instances:
        yield f"{benchmark.name}: its scenario or number of instances is not the recipe's"
        return
    for n, instance in enumerate(benchmark.instances):
        where = f"{benchmark.name}, instance {n}"
        if instance != draw(recipe.scenario, n):
            yield f"{where}: drawn again, it is another one"
            continue
        try:
            check(benchmark.plan(n), instance)
        except PlEnvError as error:
            yield f"{where}: the stored plan is not feasible: {error}"
            continue
        if not solve_again:
            continue
        again = _solved(recipe, instance)
        if _bound(recipe, instance, again) != benchmark.upper_bound[n] or again.served != benchmark.served[n]:
            yield f"{where}: {benchmark.served[n]} of at most {benchmark.upper_bound[n]} users served; now {again}"
