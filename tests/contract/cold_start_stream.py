"""Streams over warm devices, for the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pl_env.cold_start_stream import Instance
from pl_env.cold_start_stream.env import ColdStartStreamEnv
from tests import cold_start_stream_helpers as helpers

EXACT = ("exhaustive",)


def tiny() -> tuple[Instance, float]:
    """Prompts for models 1, 2 and 1 again at 0, 5 and 10 ms; two layers each, device 1 has memory for three.

    Device 1 loads a layer in 3 ms and computes it in 1, device 2 in 1 and 4; a transfer takes 2. Prompt 1 is soonest
    done by device 1 alone: loaded after 6, done after 8 ms; device 2 first would be done with a layer after 5, and
    device 1 after 8, too, but then there is no device that has both. Prompt 2 begins at 8. Device 1 alone is done at
    8 + 6 + 2 = 16, and has lost a layer of model 1, for which prompt 3 would wait: 16 + 3 + 2 = 21. But layer 1 on
    device 2, done at 8 + 1 + 4 = 13, and layer 2 on device 1, at 13 + 2 + 1 = 16, is as soon, and leaves model 1 where
    it is: prompt 3 is done at 18. Nothing is sooner for any of the three: (8 + 11 + 8) / 3 = 9 ms.
    """
    return helpers.by_hand([0, 1, 0], [0, 5, 10]), 0.009


def instances(rng: np.random.Generator) -> Iterator[Instance]:
    """From the start and in mid-episode, with a prompt under way or not, and nobody at all."""
    yield helpers.placeable(rng)
    yield helpers.placeable(rng, n_prompts=3)
    yield helpers.placeable(rng, going_on=True)


def brute_force(instance: Instance) -> float:
    """The least mean of seconds from arrival to finish."""
    best = helpers.brute_force(instance)
    assert best is not None
    return best / 1e9 / max(1, instance.n_prompts)


def environment(instance: Instance) -> ColdStartStreamEnv:
    """An environment that replays the instance."""
    return helpers.env_for(instance)
