"""Many continuous environments in one compiled call, as a `VecEnv` of stable-baselines3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import Wrapper, spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from pl_env.co_inference import stepping
from pl_env.co_inference.dynamics import DECISION_COLUMNS, DRAWS_PER_TASK, TASK_COLUMNS, VALUE, draw_tasks
from pl_env.co_inference.least_energy import MAX_DEVICE_HZ, MAX_POWER
from pl_env.co_inference.plan import LOWEST_HZ
from pl_env.co_inference.scenario import Scenario
from pl_env.compiling import compiled
from pl_env.ranges import require
from pl_env.seeds import TRAINING_STREAM

Floats = NDArray[np.float64]


def flat(observation: Mapping[str, Any]) -> NDArray[np.float32]:
    """The environment's observation as one array, in the order of its keys."""
    return np.concatenate(list(observation.values()))


class CoInferenceVecEnv(VecEnv):
    """`CoInferenceContinuousEnv` many times over, with stable-baselines3's conventions.

    An observation is `flat`, one array. All episodes are of N tasks, so they end
    together, and the next ones begin in the same step; ``infos[i]["terminal_observation"]`` is the last observation.
    Rewards are multiplied by N, so that they are about 1. Wrap it in `VecMonitor` for episode statistics.
    """

    def __init__(self, num_envs: int, scenario: str | Scenario = "continuous", **overrides: Any) -> None:
        """Make the environments.

        Args:
            num_envs: Number of environments.
            scenario: The name of a preset or a `Scenario`.
            **overrides: Fields of the scenario, in place of its own.

        Raises:
            InvalidValue: An argument is out of range.
            UnknownName: There is no such preset or field.
        """
        self.scenario = Scenario.of(scenario, **overrides)
        require(self.scenario.continuous, "scenario.continuous", False, "True")
        nothing, n_tasks, n_levels = self.scenario.nothing, self.scenario.n_tasks, self.scenario.n_levels
        low, high = self.scenario.outlook.deadline
        seen = stepping.SEEN_ENERGY + n_levels
        self._episodes = stepping.Episode(
            tables=nothing.tables,
            numbers=nothing.useful_splits,
            limits=np.array(
                [nothing.capacity_j, nothing.value_scale, low, high - low, self.scenario.outlook.high_weight]
            ),
            tasks=np.zeros((num_envs, n_tasks, TASK_COLUMNS)),
            state=np.zeros((num_envs, stepping.STATE_ENTRIES)),
            costs=np.zeros((num_envs, n_levels)),
            splits=np.zeros((num_envs, n_levels), dtype=np.int64),
            decisions=np.zeros((num_envs, n_tasks, DECISION_COLUMNS)),
            observation=np.zeros((num_envs, seen), dtype=np.float32),
            mask=np.zeros((num_envs, 1 + n_levels), dtype=np.int8),
        )
        self._draws = self.scenario.outlook.draws()
        self._rng = np.random.default_rng()
        self.render_mode = None
        self._actions = np.zeros((num_envs, 3 + self.scenario.n_splits))
        self._rewards = np.zeros(num_envs)
        self._no_infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        action_space = spaces.Box(-1.0, 1.0, (3 + self.scenario.n_splits,))
        super().__init__(num_envs, spaces.Box(0.0, 1.0, (seen,)), action_space)

    @property
    def tasks(self) -> Floats:
        """The present episodes' tasks, float64 (num_envs, N, 6). Not to be changed."""
        return self._episodes.tasks

    def reset(self) -> NDArray[np.float32]:
        """Start an episode in every environment, with the seed that `seed` has set."""
        if self._seeds[0] is not None:
            self._rng = np.random.default_rng((TRAINING_STREAM, self._seeds[0]))
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return self._begin()

    def _begin(self) -> NDArray[np.float32]:
        uniforms = self._rng.random((self.num_envs, DRAWS_PER_TASK, self.scenario.n_tasks))
        for drawn, tasks in zip(uniforms, self._episodes.tasks, strict=True):
            draw_tasks(drawn, self._draws, tasks)
        _begin_all(self._episodes, float(self.scenario.battery_j))
        return self._episodes.observation.copy()

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions of the step to come."""
        self._actions = np.clip(actions, -1.0, 1.0).astype(np.float64)

    def step_wait(self) -> VecEnvStepReturn:
        """Run the step."""
        fraction, power, hertz = self._actions[:, :3].T
        hardware, least = self._episodes.tables.hardware, float(self._episodes.tables.levels[0])
        asked = np.where(fraction >= 0, least + (1 - least) * fraction, 0.0)
        watts = hardware[MAX_POWER] * 10 ** (1.5 * (power - 1))
        clock = hardware[MAX_DEVICE_HZ] * (LOWEST_HZ + 0.45 * (hertz + 1))
        rows = self._actions[:, 3:].argmax(axis=1)
        ended = _decide_all(self._episodes, rows, asked, watts, clock, self._rewards)
        rewards = (self._rewards * self.scenario.n_tasks).astype(np.float32)
        observation = self._episodes.observation.copy()
        infos = self._no_infos
        if ended:
            infos = [{"terminal_observation": last, "TimeLimit.truncated": False} for last in observation]
            observation = self._begin()
        return observation, rewards, np.full(self.num_envs, ended), infos

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of this object, once for each environment."""
        return [getattr(self, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Environments are no objects of their own here.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("environments of CoInferenceVecEnv have no attributes of their own to set")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Environments are no objects of their own here.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("environments of CoInferenceVecEnv have no methods of their own")

    def env_is_wrapped(self, wrapper_class: type[Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """No environment is wrapped on its own."""
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: VecEnvIndices) -> Sequence[int]:
        return list(self._get_indices(indices))


@compiled
def _episode(all_: stepping.Episode, i: int) -> stepping.Episode:
    """One of the episodes."""
    return stepping.Episode(
        all_.tables,
        all_.numbers,
        all_.limits,
        all_.tasks[i],
        all_.state[i],
        all_.costs[i],
        all_.splits[i],
        all_.decisions[i],
        all_.observation[i],
        all_.mask[i],
    )


@compiled
def _begin_all(all_: stepping.Episode, battery: float) -> None:
    for i in range(len(all_.tasks)):
        stepping.begin(_episode(all_, i), battery)


@compiled
def _decide_all(
    all_: stepping.Episode, rows: NDArray[np.int64], asked: Floats, power: Floats, hertz: Floats, rewards: Floats
) -> bool:
    """A step of all; whether the episodes have ended. Rewards are written to the last array."""
    task = int(all_.state[0, stepping.TASK])
    for i in range(len(rows)):
        stepping.decide_freely(_episode(all_, i), rows[i], asked[i], power[i], hertz[i])
        rewards[i] = all_.decisions[i, task, VALUE]
    return bool(task + 1 == all_.tasks.shape[1])
