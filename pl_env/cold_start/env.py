"""The Gymnasium environment: spaces, reset, step, render. The physics is in ``dynamics.py``."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.arguments import action_index, given_instance
from pl_env.cold_start import stepping
from pl_env.cold_start.instance import MOST_IN_SETS, Instance
from pl_env.cold_start.plan import Plan
from pl_env.cold_start.scenario import Scenario
from pl_env.cold_start.stepping import (
    COMPUTE,
    FINISH,
    IDLE,
    LAST,
    LOAD,
    N_DEVICES,
    N_LAYERS,
    N_STAGES,
    POSITION,
    READY,
    TRANSFER,
    USED,
)
from pl_env.errors import InvalidAction
from pl_env.ranges import require, require_integer, require_one_of
from pl_env.times import NS_PER_SECOND

Observation = dict[str, NDArray[np.float32]]

INVALID_ACTION = ("terminate", "raise")


class ColdStartEnv(gymnasium.Env[Observation, np.int64]):
    """Place the layers of a language model on devices, so that the first prompt is through as soon as possible.

    ## Description
    K devices have a model of L layers on disk and nothing in memory, and a prompt arrives. Layers go to devices in
    contiguous segments; all devices load theirs at once, from time 0, and pass the activation on by radio. In every
    step the agent chooses a device that has no layers yet, and how many of the next layers it gets. A segment begins to
    compute once its layers are loaded and the one before is done and has sent its activation:
    finish = max(load, finish before) + transfer + computation. The problem is that of arXiv 2508.11287.

    ## Action Space
    `Discrete(K_max · L_max)`, of the largest instance of the scenario: device a // L_max takes the next a % L_max + 1
    layers. With the default scenario `Discrete(320)`. An action is legal when the device has no layers, these fit into
    its memory, and the rest still fits into the others: there are no dead ends. `info["action_mask"]` (int8, what
    `space.sample(mask=...)` takes) and `action_masks()` (bool, what sb3-contrib calls) say which are.

    ## Observation Space
    A `Dict` of float32 arrays in [0, 1]. A time x is given as x / (x + T0), where T0 = 1 / sum of 1 / (load +
    computation of the whole model) over the devices. Devices that the instance does not have are 0.

    | Key             | Shape          | Meaning                                                                      |
    |-----------------|----------------|------------------------------------------------------------------------------|
    | `progress`      | (1,)           | layers placed / L                                                            |
    | `finish`        | (1,)           | when they are done                                                           |
    | `unused`        | (K_max,)       | 1 for devices that have no layers                                            |
    | `last`          | (K_max,)       | 1 for the device of the last segment                                         |
    | `capacity`      | (K_max,)       | next layers that fit into the memory of an unused device / L                 |
    | `load_time`     | (K_max,)       | of all layers left, of used devices too                                      |
    | `compute_time`  | (K_max,)       | likewise                                                                     |
    | `transfer_time` | (K_max, K_max) | from, to, of the activation that goes into the next layer; 0 at both ends    |
    | `finish_time`   | (K_max, L_max) | when the layers are done after each action; 1 where it is illegal            |

    ## Rewards
    −(finish − finish before) / T0, so the undiscounted return is −T / T0; a reward of 1 is `unit_seconds`.

    ## Starting State
    Nothing placed. The instance is drawn from the `Scenario`, or given: `reset(options={"instance": instance})`.

    ## Episode End
    Terminated when all layers are placed; the mask of that state is all ones. Never truncated. An illegal action ends
    the episode with the return of the worst plan there could be and `info["invalid_action"] = True`, or raises
    `InvalidAction`, as `invalid_action` says.

    ## Information
    `action_mask`; `invalid_action`; `finish_seconds`; `layers` placed; `unit_seconds`, T0; and, after a step,
    `load_seconds`, `transfer_seconds`, `compute_seconds` and `idle_seconds` of the new segment.

    ## Arguments
    - `scenario`: the name of a preset ("default", "paper", "tight", "roomy", "tiny") or a `Scenario`.
    - `invalid_action`: "terminate" or "raise".
    - `render_mode`: "ansi", "rgb_array" or "human".
    - any field of `Scenario`, in place of the scenario's own.

    >>> import gymnasium as gym, pl_env.cold_start
    >>> env = gym.make("ColdStart-v0", scenario="paper", prompt_tokens=256)
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space
    Discrete(160)
    >>> observation["finish_time"].shape
    (4, 40)
    >>> for device, layers in ((2, 7), (3, 5), (0, 14), (1, 14)):
    ...     observation, reward, terminated, truncated, info = env.step(device * 40 + layers - 1)
    >>> terminated, info["finish_seconds"]
    (True, 2.463155314)
    >>> pl_env.cold_start.check(env.unwrapped.plan, env.unwrapped.instance)

    ## Version History
    * v0: first version.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in gymnasium.Env
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 2,
    }

    def __init__(
        self,
        scenario: str | Scenario = "default",
        *,
        invalid_action: str = "terminate",
        render_mode: str | None = None,
        **overrides: Any,
    ) -> None:
        self.scenario = Scenario.of(scenario, **overrides)
        require_one_of("invalid_action", invalid_action, INVALID_ACTION)
        if render_mode is not None:
            require_one_of("render_mode", render_mode, self.metadata["render_modes"])
        most = self.scenario.most_devices
        require_integer("the largest number of devices, which the environment looks at in all sets,", most, 1,
                        MOST_IN_SETS)  # fmt: skip
        self.invalid_action = invalid_action
        self.render_mode = render_mode
        self._viewer: Any = None
        self._tables, self._devices = self.scenario.room()
        self._episode = stepping.allocate(most, self.scenario.n_layers, self._tables.transfer_ns)
        self._is_reset = False
        self._instance: Instance | None = None
        self.action_space = spaces.Discrete(len(self._episode.mask))
        shapes = {key: shape for key, shape, _ in stepping.parts(most, self.scenario.n_layers)}
        self.observation_space = spaces.Dict(  # type: ignore[assignment]
            {key: spaces.Box(0.0, 1.0, shape) for key, shape in shapes.items()}
        )
        self._bind()

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
            InvalidValue: The instance does not fit the environment's spaces, or the model does not fit into its
                devices; or the options hold something else.
        """
        super().reset(seed=seed)
        instance = given_instance(options, Instance)
        if instance is None:
            self._instance = None
            uniforms = self.np_random.random(self.scenario.n_draws)
            stepping.begin_drawn(uniforms, self.scenario.draws, self._devices, self._tables, self._episode)
            if self.scenario.devices and self._episode.reach[(1 << self.scenario.most_devices) - 1] > 0:
                reason = self.scenario.instance(self._tables, self.scenario.most_devices).why_not_placeable
                require(False, "scenario", self.scenario.model, f"one whose model fits its devices; {reason}")
        else:
            self._begin_given(instance)
        self._is_reset = True
        if self.render_mode == "human":
            self.render()
        return {key: view.copy() for key, view in self._views}, self._info(False)

    def _begin_given(self, instance: Any) -> None:
        most, room = self.scenario.most_devices, self.scenario.n_layers
        k, n = instance.n_devices, instance.n_layers
        require(k <= most, "instance.n_devices", k, f"at most {most}, as in the scenario")
        require(n <= room, "instance.n_layers", n, f"at most {room}, as in the scenario")
        reason = instance.why_not_placeable
        require(reason is None, "options['instance']", instance, f"one that fits its devices; {reason}")
        tables, given = self._tables, instance.tables
        tables.load_ns[:k, :n], tables.compute_ns[:k, :n] = given.load_ns, given.compute_ns
        tables.transfer_ns[:n, :k, :k] = given.transfer_ns
        tables.weight_bytes[:n], tables.activation_bytes[:n] = given.weight_bytes, given.activation_bytes
        tables.memory_bytes[:k] = given.memory_bytes
        stepping.begin(tables, k, n, instance.previous, instance.ready_ns, self._episode)
        self._instance = instance

    def _bind(self) -> None:
        """Views of the observation's parts; the episode's transfers are those of the tables."""
        self._episode = self._episode._replace(transfer_ns=self._tables.transfer_ns)
        self._views, start = [], 0
        for key, shape, size in stepping.parts(self.scenario.most_devices, self.scenario.n_layers):
            self._views.append((key, self._episode.observation[start : start + size].reshape(shape)))
            start += size

    def __getstate__(self) -> dict[str, Any]:
        """Without the views, which do not hold for copies."""
        return {key: value for key, value in self.__dict__.items() if key != "_views"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()

    @property
    def _now(self) -> stepping.Episode:
        if not self._is_reset:
            raise gymnasium.error.ResetNeeded("Cannot step, or ask for the episode, before calling env.reset()")
        return self._episode

    def _info(self, invalid: bool) -> dict[str, Any]:
        episode = self._episode
        return {
            "action_mask": episode.mask.copy(),
            "invalid_action": invalid,
            "finish_seconds": int(episode.state[FINISH]) / NS_PER_SECOND,
            "layers": int(episode.state[POSITION]),
            "unit_seconds": float(episode.unit[0]) / NS_PER_SECOND,
        }

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Place the next layers.

        Args:
            action: An integer of the action space.

        Returns:
            Observation, reward, terminated, truncated (False), and the info dict.

        Raises:
            InvalidAction: The action is not of the action space, or is illegal and ``invalid_action`` is "raise".
        """
        index = action_index(action, self.scenario.most_devices * self.scenario.n_layers)
        episode, before = self._now, int(self._now.state[FINISH])
        if not stepping.place(episode, index):
            return self._refuse_to_step(index)
        if self.render_mode == "human":
            self.render()
        state = episode.state.tolist()
        info = self._info(False) | self._stage(state)
        reward = (before - state[FINISH]) / float(episode.unit[0])
        over = state[POSITION] == state[N_LAYERS]
        return {key: view.copy() for key, view in self._views}, reward, over, False, info

    @staticmethod
    def _stage(state: list[int]) -> dict[str, float]:
        """Seconds of the last stage."""
        return {
            "load_seconds": state[LOAD] / NS_PER_SECOND,
            "transfer_seconds": state[TRANSFER] / NS_PER_SECOND,
            "compute_seconds": state[COMPUTE] / NS_PER_SECOND,
            "idle_seconds": state[IDLE] / NS_PER_SECOND,
        }

    def _refuse_to_step(self, index: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """End the episode after an illegal action, with the return of the worst plan, or raise."""
        if self.invalid_action == "raise":
            raise InvalidAction(self._why_illegal(index))
        episode = self._episode
        passed = int(episode.state[FINISH] - episode.state[READY])
        reward = (passed - self.instance.worst_ns) / float(episode.unit[0])
        info = self._info(True) | self._stage([0] * stepping.STATE_ENTRIES)
        return {key: view.copy() for key, view in self._views}, reward, True, False, info

    def _why_illegal(self, action: int) -> str:
        state, room = self._episode.state, self.scenario.n_layers
        if state[POSITION] >= state[N_LAYERS]:
            return f"action is {action}; all layers are placed"
        device, last = action // room, int(state[POSITION]) + action % room + 1
        about = f"action is {action}, {action % room + 1} layers on device {device + 1}"
        if device >= state[N_DEVICES]:
            return f"{about}; there are {state[N_DEVICES]} devices"
        if state[USED] >> device & 1:
            return f"{about}; it has layers already"
        if last > state[N_LAYERS]:
            return f"{about}; there are only {state[N_LAYERS] - state[POSITION]} left"
        if self._episode.lowest[device, last] > state[POSITION]:
            return f"{about}; they do not fit into its memory"
        return f"{about}; the rest would not fit into the other devices"

    def render(self) -> Any:
        """Render the episode so far: text for "ansi", an RGB array for "rgb_array", a window for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to gym.make, such as render_mode='ansi'.")
            return None
        from pl_env.cold_start import rendering  # matplotlib is heavy, and few environments are drawn

        state = self._now.state
        about = f"{state[POSITION]} of {state[N_LAYERS]} layers, done after {state[FINISH] / NS_PER_SECOND:.3f} s"
        if self.render_mode == "ansi":
            return f"{about}\n{rendering.text_gantt(self.plan, self.instance)}"
        if self._viewer is None:
            self._viewer = rendering.Viewer(self.metadata["render_fps"] if self.render_mode == "human" else None)
        return self._viewer.draw(self.plan, self.instance, about)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    # ------------------------------------------------------------ a view for planners

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (K_max · L_max,); all True in the terminal state."""
        return np.asarray(self._now.mask, dtype=np.bool_)

    @property
    def any_legal(self) -> bool:
        """Whether the episode goes on."""
        return bool(self._now.state[POSITION] < self._now.state[N_LAYERS])

    @property
    def most_layers(self) -> int:
        """L_max, by which actions are counted."""
        return self.scenario.n_layers

    @property
    def reward_unit(self) -> float:
        """What a reward of 1 is in the unit of plans: T0 in seconds."""
        return float(self._now.unit[0]) / NS_PER_SECOND

    @property
    def instance(self) -> Instance:
        """The present episode's instance, as it was at the start."""
        n_devices = int(self._now.state[N_DEVICES])
        if self._instance is None:
            self._instance = self.scenario.instance(self._tables, n_devices)
        return self._instance

    @property
    def plan(self) -> Plan:
        """The stages so far."""
        instance, state = self.instance, self._now.state
        stages = self._now.stages[: state[N_STAGES]]
        worst = instance.ready_ns + instance.worst_ns
        n_layers, finish = instance.n_layers, int(state[FINISH])
        return Plan(stages[:, 0].copy(), stages[:, 1].copy(), n_layers, finish, worst, solver="environment")

    def remaining(self) -> Instance:
        """What is left of the episode as an instance of its own: used devices have no memory there."""
        state, instance = self._now.state, self.instance
        used = (int(state[USED]) >> np.arange(instance.n_devices) & 1).astype(np.bool_)
        return instance.remaining(int(state[POSITION]), used, int(state[LAST]), int(state[FINISH]))
