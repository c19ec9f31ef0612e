"""Cold start, for the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pl_env.cold_start import Instance, Scenario
from pl_env.cold_start.env import ColdStartEnv
from tests import cold_start_helpers as helpers

EXACT = ("optimal-dp", "exhaustive")


def tiny() -> tuple[Instance, float]:
    """Device 1 loads a layer in 3 ms and computes it in 1, device 2 in 1 and 4; a transfer takes 2, two layers fit.

    So each gets two of the four. Device 1 first: loaded after 6, done after 8, there after 10, done after 18. Device 2
    first: loaded after 2, done after 10, when device 1 has loaded, there after 12, done after 14.
    """
    return Scenario.preset("tiny").sample(np.random.default_rng(0)), 0.014


def instances(rng: np.random.Generator) -> Iterator[Instance]:
    """Equal layers and others, from the start and in mid-episode, and of a real model."""
    for equal in (True, False):
        for going_on in (True, False):
            yield helpers.placeable(rng, equal=equal, going_on=going_on)
    yield Scenario.preset("tight", model="gpt2", n_devices=3).sample(rng)


def brute_force(instance: Instance) -> float:
    """Seconds of the best plan."""
    best = helpers.brute_force(instance)
    assert best is not None
    return best / 1e9


def environment(instance: Instance) -> ColdStartEnv:
    """An environment that replays the instance."""
    return helpers.env_for(instance)
