"""The solvers of streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from baselines.cold_start_stream.candidates import lookahead
from baselines.cold_start_stream.search import exhaustive, rollout_search, why_not_exhaustive
from baselines.cold_start_stream.serving import cold_plans, fixed_shares, myopic, why_not_fixed
from baselines.solver import Solver, integer
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan


def _named(name: str, function: Callable[..., Plan], instance: Instance, **options: Any) -> Plan:
    """A function's plan, with the solver's name and its seconds."""
    start = time.perf_counter()
    plan = function(instance, **options)
    return replace(plan, solver=name, elapsed=time.perf_counter() - start)


def _solver(name: str, guarantee: str, description: str, function: Callable[..., Plan], **about: Any) -> Solver:
    return Solver(name, guarantee, description, partial(_named, name, function), **about)


def _why_not_placeable(instance: Instance) -> str | None:
    return instance.why_not_placeable


SOLVERS: tuple[Solver, ...] = (
    _solver(
        "myopic",
        "each prompt optimal on its own",
        "every prompt by the plan that is done first given what is warm; evicts what was used longest ago",
        myopic,
        why_not=_why_not_placeable,
    ),
    _solver(
        "lookahead",
        "none",
        "for every prompt the best of twelve plans for it, those who wait and a prompt to come; sees who has arrived",
        lookahead,
        why_not=_why_not_placeable,
    ),
    _solver(
        "rollout-search",
        "none; all arrivals known",
        "for every prompt the best of random plans, each tried with myopic ones behind it; with the bound; options: "
        "candidates, horizon, seed",
        rollout_search,
        options={"candidates": integer(1, 10_000), "horizon": integer(0, 1000), "seed": integer(0, 2**31 - 1)},
        why_not=_why_not_placeable,
    ),
    _solver(
        "exhaustive",
        "optimal, all arrivals known",
        "all plans one by one, a few prompts, devices and layers",
        exhaustive,
        why_not=why_not_exhaustive,
    ),
    _solver(
        "cold-plans",
        "none",
        "every prompt by the plan that would be done first if nothing were warm",
        cold_plans,
        why_not=_why_not_placeable,
    ),
    _solver(
        "fixed-shares",
        "none",
        "one plan a model: layers in proportion to 1 / (load + computation), slow ones first",
        fixed_shares,
        why_not=why_not_fixed,
    ),
)
