"""PartialLoadingOnline, for the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pl_env.online import Instance
from pl_env.online.env import PartialLoadingOnlineEnv
from tests import online_helpers as helpers

EXACT = ("exhaustive-online",)

FREE = ("exhaustive-online", "clairvoyant")
"""Solvers that choose users and blocks to evict freely: no actions give their plans."""


def tiny() -> tuple[Instance, float]:
    """Requests for models 0, 2 and 1 at 0, 10 and 20 ms; deadlines 130, 210 and 200 ms.

    Model 0 loads in 120 ms and would end at 120 + 11.1 ms at the earliest, which is too late. Model 1 then takes 120
    ms of loading and 11.1 for uploading and computing, model 2 60 and 11.1: one after the other, from 10 ms on, they
    end at 81.1 and 212.2, or, model 1 first, from 20 ms on, at 151.1 and 222.2. Both are too late for the second. So
    one of three.
    """
    instance = helpers.tiny([(0, 0), (10, 2), (20, 1)], 180, "demand")
    deadline_ns = np.array([130, 210, 200], dtype=np.int64) * helpers.MS
    return helpers.changed(instance, deadline_ns=deadline_ns), 1 / 3


def instances(rng: np.random.Generator) -> Iterator[Instance]:
    """At the start and in the middle of an episode, with every rule of eviction; nobody at all among them."""
    for eviction in ("previous", "lru", "demand"):
        yield helpers.random_instance(rng, eviction=eviction)
        yield helpers.random_instance(rng, eviction=eviction, mid=True, most_users=5)


def brute_force(instance: Instance) -> float:
    """The largest goodput."""
    return helpers.brute_force_served(instance) / instance.n_users if instance.n_users else 0.0


def environment(instance: Instance) -> PartialLoadingOnlineEnv:
    """An environment that replays the instance."""
    return helpers.env_for(instance)
