"""What both environments share: reset, observations, infos, rendering. The step is in ``stepping.py``."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.arguments import given_instance
from pl_env.co_inference import stepping
from pl_env.co_inference.dynamics import (
    DECISION_COLUMNS,
    DRAWS_PER_TASK,
    TASK_COLUMNS,
    VALUE,
    draw_tasks,
)
from pl_env.co_inference.instance import Floats, Instance
from pl_env.co_inference.plan import Plan
from pl_env.co_inference.scenario import Scenario
from pl_env.co_inference.stepping import BATTERY, TASK
from pl_env.ranges import require, require_one_of

Observation = dict[str, NDArray[np.float32]]

INVALID_ACTION = ("terminate", "raise")

LAST_TASK = (
    *("split", "kept_fraction", "power_watts", "device_hertz", "server_hertz"),
    *("device_seconds", "radio_seconds", "server_seconds", "energy_joules"),
)
"""What the info says of the last task, in the order of the columns of decisions."""


def observation_slices(n_levels: int) -> dict[str, slice]:
    """Where each array of an observation lies in one array, by its key."""
    sizes = {"battery": 1, "tasks_left": 1, "link": 3, "sun": 2, "deadline": 1, "gain": 1, "weight": 1}
    slices, start = {}, 0
    for key, size in (sizes | {"energy": n_levels}).items():
        slices[key] = slice(start, start + size)
        start += size
    return slices


class BatteryEnv(gymnasium.Env[Observation, Any]):
    """What both environments share: everything but actions."""

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in gymnasium.Env
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 4,
    }
    _continuous = False

    def __init__(
        self,
        scenario: str | Scenario = "default",
        *,
        invalid_action: str = "terminate",
        render_mode: str | None = None,
        **overrides: Any,
    ) -> None:
        self.scenario = Scenario.of(scenario, **overrides)
        is_ours = self.scenario.continuous == self._continuous
        require(
            is_ours, "scenario.continuous", self.scenario.continuous, f"{self._continuous} in {type(self).__name__}"
        )
        require_one_of("invalid_action", invalid_action, INVALID_ACTION)
        if render_mode is not None:
            require_one_of("render_mode", render_mode, self.metadata["render_modes"])
        self.invalid_action = invalid_action
        self.render_mode = render_mode
        self._viewer: Any = None
        self._slices = list(observation_slices(self.scenario.n_levels).items())
        self.observation_space = spaces.Dict(  # type: ignore[assignment]
            {key: spaces.Box(0.0, 1.0, (place.stop - place.start,)) for key, place in self._slices}
        )
        self._draws = self.scenario.outlook.draws()
        self._episode: stepping.Episode | None = None
        self._instance: Instance | None = None

    def _allocate(self, given: Instance, n_tasks: int) -> stepping.Episode:
        """Arrays for an episode of so many tasks, with the tables and limits of an instance."""
        outlook, n_levels = given.outlook, given.n_levels
        low, high = outlook.deadline
        return stepping.Episode(
            tables=given.tables,
            numbers=given.useful_splits,
            limits=np.array([given.capacity_j, given.value_scale, low, high - low, outlook.high_weight]),
            tasks=np.zeros((n_tasks, TASK_COLUMNS)),
            state=np.zeros(stepping.STATE_ENTRIES),
            costs=np.zeros(n_levels),
            splits=np.zeros(n_levels, dtype=np.int64),
            decisions=np.zeros((n_tasks, DECISION_COLUMNS)),
            observation=np.zeros(stepping.SEEN_ENERGY + n_levels, dtype=np.float32),
            mask=np.zeros(1 + n_levels, dtype=np.int8),
        )

    # ------------------------------------------------------------ Gymnasium's interface

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: Seed of the environment's generator.
            options: ``{"instance": Instance}`` plays that instance instead of drawing one.

        Returns:
            The observation and the info dict.

        Raises:
            InvalidValue: The instance does not fit the environment's spaces, or the options hold something else.
        """
        super().reset(seed=seed)
        instance = given_instance(options, Instance)
        if instance is None:
            n_tasks = self.scenario.n_tasks
            if self._episode is None or self._instance is not None or len(self._episode.tasks) != n_tasks:
                self._episode = self._allocate(self.scenario.nothing, n_tasks)
            self._instance = None
            draw_tasks(self.np_random.random((DRAWS_PER_TASK, n_tasks)), self._draws, self._episode.tasks)
            battery = float(self.scenario.battery_j)
        else:
            self._require_fits(instance)
            self._instance = instance
            self._episode = self._allocate(instance, instance.n_tasks)
            self._episode.tasks[:] = instance.tasks
            battery = instance.battery_j
        stepping.begin(self._episode, battery)
        self._begin()
        if self.render_mode == "human":
            self.render()
        return self._observed(), self._info(False)

    def _require_fits(self, instance: Instance) -> None:
        for name in ("n_levels", "continuous"):
            ours, theirs = getattr(self.scenario, name), getattr(instance, name)
            require(ours == theirs, f"instance.{name}", theirs, f"{ours}, as in the scenario")

    def _begin(self) -> None:
        """What an environment does at the start besides."""

    @property
    def _now(self) -> stepping.Episode:
        if self._episode is None:
            raise gymnasium.error.ResetNeeded("Cannot step, or ask for the episode, before calling env.reset()")
        return self._episode

    def _observed(self) -> Observation:
        seen = self._now.observation.copy()
        return {key: seen[place] for key, place in self._slices}

    def _info(self, invalid: bool) -> dict[str, Any]:
        _, battery, served, quality, _ = self._now.state.tolist()
        return {
            "action_mask": self._now.mask.copy(),
            "invalid_action": invalid,
            "served": int(served),
            "quality": quality,
            "battery_joules": battery,
        }

    def _stepped(self) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """What `step` returns after the physics has gone on."""
        if self.render_mode == "human":
            self.render()
        episode = self._now
        task = int(episode.state[TASK])
        decision = episode.decisions[task - 1].tolist()
        info = self._info(False)
        info.update(zip(LAST_TASK, decision, strict=False))
        info["split"] = int(decision[0])
        info["wasted_joules"] = float(episode.state[stepping.WASTED])
        return self._observed(), decision[VALUE], task == len(episode.tasks), False, info

    def render(self) -> Any:
        """Render the episode so far: text for "ansi", an RGB array for "rgb_array", a window for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to gym.make, such as render_mode='ansi'.")
            return None
        from pl_env.co_inference import rendering  # matplotlib is heavy, and few environments are drawn

        if self.render_mode == "ansi":
            return rendering.describe(self.plan, self.instance)
        if self._viewer is None:
            self._viewer = rendering.Viewer(self.metadata["render_fps"] if self.render_mode == "human" else None)
        return self._viewer.draw(self.plan, self.instance)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    # ------------------------------------------------------------ a view for planners

    def action_masks(self) -> NDArray[np.bool_]:
        """Which of skipping and the levels is affordable now, bool (1 + K,); all True in the terminal state."""
        return np.asarray(self._now.mask, dtype=np.bool_)

    @property
    def any_legal(self) -> bool:
        """Whether the episode goes on; skipping is always legal until then."""
        return bool(self._now.state[TASK] < len(self._now.tasks))

    @property
    def instance(self) -> Instance:
        """The present episode's instance, as it was at the start."""
        if self._instance is None:
            self._instance = self.scenario.instance(self._now.tasks)
        return self._instance

    @property
    def task(self) -> int:
        """Number of the present task; N after the last."""
        return int(self._now.state[TASK])

    @property
    def battery_j(self) -> float:
        """Joules in the battery."""
        return float(self._now.state[BATTERY])

    @property
    def costs(self) -> Floats:
        """Least energy of the present task at each level, float64 (K,). Not to be changed."""
        return self._now.costs

    @property
    def plan(self) -> Plan:
        """The decisions so far."""
        decisions = self._now.decisions
        return Plan.from_decisions(decisions[: self.task], len(decisions), solver="environment")

    def remaining(self) -> Instance:
        """What is left of the episode as an instance of its own: tasks from this one on, and the battery."""
        return self.instance.remaining(self.task, self.battery_j)
