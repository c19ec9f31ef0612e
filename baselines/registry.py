"""Solvers by name: from an instance to its system's solvers, and a user's own beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from baselines.solver import Check, Solver, covers_everything
from pl_env.errors import InvalidValue, UnknownName, UnsupportedInstance
from pl_env.ranges import require
from pl_env.systems import FIRST, SYSTEMS, face, system_of


@cache
def _solvers_of(system: str) -> dict[str, Solver]:
    """A system's solvers by name, imported when asked for; `register` adds to this dict."""
    if system not in SYSTEMS:
        raise UnknownName("system", system, SYSTEMS)
    return {solver.name: solver for solver in import_module(f"baselines.{system}.solvers").SOLVERS}


class _Home(NamedTuple):
    """What `solve` needs to know of an instance's system."""

    system: str
    solvers: dict[str, Solver]
    check: Callable[[Any, Any], None]


_homes: dict[type, _Home] = {}
"""By the class of instances: finding it out takes a microsecond, a tenth of a small instance's solution."""


def _home_of(instance: Any) -> _Home:
    kind = type(instance)
    if kind not in _homes:
        system = system_of(instance)
        if system is None or not isinstance(instance, face(system).Instance):
            raise InvalidValue(f"instance is {instance!r}; it must be an Instance")
        _homes[kind] = _Home(system, _solvers_of(system), face(system).check)
    return _homes[kind]


def solvers(which: object = FIRST) -> dict[str, Solver]:
    """Solvers by name, with their guarantees and descriptions; a system's default comes first.

    Args:
        which: The name of a system: all of its solvers; or an instance: those that cover it.

    Raises:
        UnknownName: There is no such system.
        InvalidValue: It is neither.
    """
    if isinstance(which, str):
        return dict(_solvers_of(which))
    return {name: solver for name, solver in _home_of(which).solvers.items() if solver.why_not(which) is None}


def solve(instance: Any, solver: str | None = None, **options: Any) -> Any:
    """Solve an instance. The plan has passed its system's ``check``, such as `pl_env.check`.

    Args:
        instance: What to solve; what its episode begins with, such as a resident model, is honoured.
        solver: A name from `solvers()`; its system's default if None, for PartialLoading "optimal-dp".
        **options: The solver's own options. Those of PartialLoading all have ``equal_bandwidth_channels``: r > 0 cuts
            the band into r equal channels, one user each, instead of the optimal shares (the paper's ablation).

    Raises:
        UnknownName: There is no such solver or option.
        InvalidValue: An option is out of range, or a registered solver returns something else than a plan.
        UnsupportedInstance: The solver does not cover the instance.
        InfeasibleSchedule: A registered solver's plan breaks a constraint.
    """
    system, known, check = _home_of(instance)
    if solver is None:
        solver = next(iter(known))
    entry = known.get(solver)
    if entry is None:
        raise UnknownName("solver", solver, known)
    if options:
        entry.check_options(options)
    reason = entry.why_not(instance)
    if reason is not None:
        raise UnsupportedInstance(reason)
    plan = entry.function(instance, **options)
    if not _is_plan(plan.__class__, system):
        raise InvalidValue(f"solver {solver!r} returned a value of type {type(plan).__name__}; it must be a plan")
    check(plan, instance)
    return plan


@cache
def _is_plan(kind: Any, system: str) -> bool:
    """Whether a class is that of a system's plans."""
    room = f"{face(system).__name__}."
    return hasattr(kind, "SENSE") and any(base.__module__.startswith(room) for base in kind.__mro__)


def register(
    name: str,
    function: Callable[..., Any],
    *,
    guarantee: str = "none",
    description: str = "",
    options: Mapping[str, Check] | None = None,
    why_not: Callable[[Any], str | None] | None = None,
    system: str = FIRST,
) -> None:
    """Add a solver of your own; `solve`, `Planner`, evaluation and the command lines know it from now on, here.

    Args:
        name: Name to call it by, one that no solver of the system has.
        function: From an instance, and the options as keywords, to a plan, such as one of
            `pl_env.Schedule.from_runs`. `solve` checks it.
        guarantee: What it guarantees, in a few words.
        description: One line.
        options: Its options by name; each has a function of name and value that raises `InvalidValue` where the value
            is out of range.
        why_not: Says in a sentence why it does not cover an instance, or None where it does; unless given, it covers
            all.
        system: The system whose instances it solves.

    Raises:
        UnknownName: There is no such system.
        InvalidValue: The name is taken, or an argument is of another kind.
    """
    known = _solvers_of(system)
    require(isinstance(name, str) and name != "", "name", name, "a string that is not empty")
    require(name not in known, "name", name, f"one that no solver of {system} has")
    require(callable(function), "function", function, "a function from an instance to a plan")
    require(why_not is None or callable(why_not), "why_not", why_not, "a function from an instance to str or None")
    checks = dict(options or {})
    for option, check in checks.items():
        require(callable(check), f"options[{option!r}]", check, "a function of the option's name and value")
    known[name] = Solver(name, guarantee, description, function, checks, why_not or covers_everything)
