"""How the benchmark sets of `pl_env.benchmark` are made, and verified again from nothing."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import baselines
import pl_env
from pl_env.errors import PlEnvError, UnknownName
from pl_env.partial_loading.benchmark import BENCHMARK_STREAM, FOLDER, BenchmarkSet
from pl_env.partial_loading.scenario import Scenario

SEED = 0

_BACKBONES = ("resnet18", "resnet34", "resnet50")


@dataclass(frozen=True)
class Recipe:
    """How one set is made.

    Attributes:
        scenario: Scenario of its instances, each with a library of its own.
        n_instances: Number of instances N.
        solver: Solver that certifies the optima.
        second_solver: Solver that certifies them again when the set is verified.
        options: Options of ``exact``.
    """

    scenario: Scenario
    n_instances: int
    solver: str
    second_solver: str = "exact"
    options: dict[str, Any] = field(default_factory=dict)

    def instance(self, n: int) -> pl_env.Instance:
        """Draw instance n, without what a schedule does not depend on."""
        instance = self.scenario.sample(np.random.default_rng((BENCHMARK_STREAM, SEED, n)))
        return replace(instance, mean_snr=None, unit_upload_ns=0.0)

    def solve(self, instance: pl_env.Instance, solver: str) -> pl_env.Schedule:
        """Solve an instance with a solver and, if it is ``exact``, its options."""
        schedule: pl_env.Schedule = baselines.solve(instance, solver, **(self.options if solver == "exact" else {}))
        return schedule


def _scenario(preset: str, **overrides: Any) -> Scenario:
    return Scenario.preset(preset, resample_library=True, **overrides)


RECIPES = {
    "bls-100": Recipe(_scenario("bls"), 100, "optimal-dp"),
    "general-100": Recipe(_scenario("general"), 100, "exact"),
    "general-hard-100": Recipe(_scenario("general-hard"), 100, "exact"),
    "mixed-100": Recipe(_scenario("general", n_models=27, backbones=_BACKBONES, deadline=0.3), 100, "exact"),
    "large-10": Recipe(
        _scenario("general", n_models=200, n_users=2000, deadline=2.0), 10, "exact", options={"time_limit": 600.0}
    ),
}


def certify(name: str, *, write: bool = False, solve_again: bool = True, folder: Path | None = None) -> str:
    """Verify a set, or make, write and verify it; returns a line about it.

    Args:
        name: Name of the set.
        write: Make the set and write it to the folder before.
        solve_again: Certify the optima anew; else only draw the instances and replay the schedules.
        folder: Folder of the sets; where those that ship with the package lie, unless given.

    Raises:
        UnknownName: There is no such set.
        PlEnvError: The set is wrong; the message says all that is.
    """
    if name not in RECIPES:
        raise UnknownName("benchmark set", name, RECIPES)
    path = (folder or FOLDER) / f"{name}.npz"
    if write:
        make(name, progress=True).save(path)
    loaded = BenchmarkSet.load(path)
    found = list(problems(loaded, solve_again=solve_again, progress=True))
    if found:
        raise PlEnvError("; ".join(found))
    return (
        f"{name}: {len(loaded)} instances, {int(loaded.is_optimal.sum())} with a proven optimum, "
        f"{int(loaded.served.sum())} users served, {int(loaded.upper_bound.sum())} at most; "
        f"{path.stat().st_size / 1e3:.0f} kB, SHA-256 {loaded.content_hash()[:16]}"
    )


def make(name: str, *, progress: bool = False) -> BenchmarkSet:
    """Draw and solve the instances of a set."""
    recipe = RECIPES[name]
    instances, schedules = [], []
    for n in tqdm(range(recipe.n_instances), name, disable=not progress):
        instances.append(recipe.instance(n))
        schedules.append(recipe.solve(instances[-1], recipe.solver))
    runs = [_runs(schedule) for schedule in schedules]
    flat = [run for of_instance in runs for run in of_instance]
    return BenchmarkSet(
        name=name,
        scenario=recipe.scenario,
        seed=SEED,
        instances=tuple(instances),
        upper_bound=np.array([schedule.upper_bound for schedule in schedules]),
        run_start=np.cumsum([0, *map(len, runs)]),
        run_models=np.array([model for model, _ in flat]),
        run_counts=np.array([count for _, count in flat]),
        made_by={
            "solver": recipe.solver,
            "options": recipe.options if recipe.solver == "exact" else {},
            "versions": {package: importlib.metadata.version(package) for package in ("pl-env", "numpy", "ortools")},
        },
    )


def _runs(schedule: pl_env.Schedule) -> list[tuple[int, int]]:
    """Models and numbers of users of a schedule's runs: batches of one model that follow each other."""
    runs: list[tuple[int, int]] = []
    for batch in schedule.batches:
        served = len(batch.users)
        if runs and runs[-1][0] == batch.model:
            served += runs.pop()[1]
        runs.append((batch.model, served))
    return runs


def problems(benchmark: BenchmarkSet, *, solve_again: bool = True, progress: bool = False) -> Iterator[str]:
    """Verify a set: what is wrong with it, a sentence for each.

    Every instance is drawn again and compared, the stored schedule is replayed and checked, and the optimum is
    certified anew, with a second solver where there is one.
    """
    recipe = RECIPES[benchmark.name]
    if len(benchmark) != recipe.n_instances or benchmark.scenario != recipe.scenario:
        yield f"{benchmark.name}: its scenario or number of instances is not the recipe's"
        return
    for n in tqdm(range(len(benchmark)), f"{benchmark.name} again", disable=not progress):
        instance, where = benchmark.instances[n], f"{benchmark.name}, instance {n}"
        if instance != recipe.instance(n):
            yield f"{where}: drawn again, it is another one"
            continue
        models, counts = benchmark.runs(n)
        bound = int(benchmark.upper_bound[n])
        try:
            schedule = pl_env.Schedule.from_runs(instance, models, counts, solver="stored", upper_bound=bound)
            pl_env.check(schedule, instance)
        except PlEnvError as error:
            yield f"{where}: the stored schedule is not feasible: {error}"
            continue
        if not solve_again:
            continue
        again = recipe.solve(instance, recipe.second_solver)
        if again.served > bound or again.upper_bound < schedule.served:
            yield (
                f"{where}: {schedule.served} users served and at most {bound} possible, says the set; "
                f"{again.served} and {again.upper_bound}, says {recipe.second_solver}"
            )
        elif again.status == "optimal" and bound != again.served:
            yield f"{where}: the bound {bound} is not the optimum, {again.served}"
