"""Co-inference's solvers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from baselines.co_inference import offline, prices, static
from baselines.co_inference.online_dp import online_dp
from baselines.co_inference.sca import sca
from baselines.co_inference.static import generator_of
from baselines.solver import Solver, integer, real
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.plan import Plan


def _named(name: str, function: Callable[..., Plan], instance: Instance, **options: Any) -> Plan:
    """A function's plan, with the solver's name and its seconds."""
    start = time.perf_counter()
    plan = function(instance, **options)
    return replace(plan, solver=name, elapsed=time.perf_counter() - start)


def _solver(name: str, guarantee: str, description: str, function: Callable[..., Plan], **about: Any) -> Solver:
    return Solver(name, guarantee, description, partial(_named, name, function), **about)


def _rule(name: str, description: str, rule: prices.Rule) -> Solver:
    return _solver(name, "none", description, partial(prices.play, rule))


def _battery_price(instance: Instance, **options: float) -> Plan:
    return prices.play(prices.battery_price(**options), instance)


def _random(instance: Instance, *, seed: int = 0) -> Plan:
    return prices.play(prices.at_random(generator_of(instance, seed)), instance)


def _if_levels(instance: Instance) -> str | None:
    if instance.continuous:
        return "any kept fraction is allowed; it chooses among levels"
    return None


def _if_one_task(instance: Instance) -> str | None:
    if instance.n_tasks != 1 or not instance.continuous:
        kind = "any kept fraction is" if instance.continuous else "only levels are"
        return f"there are {instance.n_tasks} tasks and {kind} allowed; it covers one task with any kept fraction"
    return None


def _static(name: str, guarantee: str, description: str, function: Callable[..., Plan], **about: Any) -> Solver:
    return _solver(name, guarantee, description, function, why_not=_if_one_task, **about)


_GRID, _SEED = integer(10, 1_000_000), integer(0, 2**31 - 1)

SOLVERS: tuple[Solver, ...] = (
    _solver(
        "exact",
        "optimal, or a bound where too many labels stay in the running",
        "all tasks known, levels: labels that the bounds of a dynamic program leave a chance; options: grid, labels",
        offline.exact,
        options={"grid": _GRID, "labels": integer(0, 10**8)},
        why_not=_if_levels,
    ),
    _solver(
        "offline",
        "a bound",
        "all tasks known: a dynamic program on a grid of the battery; option: grid",
        offline.offline,
        options={"grid": _GRID},
    ),
    _rule(
        "online-dp", "online: optimal up to a grid, a dynamic program over tasks left, chains and battery", online_dp
    ),
    _solver(
        "battery-price",
        "none",
        "online: the level best at a price that falls with the battery; options: price, decay",
        _battery_price,
        options={"price": real(0, 1e6), "decay": real(0, 1e3)},
    ),
    _rule(
        "fluid-price", "online: the price at which expected demand, given the chains, meets supply", prices.fluid_price
    ),
    _rule("mpc-mean", "online: likewise, every later task at the mean", prices.mpc_mean),
    _rule("const-price", "online: one price for all tasks", prices.const_price),
    _rule("greedy-min", "online: the lowest level, whenever there is energy for it", prices.greedy_min),
    _rule("greedy-full", "online: the highest level there is energy for", prices.greedy_full),
    _rule("equal", "online: the highest level within an equal share of battery and mean harvest", prices.equal),
    _solver(
        "random-level", "none", "online: a legal level or skipping; option: seed", _random, options={"seed": _SEED}
    ),
    _static("optimal", "optimal", "one task: the global optimum over splits, convex at each", static.optimal),
    _static(
        "sca",
        "a stationary point at each split",
        "one task: successive convex approximation, as the authors do; options: iterations, seed of the start",
        sca,
        options={"iterations": integer(1, 10_000), "seed": _SEED},
    ),
    _static("on-server", "optimal at its split", "one task: everything on the server", static.on_server),
    _static("on-device", "optimal at its split", "one task: everything on the device", static.on_device),
    _static(
        "fixed-split",
        "optimal at its split",
        "one task: split after a given block; option: split",
        static.fixed_split,
        options={"split": integer(0, 10**6)},
    ),
    _static("max-frequency", "none", "one task: highest frequencies, the best of six powers", static.max_frequency),
    _static("max-power", "none", "one task: highest power, frequencies as is best", static.max_power),
    _static("equal-time", "none", "one task: a third of the deadline for each stage", static.equal_time),
    _static(
        "random-draws",
        "none",
        "one task: the mean fraction of the feasible of 400 random choices at a random split; option: seed",
        static.random_draws,
        options={"seed": _SEED},
    ),
    _static("no-pruning", "optimal without pruning", "one task: the whole model or nothing", static.no_pruning),
)
