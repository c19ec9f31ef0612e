"""PartialLoading, for the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import pl_env
from pl_env.partial_loading.env import PartialLoadingEnv
from tests import helpers

EXACT = ("optimal-dp", "exact", "exhaustive")


def tiny() -> tuple[pl_env.Instance, float]:
    """Users 0; 1, 1; 2, 2 of models that load in 100 + 20, 100 + 20 and 60 ms; every upload takes 0.1 ms.

    Models 0 and 1: 100 + 20 + 20 ms of loading, batches of 10 + 1 and 10 + 2 ms, 0.3 ms of uploads: 163.3 of 180 ms,
    three users. Model 2 serves two in 60 + 12.2 ms; beside it model 0 would take 120 + 11.1 ms more, to 203.3.
    So three of five.
    """
    return helpers.tiny_with_requests([0, 1, 1, 2, 2]), 0.6


def instances(rng: np.random.Generator) -> Iterator[pl_env.Instance]:
    """With nested, arbitrary and no sharing, with and without a resident model; nobody at all among them."""
    for blocks in (helpers.clustered_blocks, helpers.arbitrary_blocks, helpers.unshared_blocks):
        for resident in (False, True):
            yield helpers.random_instance(rng, blocks, resident=resident)


def brute_force(instance: pl_env.Instance) -> float:
    """The largest served ratio."""
    return helpers.brute_force_served(instance) / instance.n_users if instance.n_users else 0.0


def environment(instance: pl_env.Instance) -> PartialLoadingEnv:
    """An environment that replays the instance."""
    return helpers.env_for(instance)
