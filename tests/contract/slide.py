"""Slide, for the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pl_env.slide import Instance, Scenario
from pl_env.slide.env import SlideEnv
from tests import slide_helpers as helpers

EXACT = ("exact",)

MS = 1_000_000


def tiny() -> tuple[Instance, float]:
    """Two users who ask for "small" and have 20 ms, and one who arrives after 1 ms, asks for "large" and has 32 ms.

    All have 8 Gbit/s alone on the band and compute at 1 GHz. Small arrives after 2, 5 and 9 ms and computes for
    3 + 1 + 2, so the layers are due after 14, 17 and 18 ms. Large arrives after 4 and 12 ms and computes for 4 + 4, so
    its layers are due 24 and 28 ms after the arrival. Two users of small need 18 ms of the band by 18 ms, just what
    there is. With the third, all need 18 + 12 = 30 ms by 1 + 28. Small's users with large would need 12 ms by 16 ms,
    which is more. So two of three.
    """
    return tiny_with_deadline(32), 2 / 3


def tiny_with_deadline(milliseconds: int) -> Instance:
    """With another deadline of the third user; 33 ms are enough to serve all."""
    users = np.zeros((3, 6), dtype=np.int64)
    users[:, 0] = 8_000_000_000
    users[:, 1] = 1_000_000
    users[:, 2] = [20 * MS, 20 * MS, milliseconds * MS]
    users[:, 3] = 1_000_000_000
    users[:, 4] = [0, 0, 1]
    users[:, 5] = [0, 0, 1 * MS]
    return Scenario.preset("tiny").instance(users)


def instances(rng: np.random.Generator) -> Iterator[Instance]:
    """All present, with arrivals, with what was promised before, and of real models; nobody at all among them."""
    yield helpers.random_instance(rng)
    yield helpers.random_instance(rng, arrivals=True)
    yield helpers.random_instance(rng, arrivals=True, committed=True)
    yield Scenario.preset("hard", n_users=3, bandwidth_hz=5e6).sample(rng)


def brute_force(instance: Instance) -> float:
    """The largest share of users served."""
    return helpers.brute_force_served(instance) / instance.n_users if instance.n_users else 0.0


def environment(instance: Instance) -> SlideEnv:
    """An environment that replays the instance."""
    return helpers.env_for(instance)
