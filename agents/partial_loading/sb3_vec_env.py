"""The native vector environment as a `VecEnv` of stable-baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import Wrapper, spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from agents.partial_loading.observing import FAR_BELOW, loading_of, plan_of
from pl_env.partial_loading.env import observation_space
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.vector_env import PartialLoadingVectorEnv


class PartialLoadingVecEnv(VecEnv):
    """Many environments in one compiled call, with stable-baselines3's conventions.

    An environment that ends is reset in the same step; its last observation is ``infos[i]["terminal_observation"]``,
    a copy. ``infos[i]`` is empty for the others. ``env_method("action_masks")`` gives a mask for each environment, as
    sb3-contrib's MaskablePPO asks for. Wrap it in `VecMonitor` for episode statistics.
    """

    def __init__(
        self,
        num_envs: int,
        scenario: str | Scenario = "bls",
        *,
        loading: bool = False,
        planned_values: bool = False,
        **overrides: Any,
    ) -> None:
        """Make the environments.

        Args:
            num_envs: Number of environments.
            scenario: The name of a preset or a `Scenario`.
            loading: Add "loading" to observations, which `SchedulingNetwork` reads: float32 (I + 1, I), loading times
                between models as fractions of the deadline; row = resident model, last row = empty GPU.
            planned_values: Add "planned_value", float32 (I · b_cap,), and "later_upload", float32 (I, b_cap), of
                `agents.partial_loading.observing.plan_of`; zeros in terminal observations.
            **overrides: Fields of the scenario, in place of its own.

        Raises:
            InvalidValue: An argument is out of range.
            UnknownName: There is no such preset or field.
        """
        self.envs = PartialLoadingVectorEnv(num_envs, scenario, autoreset_mode=AutoresetMode.SAME_STEP, **overrides)
        self._actions = np.zeros(num_envs, dtype=np.int64)
        self._loading = loading
        n_models = self.envs.scenario.n_models
        cap = self.envs.scenario.max_batch_size
        self._plan: dict[str, spaces.Box] = {}
        if planned_values:
            self._plan["planned_value"] = spaces.Box(-FAR_BELOW, 0.0, (n_models * cap,))
            self._plan["later_upload"] = spaces.Box(0.0, 1.0, (n_models, cap))
        added = {"loading": spaces.Box(0.0, 1.0, (n_models + 1, n_models))} if loading else {}
        space = spaces.Dict({**observation_space(self.envs.episodes).spaces, **self._plan, **added})
        super().__init__(num_envs, space, self.envs.single_action_space)

    def _extended(self, observations: dict[str, Any]) -> dict[str, Any]:
        """Observations with what the environment does not show."""
        if self._plan:
            observations = observations | plan_of(self.envs.episodes)
        return observations | self._loading_times()

    def _loading_times(self) -> dict[str, Any]:
        if not self._loading:
            return {}
        loading = loading_of(self.envs.episodes)
        # Written out for every environment: stable-baselines3 makes tensors of it, which want arrays of their own.
        return {"loading": np.repeat(loading, self.num_envs // len(loading), axis=0)}

    def reset(self) -> VecEnvObs:
        """Start an episode in every environment, with the seeds that `seed` has set."""
        observations, _ = self.envs.reset(seed=self._seeds)
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return self._extended(observations)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions of the step to come."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Run the step."""
        before = self._loading_times()
        observations, rewards, terminations, _, infos = self.envs.step(self._actions)
        listed: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(terminations).tolist():
            final = infos["final_info"]
            terminal = infos["final_obs"][i] | {key: value[i] for key, value in before.items()}
            terminal |= {name: np.zeros(space.shape, dtype=np.float32) for name, space in self._plan.items()}
            listed[i] = {
                "terminal_observation": terminal,
                "TimeLimit.truncated": False,
                "invalid_action": bool(final["invalid_action"][i]),
                "served": int(final["served"][i]),
                "elapsed_seconds": float(final["elapsed_seconds"][i]),
            }
        return self._extended(observations), rewards.astype(np.float32), terminations, listed

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of the vector environment, once for each environment."""
        return [getattr(self.envs, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Environments are no objects of their own here.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("environments of PartialLoadingVecEnv have no attributes of their own to set")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment and hand out its rows, such as those of ``action_masks``."""
        rows = getattr(self.envs, method_name)(*method_args, **method_kwargs)
        return [rows[i] for i in self._chosen(indices)]

    def env_is_wrapped(self, wrapper_class: type[Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """No environment is wrapped on its own."""
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: VecEnvIndices) -> Sequence[int]:
        return list(self._get_indices(indices))
