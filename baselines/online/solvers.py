"""PartialLoadingOnline's solvers. Policies see who has come and nobody else; they are solvers that play an instance."""

from __future__ import annotations

from functools import partial

from baselines.online.clairvoyant import clairvoyant
from baselines.online.exhaustive import exhaustive_online, exhaustive_why_not
from baselines.online.offline import optimal_dp, optimal_dp_why_not
from baselines.online.policies import plan_at_random, plan_by_rule
from baselines.online.replan import replan
from baselines.solver import Solver, boolean, integer, real
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan

_A, _C, _P = real(0, 1e3), real(0, 1e3), real(0, 1e3)


def _urgent_greedy(
    instance: Instance, *, a: float | None = None, c: float | None = None, p: float | None = None
) -> Plan:
    """`urgent-greedy` with A, C and P where all are given, else with those tuned for the rule of eviction."""
    parameters = None if a is None or c is None or p is None else (a, c, p)
    return plan_by_rule(instance, name="urgent-greedy", parameters=parameters)


def _rule(name: str, description: str) -> Solver:
    return Solver(name, "none", description, partial(plan_by_rule, name=name))


SOLVERS: tuple[Solver, ...] = (
    Solver(
        "urgent-greedy",
        "none",
        "most users per time, the load shared with those who stay, the urgent first; options: a, c, p (all three)",
        _urgent_greedy,
        {"a": _A, "c": _C, "p": _P},
    ),
    Solver(
        "replan",
        "none",
        "of its best batches the one after which urgent-greedy serves most; options: a, c, p, candidates",
        replan,
        {"a": _A, "c": _C, "p": _P, "candidates": integer(1, 1000)},
    ),
    _rule("edf", "model of the most urgent user who is in time alone; its largest legal batch"),
    _rule("fifo", "model of the user who came first of those in time alone; its largest legal batch"),
    _rule("greedy", "most users per time"),
    _rule("clockwork", "of resident models the one that must start first, else the longest queue; largest legal batch"),
    _rule("largest-queue", "model with most pending users; its largest legal batch"),
    _rule("max-overlap", "model that loads least; its largest legal batch"),
    Solver(
        "random-model",
        "none",
        "a model with a legal batch at random; its largest legal batch; option: seed",
        plan_at_random,
        {"seed": integer(0, 2**31 - 1)},
    ),
    Solver(
        "optimal-dp",
        "none online",
        "the offline optimum of those who are there until their median deadline, planned again before every batch",
        optimal_dp,
        why_not=optimal_dp_why_not,
    ),
    Solver(
        "clairvoyant",
        "none; all arrivals known",
        "beam search over batches, evictions, waits, all arrivals known; options: states, batches, free_evictions",
        clairvoyant,
        {"states": integer(1, 64), "batches": integer(1, 64), "free_evictions": boolean()},
    ),
    Solver(
        "exhaustive-online",
        "optimal, all arrivals known",
        "all sets of users and all evictions, for at most 10 users",
        exhaustive_online,
        why_not=exhaustive_why_not,
    ),
)
