"""Co-inference, for the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pl_env.co_inference import Instance, Scenario
from pl_env.co_inference.battery_env import BatteryEnv
from tests import co_inference_helpers as helpers

EXACT = ("exact",)


def tiny() -> tuple[Instance, float]:
    """Four tasks of 4, 6, 8, 10 s and weights 1, 5, 1, 1; .7 J, of 1 J at most; .4 J come after tasks 1 and 2.

    Least energies, in J: task 0 at least .806, more than there is. Task 1 .596 at r = .5, .779 at .55, so .5; it counts
    five times, what no other can. Then .104 + .4 = .504 J. Task 2 at .75, .8, .85: .318, .380, .450, and task 3 then
    has .586, .524, .454 J: .8 for .511 after the first two, .65 for .405 after the third. .8 twice is best.
    Q(.5) = .8466, Q(.8) = .9785: 5 · .8466 + 2 · .9785 = 6.1899, of 4 · 1.8.
    """
    tasks = np.zeros((4, 6))
    tasks[:, 0] = [4, 6, 8, 10]
    tasks[:, 1] = [1, 5, 1, 1]
    tasks[:, 2] = [5e-13, 5e-14, 1e-11, 2e-13]
    tasks[:, 3] = [0, 0.4, 0.4, 0]
    tasks[:, 4] = [1, 2, 0, 1]
    tasks[:, 5] = [0, 1, 1, 0]
    return Scenario.preset("tiny").instance(tasks), (5 * helpers.quality(0.5) + 2 * helpers.quality(0.8)) / 7.2


def instances(rng: np.random.Generator) -> Iterator[Instance]:
    """Levels, with and without harvest, nobody at all among them; and one task with any kept fraction."""
    yield helpers.random_instance(rng)
    yield helpers.random_instance(rng, n_tasks=3)
    yield helpers.random_instance(rng, n_tasks=1, continuous=True)


def brute_force(instance: Instance) -> float:
    """The largest mean weighted quality."""
    return helpers.brute_force(instance)


def environment(instance: Instance) -> BatteryEnv:
    """An environment that replays the instance."""
    return helpers.env_for(instance)
