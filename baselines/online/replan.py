"""`replan`: of the best batches the one after which `urgent-greedy` serves most of those who are there."""

from __future__ import annotations

from typing import Any

import numpy as np

from baselines.online.policies import plan_by, tuned
from baselines.online.rules import URGENT_GREEDY, choose, run, urgency
from pl_env.compiling import compiled
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    ARRIVED,
    CHOICES,
    DEMAND,
    EVICTION,
    LAST,
    LEGAL,
    MISSING_NS,
    NOW,
    OVERHEAD,
    OVERLAPS,
    PER_BATCH,
    PER_SAMPLE,
    SERVED,
    Episode,
    Floats,
    Ints,
    Tables,
    allocate,
)
from pl_env.online.dynamics import batch_ns, copy_episode, load_ns, uploads_of
from pl_env.online.env import PartialLoadingOnlineEnv
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan

CANDIDATES = 8
REPLAN_LRU = (0.81, 0.7, 0.98)
"""A, C, P under "lru" and "previous"."""


class Replan:
    """Simulates `urgent-greedy`, without new arrivals, to the end after each of its best batches."""

    def __init__(self, parameters: tuple[float, float, float] | None = None, candidates: int = CANDIDATES) -> None:
        """Make a policy.

        Args:
            parameters: A, C, P of the `urgent-greedy` that is simulated; tuned for the rule of eviction unless given.
            candidates: How many batches are compared: each model's best and its largest are ranked.
        """
        self._parameters, self._candidates = parameters, candidates
        self._scratch: Episode | None = None

    def choice(self, tables: Tables, e: Episode) -> int:
        """The best batch."""
        scratch = self._scratch
        n_users = e.pending.shape[1]
        if scratch is None or scratch.pending.shape[1] != n_users or scratch.resident.shape != e.resident.shape:
            scratch = allocate(tables, int(e.cap[0]), n_users, has_users=False, keeps_finish=False)
        self._scratch = scratch = scratch._replace(users=e.users, before=e.before, cap=e.cap)
        return best_batch(tables, e, scratch, self.parameters(tables), self._candidates)

    def parameters(self, tables: Tables) -> Floats:
        """A, C, P."""
        if self._parameters is not None:
            return np.array(self._parameters, dtype=np.float64)
        return tuned(tables) if tables.options[EVICTION] >= DEMAND else np.array(REPLAN_LRU)

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingOnlineEnv) -> int:
        """The best batch; the observation is not needed."""
        return self.choice(env.tables, env.episode)


def replan(
    instance: Instance,
    *,
    a: float | None = None,
    c: float | None = None,
    p: float | None = None,
    candidates: int = CANDIDATES,
) -> Plan:
    """Play `Replan` on an instance.

    Args:
        instance: The instance.
        a: A of the simulated `urgent-greedy`; those tuned for the instance's eviction unless all three are given.
        c: C.
        p: P.
        candidates: Batches to compare.
    """
    parameters = None if a is None or c is None or p is None else (a, c, p)
    return plan_by(instance, Replan(parameters, candidates), "replan")


@compiled
def best_batch(t: Tables, e: Episode, scratch: Episode, parameters: Floats, n_candidates: int) -> int:
    """Of the best candidates, the one that serves most of those who are there; ties: the end that comes first.

    Args:
        t: The library.
        e: The episode, in row 0.
        scratch: Another one with the same users, in row 0.
        parameters: A, C, P.
        n_candidates: How many are tried.
    """
    t, e, scratch = borrowed(t), borrowed(e), borrowed(scratch)
    actions, values = candidate_batches(t, e, 0, parameters)
    order = np.argsort(-values, kind="mergesort")
    best, best_served, best_end = -1, -1, 0
    for place in order[:n_candidates]:
        copy_episode(e, 0, scratch, 0)
        scratch.state[0, LAST] = scratch.state[0, ARRIVED]
        run(t, scratch, 0, actions[place])
        while scratch.state[0, CHOICES] > 0:
            run(t, scratch, 0, choose(t, scratch, 0, URGENT_GREEDY, parameters))
        served, end = scratch.state[0, SERVED], scratch.state[0, NOW]
        if served > best_served or (served == best_served and end < best_end):
            best, best_served, best_end = actions[place], served, end
    return int(best)


@compiled
def candidate_batches(t: Tables, e: Episode, n: int, parameters: Floats) -> tuple[Ints, Floats]:
    """Each model's best batch by `urgent-greedy`, and its largest where that is another; and what they are worth."""
    t, e = borrowed(t), borrowed(e)
    n_models, batch_cap = t.models.shape[1], e.cap[0]
    actions, values = np.empty(2 * n_models, dtype=np.int64), np.empty(2 * n_models)
    count = 0
    for i in range(n_models):
        largest, load = e.models[n, LEGAL, i], load_ns(e.models[n, MISSING_NS, i], t.options[OVERHEAD])
        best, value = 0, -np.inf
        for size in range(1, largest + 1):
            compute = t.models[PER_SAMPLE, i] * size + t.models[PER_BATCH, i]
            time = batch_ns(uploads_of(e, n, i, size), load, compute, t.options[OVERLAPS])
            worth = urgency(e, n, parameters, i, size, time, load)
            if worth > value:
                best, value = size, worth
            if size == largest:
                actions[count], values[count] = i * batch_cap + best - 1, value
                count += 1
                if best < largest:
                    actions[count], values[count] = i * batch_cap + largest - 1, worth
                    count += 1
    return actions[:count], values[:count]
