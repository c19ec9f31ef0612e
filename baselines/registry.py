"""The solvers by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from baselines.partial_loading import bounds
from baselines.partial_loading.exact import exact
from baselines.partial_loading.exhaustive import exhaustive
from baselines.partial_loading.greedy import greedy, max_overlap, paper_greedy
from baselines.partial_loading.local_search import local_search
from baselines.partial_loading.optimal_dp import independent, optimal_dp, optimal_dp_at_once
from baselines.partial_loading.paper_dp import paper_dp
from baselines.partial_loading.runs import Plan, prepare, to_schedule
from pl_env.errors import UnknownName
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.validation import check
from pl_env.ranges import require, require_integer, require_real


@dataclass(frozen=True)
class Solver:
    """One solver of the registry.

    Attributes:
        name: Name to call it by.
        guarantee: What it guarantees, in a few words.
        description: One line.
        function: From a prepared problem, and the options, to a plan.
        options: Its own options by name; each checks a value and raises `InvalidValue`.
        at_once: From an instance to the same schedule, where that is quicker; for optimal bandwidth shares, no options.
    """

    name: str
    guarantee: str
    description: str
    function: Callable[..., Plan]
    options: Mapping[str, Callable[[str, Any], None]] = field(default_factory=dict)
    at_once: Callable[[Instance], Schedule] | None = None


def _is_boolean(name: str, value: Any) -> None:
    require(isinstance(value, bool), name, value, "True or False")


def _is_integer(low: int, high: int) -> Callable[[str, Any], None]:
    return lambda name, value: require_integer(name, value, low, high)


def _is_real(low: float, high: float) -> Callable[[str, Any], None]:
    return lambda name, value: require_real(name, value, low, high)


_SEED = {"seed": _is_integer(0, 2**31 - 1)}
_TIME_LIMIT = _is_real(0.01, 1e6)

_SOLVERS = {
    solver.name: solver
    for solver in (
        Solver(
            "optimal-dp",
            "optimal",
            "exact dynamic program in continuous time, bottom-layer sharing",
            optimal_dp,
            at_once=optimal_dp_at_once,
        ),
        Solver(
            "paper-dp",
            "optimal in slots, in Corollary 1's order",
            "the paper's Algorithms 1 and 2, corrected; as_printed=True keeps the printed recursion",
            paper_dp,
            {"as_printed": _is_boolean},
        ),
        Solver("greedy", "none", "the paper's Algorithm 3 in continuous time, any sharing", greedy),
        Solver("paper-greedy", "none", "the paper's Algorithm 3 in slots, any sharing", paper_greedy),
        Solver(
            "independent",
            "optimal without sharing",
            "every model loads in full (Remark 4); slotted=True rounds runs up to slots",
            independent,
            {"slotted": _is_boolean},
        ),
        Solver(
            "exact",
            "optimal within the time limit, else a bound; any sharing",
            "clusters by Held-Karp and CP-SAT; options: time_limit (s), workers, gap, seed",
            exact,
            {"time_limit": _TIME_LIMIT, "workers": _is_integer(1, 256), "gap": _is_real(0, 1)} | _SEED,
        ),
        Solver(
            "local-search",
            "none",
            "ruin and recreate from greedy's plan on, any sharing; options: iterations, time_limit (s), seed",
            local_search,
            {"iterations": _is_integer(0, 10**9), "time_limit": _TIME_LIMIT} | _SEED,
        ),
        Solver("exhaustive", "optimal, any sharing", "all orders and counts, for a few models", exhaustive),
        Solver("max-overlap", "none", "next the model that shares most with the resident one (Gemel)", max_overlap),
    )
}


def solvers() -> dict[str, Solver]:
    """All solvers by name, with their guarantees and descriptions."""
    return dict(_SOLVERS)


def solve(
    instance: Instance, solver: str = "optimal-dp", *, equal_bandwidth_channels: int = 0, **options: Any
) -> Schedule:
    """Solve an instance. The schedule has passed `pl_env.check`.

    Args:
        instance: What to solve; its ``resident`` model is honoured.
        solver: A name from `solvers()`.
        equal_bandwidth_channels: r > 0 cuts the band into r equal channels, one user each, instead of the optimal
            shares (the paper's ablation); 0 is optimal.
        **options: The solver's own options.

    Raises:
        UnknownName: There is no such solver or option.
        InvalidValue: An option is out of range.
        UnsupportedInstance: The solver does not cover the instance.
    """
    if solver not in _SOLVERS:
        raise UnknownName("solver", solver, _SOLVERS)
    entry = _SOLVERS[solver]
    require(isinstance(instance, Instance), "instance", instance, "an Instance")
    require_integer("equal_bandwidth_channels", equal_bandwidth_channels, 0, 1024)
    for name, value in options.items():
        if name not in entry.options:
            raise UnknownName(f"option of {solver}", name, ("equal_bandwidth_channels", *entry.options))
        entry.options[name](name, value)
    if entry.at_once is not None and not equal_bandwidth_channels and not options:
        schedule = entry.at_once(instance)
    else:
        start = time.perf_counter()
        problem = prepare(instance, equal_bandwidth_channels)
        plan = entry.function(problem, **options)
        schedule = to_schedule(problem, plan, solver, time.perf_counter() - start)
    check(schedule, instance)
    return schedule


def upper_bound(instance: Instance, *, equal_bandwidth_channels: int = 0) -> int:
    """A number of users that no schedule of the instance exceeds, for any sharing and size, without a solver.

    Args:
        instance: The instance.
        equal_bandwidth_channels: As in `solve`.
    """
    return bounds.upper_bound(prepare(instance, equal_bandwidth_channels))
