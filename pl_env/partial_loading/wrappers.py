"""Wrappers for learners that want something else than the Dict observation."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class FlatObservation(gymnasium.ObservationWrapper[NDArray[np.float32], Any, dict[str, NDArray[np.float32]]]):
    """One float32 vector in [0, 1] instead of the Dict: its arrays flattened, in the order of the space's keys.

    Equals ``gymnasium.wrappers.FlattenObservation``, at a fraction of its cost.
    """

    def __init__(self, env: gymnasium.Env[dict[str, NDArray[np.float32]], Any]) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Dict)
        self._keys: tuple[str, ...] = tuple(env.observation_space.keys())
        self.observation_space = spaces.flatten_space(env.observation_space)

    def observation(self, observation: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Flatten one observation."""
        return np.concatenate([observation[key].reshape(-1) for key in self._keys])
