"""The cold start's solvers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from baselines.cold_start.greedy import exhaustive, greedy, why_not_exhaustive, why_not_stages
from baselines.cold_start.optimal_dp import optimal_dp, why_not_sets
from baselines.cold_start.orders import order_dp, order_search, why_not_order, why_not_search
from baselines.cold_start.shares import even, harmonic, shares, why_not_shares
from baselines.solver import Solver, boolean, integer
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan


def _named(name: str, function: Callable[..., Plan], instance: Instance, **options: Any) -> Plan:
    """A function's plan, with the solver's name and its seconds."""
    start = time.perf_counter()
    plan = function(instance, **options)
    return replace(plan, solver=name, elapsed=time.perf_counter() - start)


def _solver(name: str, guarantee: str, description: str, function: Callable[..., Plan], **about: Any) -> Solver:
    return Solver(name, guarantee, description, partial(_named, name, function), **about)


SOLVERS: tuple[Solver, ...] = (
    _solver(
        "optimal-dp",
        "optimal",
        "dynamic program over sets of at most 16 devices; option: as_printed (the paper's, with its errors)",
        optimal_dp,
        options={"as_printed": boolean()},
        why_not=why_not_sets,
    ),
    _solver("exhaustive", "optimal", "all plans one by one, a few devices and layers", exhaustive,
            why_not=why_not_exhaustive),
    _solver(
        "order-search",
        "none",
        "insertion moves on the order, which order-dp values; any number of devices; options: starts, orders, seed",
        order_search,
        options={"starts": integer(1, 100_000), "orders": integer(1, 10**9), "seed": integer(0, 2**31 - 1)},
        why_not=why_not_search,
    ),
    _solver(
        "order-dp",
        "optimal in its order",
        "dynamic program for devices in the order of slow computation first",
        order_dp,
        why_not=why_not_order,
    ),
    _solver("shares", "none", "layers in proportion to 1 / (load + computation), slow computation first", shares,
            why_not=why_not_shares),
    _solver("greedy", "none", "next the device and number of layers that add least time a layer", greedy,
            why_not=why_not_stages),
    _solver("harmonic", "none", "the paper's: in proportion to the harmonic mean of speeds, strong first", harmonic,
            why_not=why_not_shares),
    _solver("even", "none", "the paper's: the same number of layers for everybody, strong first", even,
            why_not=why_not_shares),
)  # fmt: skip
