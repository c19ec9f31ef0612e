"""Wrappers for learners that want something else than the Dict observation; for the environments of all systems."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.errors import InvalidValue
from pl_env.ranges import require


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


class MaskedObservation(gymnasium.Wrapper[dict[str, Any], np.int64, Any, np.int64]):
    """The action mask beside the observation, for learners that read no info: RLlib, Tianshou.

    Observations are ``{observation: what the environment returns, mask: int8 (n,), 1 = legal}``. RLlib's action masking
    takes ``MaskedObservation(FlatObservation(env))``, Tianshou
    ``MaskedObservation(FlatObservation(env), "obs", "mask")``.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, np.int64],
        observation: str = "observations",
        mask: str = "action_mask",
    ) -> None:
        """Wrap an environment whose actions are discrete and whose info holds ``action_mask``.

        Args:
            env: The environment, wrapped or not.
            observation: Key of the observation.
            mask: Key of the mask, another one.

        Raises:
            InvalidValue: Actions are not discrete, or the keys are not two different strings.
        """
        super().__init__(env)
        if not isinstance(env.action_space, spaces.Discrete):
            raise InvalidValue(
                f"action_space is {env.action_space}; it must be Discrete, as other actions have no masks"
            )
        keys = (observation, mask)
        different = all(isinstance(key, str) for key in keys) and observation != mask
        require(different, "observation and mask", keys, "two different names")
        self._observation_key, self._mask_key = observation, mask
        masks = spaces.Box(0, 1, (int(env.action_space.n),), np.int8)
        self.observation_space = spaces.Dict({observation: env.observation_space, mask: masks})

    def _with_mask(self, observation: Any, info: dict[str, Any]) -> dict[str, Any]:
        return {self._observation_key: observation, self._mask_key: info["action_mask"]}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(observation, info), info

    def step(self, action: np.int64) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Take an action."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(observation, info), reward, terminated, truncated, info
