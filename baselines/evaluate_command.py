"""``python -m baselines evaluate``: solvers and a user's own policies on the same episodes."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from baselines import evaluation
from baselines.optima import default_cache
from pl_env.errors import InvalidValue, MissingPackage
from pl_env.ranges import require


def evaluate(
    set: str | None = None,
    scenario: str | None = None,
    solver: tuple[str, ...] = (),
    policy: tuple[str, ...] = (),
    episodes: int | None = None,
    seed: int = 0,
    optimum: str | None = None,
    workers: int = 1,
    out: Path | None = None,
) -> None:
    """Let solvers and policies play the same episodes, and compare them.

    Args:
        set: Benchmark set to play, such as general-hard-100; gaps refer to its certified optima.
        scenario: Preset to draw episodes from, such as bls.
        solver: Solvers by name, or "random".
        policy: Policies of your own as module:attribute; an object with act(observation, info, env), a function of
            (observation, info), a stable-baselines3 model, or a class or function that makes one without arguments.
        episodes: Number of episodes; unless given 1,000 of a scenario, all of a set.
        seed: Seed of the episodes.
        optimum: Solver of the optima that gaps refer to, on a scenario; what it proves is kept for the next time.
        workers: Processes; 0 for one per core.
        out: Write the result to this JSON file, every episode included, before it is printed.
    """
    given = [name for name in (set, scenario) if name is not None]
    require(len(given) == 1, "--set and --scenario", given, "one of the two")
    players: dict[str, object] = {name: name for name in solver} | {name: load_policy(name) for name in policy}
    require(len(players) > 0, "--solver and --policy", [], "at least one of the two")
    result = evaluation.evaluate(
        players,
        given[0],
        episodes=episodes,
        seed=seed,
        optimum=optimum,
        cache=default_cache() if optimum else None,
        progress=True,
        workers=workers,
    )
    if out is not None:
        result.save(out)
    print(result)
    if out is not None:
        print(f"written: {out}")


def load_policy(name: str) -> object:
    """The policy that a module's attribute is, or makes.

    Args:
        name: Such as "my_module:policy".

    Raises:
        InvalidValue: There is no such module or attribute, or it needs arguments to be made.
        MissingPackage: The module needs a package that is not installed.
    """
    module_name, colon, path = name.partition(":")
    require(bool(module_name and colon and path), "--policy", name, "module:attribute")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise MissingPackage(f"--policy is {name!r}; its module needs {error.name}, which is missing") from None
        raise InvalidValue(f"--policy is {name!r}; there is no module {error.name!r} here") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise InvalidValue(f"--policy is {name!r}; {module_name} has no {path!r}")
        found = getattr(found, part)
    if isinstance(found, type) or (inspect.isroutine(found) and _needs_nothing(found)):
        require(_needs_nothing(found), "--policy", name, "something that can be made without arguments")
        return found()
    return found


def _needs_nothing(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True
