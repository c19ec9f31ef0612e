"""The solvers by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from baselines.exhaustive import exhaustive
from baselines.greedy import greedy, max_overlap, paper_greedy
from baselines.optimal_dp import independent, optimal_dp
from baselines.paper_dp import paper_dp
from baselines.runs import Plan, prepare, to_schedule
from pl_env.errors import UnknownName
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.validation import check
from pl_env.ranges import require, require_integer


@dataclass(frozen=True)
class Solver:
    """One solver of the registry.

    Attributes:
        name: Name to call it by.
        guarantee: What it guarantees, in a few words.
        description: One line.
        function: From a prepared problem, and the options, to a plan.
        options: Names of its own options (all of them True or False).
    """

    name: str
    guarantee: str
    description: str
    function: Callable[..., Plan]
    options: tuple[str, ...] = ()


_SOLVERS = {
    solver.name: solver
    for solver in (
        Solver("optimal-dp", "optimal", "exact dynamic program in continuous time, bottom-layer sharing", optimal_dp),
        Solver(
            "paper-dp",
            "optimal in slots, in Corollary 1's order",
            "the paper's Algorithms 1 and 2, corrected; as_printed=True keeps the printed recursion",
            paper_dp,
            ("as_printed",),
        ),
        Solver("greedy", "none", "the paper's Algorithm 3 in continuous time, any sharing", greedy),
        Solver("paper-greedy", "none", "the paper's Algorithm 3 in slots, any sharing", paper_greedy),
        Solver(
            "independent",
            "optimal without sharing",
            "every model loads in full (Remark 4); slotted=True rounds runs up to slots",
            independent,
            ("slotted",),
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
        require(isinstance(value, bool), name, value, "True or False")
    start = time.perf_counter()
    problem = prepare(instance, equal_bandwidth_channels)
    plan = entry.function(problem, **options)
    schedule = to_schedule(problem, plan, solver, time.perf_counter() - start)
    check(schedule, instance)
    return schedule
