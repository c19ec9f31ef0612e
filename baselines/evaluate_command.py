"""``python -m baselines evaluate``: solvers and a user's own policies on the same episodes."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from baselines import evaluation
from baselines.optima import default_cache
from baselines.parallel import workers_of
from pl_env.errors import InvalidValue, MissingPackage
from pl_env.ranges import require


@dataclass(frozen=True)
class Arguments:
    """Let solvers and policies play the same episodes, and compare them.

    Attributes:
        set: Benchmark set to play, such as general-hard-100; gaps refer to its certified optima.
        scenario: Preset to draw episodes from, such as bls.
        solver: Solvers by name, or "random".
        policy: Policies of your own as module:attribute; an object with act(observation, info, env), a function of
            (observation, info), a stable-baselines3 model, or a class or function that makes one without arguments.
        episodes: Number of episodes; unless given 1,000 of a scenario, all of a set.
        seed: Seed of the episodes.
        optimum: Solver of the optima that gaps refer to, on a scenario; what it proves is kept for the next time.
        engine: Who plays: process; ray, a Ray cluster of this machine's cores; ray:ADDRESS, one that runs.
        workers: Processes; 0 for one per core.
        out: Write the result to this JSON file, every episode included, before it is printed; its folder is made where
            there is none.
    """

    PLAYERS: ClassVar[tuple[str, ...]] = ("--solver", "--policy")

    set: str | None = None
    scenario: str | None = None
    solver: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    episodes: int | None = None
    seed: int = 0
    optimum: str | None = None
    engine: str = "process"
    workers: int = 1
    out: Path | None = None

    def players(self) -> dict[str, object]:
        """Who plays, by the names to report."""
        return {name: name for name in self.solver} | {name: load_policy(name) for name in self.policy}


def run(arguments: Arguments) -> None:
    """Let everybody play, write the result, print it.

    Raises:
        InvalidValue: Nobody plays, or nothing is played, or an argument is out of range.
    """
    given = [name for name in (arguments.set, arguments.scenario) if name is not None]
    require(len(given) == 1, "--set and --scenario", given, "one of the two")
    players = arguments.players()
    number = {2: "two", 3: "three"}[len(arguments.PLAYERS)]
    require(len(players) > 0, " and ".join(arguments.PLAYERS), [], f"at least one of the {number}")
    result = evaluation.evaluate(
        players,
        given[0],
        episodes=arguments.episodes,
        seed=arguments.seed,
        optimum=arguments.optimum,
        cache=default_cache() if arguments.optimum else None,
        progress=True,
        workers=workers_of(arguments.engine, arguments.workers),
    )
    if arguments.out is not None:
        result.save(arguments.out)
    print(result)
    if arguments.out is not None:
        print(f"written: {arguments.out}")


def evaluate(arguments: Annotated[Arguments, tyro.conf.arg(name="")]) -> None:
    """Let solvers and policies play the same episodes, and compare them."""
    run(arguments)


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
