"""The benchmark sets of any system: made, and verified again from nothing; ``python -m experiments benchmark-sets``.

A system's room, ``experiments.<system>.benchmark_sets``, has ``RECIPES``, a `Recipe` by each set's name;
``collect(name, recipe, instances, plans)``, which makes the `BenchmarkSet`; and ``summary(benchmark)``, what its plans
attain, in words.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import baselines
from baselines.parallel import Workers, map_tasks
from pl_env.benchmark_sets import BENCHMARK_STREAM, ShippedSet
from pl_env.errors import PlEnvError, UnknownName
from pl_env.systems import face

SEED = 0

_BOUND_WORDS = {"max": "at most", "min": "at least"}


@dataclass(frozen=True)
class Recipe:
    """How a set is made.

    Attributes:
        scenario: What its instances are drawn from.
        n_instances: How many.
        solver: Solver that makes the plans.
        options: The solver's options, and the second one's.
        second_solver: Solver that makes plans when the set is verified, with bounds that need not be the same; the
            first one again, which must say the same, unless given.
        tolerance: How far two computations of an objective may differ by rounding.
    """

    scenario: Any
    n_instances: int
    solver: str
    options: dict[str, Any] = field(default_factory=dict)
    second_solver: str | None = None
    tolerance: float = 0.0

    def draw(self, n: int) -> Any:
        """Instance n."""
        return self.scenario.sample(np.random.default_rng((BENCHMARK_STREAM, SEED, n)))

    def is_instance(self, n: int, instance: Any) -> bool:
        """Whether this is instance n."""
        return bool(instance == self.draw(n))

    def solve(self, instance: Any) -> Any:
        """The plan that goes into the set."""
        return baselines.solve(instance, self.solver, **self.options)

    def solve_again(self, instance: Any) -> Any:
        """A plan to verify it with."""
        return baselines.solve(instance, self.second_solver or self.solver, **self.options)

    def agree(self, stored: Any, again: Any) -> bool:
        """Whether the objective and bound of a stored plan can be right, given those of a plan made again."""
        if self.second_solver is None:
            return self.same(stored.objective, again.objective) and self.same(stored.bound, again.bound)
        if again.status == "optimal":
            return self.same(stored.bound, again.objective)
        sign = 1 if stored.SENSE == "max" else -1
        return bool(sign * (again.objective - stored.bound) <= 0 and sign * (stored.objective - again.bound) <= 0)

    def same(self, first: float, second: float) -> bool:
        """Whether two objectives are the same but for rounding."""
        return math.isclose(first, second, rel_tol=1e-12, abs_tol=self.tolerance)

    def made_by(self, *packages: str) -> dict[str, Any]:
        """What a set says of how it was made, with the versions of these packages."""
        versions = {package: importlib.metadata.version(package) for package in ("pl-env", "numpy", *packages)}
        return {"solver": self.solver, "options": self.options, "versions": versions}


def certify(
    system: str,
    name: str,
    *,
    write: bool = False,
    solve_again: bool = True,
    folder: Path | None = None,
    workers: Workers = 1,
) -> str:
    """Verify a set, or make, write and verify it; returns a line about it.

    Args:
        system: The system.
        name: Name of the set.
        write: Make the set and write it to the folder before.
        solve_again: Make the plans and bounds anew; else only draw the instances and check the plans.
        folder: Folder of the sets; where those that ship with the package lie, unless given.
        workers: Who solves; see `baselines.parallel.Workers`.

    Raises:
        UnknownName: There is no such system or set.
        PlEnvError: The set is wrong; the message says all that is.
    """
    kind: type[ShippedSet] = face(system).BenchmarkSet
    room = import_module(f"experiments.{system}.benchmark_sets")
    if name not in room.RECIPES:
        raise UnknownName("benchmark set", name, room.RECIPES)
    path = (folder or kind.folder()) / f"{name}.npz"
    if write:
        make(system, name, workers).save(path)
    loaded = kind.load(path)
    found = list(problems(system, loaded, room.RECIPES[name], solve_again=solve_again, workers=workers))
    if found:
        raise PlEnvError("; ".join(found))
    return (
        f"{name}: {len(loaded)} instances, {int(loaded.is_optimal.sum())} with a proven optimum, "
        f"{room.summary(loaded)}; {path.stat().st_size / 1e3:.0f} kB, SHA-256 {loaded.content_hash()[:16]}"
    )


def make(system: str, name: str, workers: Workers = 1) -> ShippedSet:
    """Draw and solve the instances of a set."""
    room = import_module(f"experiments.{system}.benchmark_sets")
    recipe: Recipe = room.RECIPES[name]
    instances = [recipe.draw(n) for n in range(recipe.n_instances)]
    plans = list(map_tasks(recipe.solve, instances, workers=workers, progress=True, title=name, unit="instance"))
    made: ShippedSet = room.collect(name, recipe, instances, plans)
    return made


def problems(
    system: str, benchmark: Any, recipe: Recipe, *, solve_again: bool = True, workers: Workers = 1
) -> Iterator[str]:
    """Verify a set: every instance is drawn again, its plan checked and made anew; a sentence for each fault."""
    name = benchmark.name
    if benchmark.scenario.to_dict() != recipe.scenario.to_dict() or len(benchmark) != recipe.n_instances:
        yield f"{name}: its scenario or number of instances is not the recipe's"
        return
    instances, plans = benchmark.instances, {}
    for n, instance in enumerate(instances):
        try:
            _require_holds(system, benchmark, recipe, n, instance)
            plans[n] = benchmark.plan(n)
        except PlEnvError as error:
            yield f"{name}, instance {n}: {error}"
    if not solve_again:
        return
    good = [instances[n] for n in plans]
    answers = map_tasks(
        recipe.solve_again, good, workers=workers, progress=True, title=f"{name} again", unit="instance"
    )
    for (n, plan), again in zip(plans.items(), answers, strict=True):
        if not recipe.agree(plan, again):
            says = f"{plan.objective} of {_BOUND_WORDS[plan.SENSE]} {plan.bound}, says the set"
            yield f"{name}, instance {n}: {says}; now {again}"


def _require_holds(system: str, benchmark: Any, recipe: Recipe, n: int, instance: Any) -> None:
    """Require an instance that the recipe draws, and a plan that attains what the set says."""
    if not recipe.is_instance(n, instance):
        raise PlEnvError("drawn again, it is another one")
    plan = benchmark.plan(n)
    face(system).check(plan, instance)
    if not recipe.same(plan.objective, benchmark.objective[n]):
        raise PlEnvError(f"the stored plan attains {plan.objective}, not {benchmark.objective[n]}")


def padded(arrays: Sequence[NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Arrays of different sizes as one, with zeros beyond."""
    whole = np.zeros((len(arrays), *shape), dtype=np.int64)
    for row, array in zip(whole, arrays, strict=True):
        row[tuple(slice(size) for size in array.shape)] = array
    return whole
