"""SLIDE's solvers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from baselines.slide import constant_shares, online, varying_shares
from baselines.slide.exact import exact
from baselines.solver import Solver, integer, real
from pl_env.ranges import require_one_of
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan
from pl_env.slide.scenario import Scenario


def _named(name: str, function: Callable[..., Plan], instance: Instance, **options: Any) -> Plan:
    """A function's plan, with the solver's name and its seconds."""
    start = time.perf_counter()
    plan = function(instance, **options)
    return replace(plan, solver=name, elapsed=time.perf_counter() - start)


def _solver(name: str, guarantee: str, description: str, function: Callable[..., Plan], **about: Any) -> Solver:
    return Solver(name, guarantee, description, partial(_named, name, function), **about)


def _is_preset(name: str, value: Any) -> None:
    require_one_of(name, value, Scenario.presets())


_SECONDS, _FACTOR, _SEED = real(0, 1e6), real(0, 1e6), integer(0, 2**31 - 1)


def _if_nothing_is_promised(instance: Instance) -> str | None:
    if len(instance.committed_due_ns):
        return "constant shares leave no room for what was promised before; it covers whole episodes only"
    return None


def _if_all_are_present(instance: Instance) -> str | None:
    if not instance.all_present or len(instance.committed_due_ns):
        return "users arrive over time; it covers instances where all are present and nothing is promised"
    return None


def _if_scenario_is_known(instance: Instance) -> str | None:
    if online.scenario_of(instance) is None:
        return f"no preset has its models, {', '.join(instance.library.names)}, so users to come cannot be drawn"
    return None


SOLVERS: tuple[Solver, ...] = (
    _solver(
        "edf-greedy",
        "none",
        "shares over time: users by their least download, kept if the earliest due first serves all",
        varying_shares.edf_greedy,
    ),
    _solver(
        "static",
        "optimal with constant shares",
        "the paper's problem: users by their least share, in closed form",
        constant_shares.static,
        why_not=_if_nothing_is_promised,
    ),
    _solver(
        "dai",
        "optimal with constant shares, download-then-infer",
        "the paper's benchmark: devices compute after the whole download",
        constant_shares.dai,
        why_not=_if_nothing_is_promised,
    ),
    _solver(
        "equal",
        "none",
        "the band in equal parts, as many as serve that many users",
        constant_shares.equal,
        why_not=_if_nothing_is_promised,
    ),
    _solver(
        "max-frequency",
        "none",
        "static at the highest frequency, without those whose energy that exceeds",
        constant_shares.max_frequency,
        why_not=_if_nothing_is_promised,
    ),
    _solver(
        "random-model",
        "none",
        "static with one of the accepted models for each user; option: seed",
        constant_shares.random_model,
        options={"seed": _SEED},
        why_not=_if_nothing_is_promised,
    ),
    _solver(
        "largest-model",
        "none",
        "static with the accepted model of most bytes for each user",
        constant_shares.largest_model,
        why_not=_if_nothing_is_promised,
    ),
    _solver(
        "smallest-model",
        "none",
        "static with the accepted model of fewest bytes for each user",
        constant_shares.smallest_model,
        why_not=_if_nothing_is_promised,
    ),
    _solver(
        "moore-hodgson",
        "optimal for download-then-infer, shares over time, least downloads",
        "Moore and Hodgson's rule for the number of late jobs; all users present",
        varying_shares.moore_hodgson,
        why_not=_if_all_are_present,
    ),
    _solver(
        "exact",
        "optimal within the time limit, else a bound",
        "shares over time, all arrivals known: MILP with rows added as needed (HiGHS); option: time_limit (s)",
        exact,
        options={"time_limit": real(0.01, 1e6)},
    ),
    _solver("accept-all", "none", "online: the legal model of least download", online.accept_all),
    _solver(
        "threshold",
        "none",
        "online: likewise, if that takes no longer on the whole band than the option: seconds",
        online.threshold,
        options={"seconds": _SECONDS},
    ),
    _solver(
        "backlog",
        "none",
        "online: likewise, longer while little is promised and towards the end; options: p0 p2 p3 (s), p1",
        online.backlog,
        options={"p0": _SECONDS, "p1": _FACTOR, "p2": _SECONDS, "p3": _SECONDS},
    ),
    _solver(
        "rollout",
        "none",
        "online: what serves most users in drawn futures under backlog; options: scenario (preset), futures, seed",
        online.rollout,
        options={"scenario": _is_preset, "futures": integer(1, 100_000), "seed": _SEED},
        why_not=_if_scenario_is_known,
    ),
)
