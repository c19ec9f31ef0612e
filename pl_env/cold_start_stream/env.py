"""The Gymnasium environment: spaces, reset, step, render. The physics is in ``dynamics.py``."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.arguments import action_index, given_instance
from pl_env.cold_start_stream import stepping
from pl_env.cold_start_stream.dynamics import (
    FINISH,
    LAST,
    PLACED,
    PROMPT,
    STAMP,
    START,
    USED,
    Memory,
    Tables,
    capacity,
    missing,
    place,
)
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.errors import InvalidAction
from pl_env.ranges import require, require_one_of
from pl_env.times import NS_PER_SECOND

Observation = dict[str, NDArray[np.float32]]

INVALID_ACTION = ("terminate", "raise")


class ColdStartStreamEnv(gymnasium.Env[Observation, np.int64]):
    """Place the layers of several language models on devices, prompt after prompt; what was loaded stays warm.

    ## Description
    K devices have M models on disk. Prompts of different lengths arrive over time, each for one of the models, and are
    served one after the other in the order of their arrival. For every prompt, layers go to devices as in
    ``ColdStart-v0``: in contiguous segments, each device once, all devices loading from the prompt's start on. But
    layers stay in memory behind a prompt, and load in no time when they are used there again. Where a segment needs
    room, layers leave: of the model that the action names first, then those that were used longest ago (of the same
    prompt: the lower model's, and of a model the highest). The aim is a short mean time from arrival to finish, so
    what counts is which layers stay where.

    ## Action Space
    `Discrete(K_max · L_max · (M + 1))`: action a is device a // (M + 1) // L_max, which takes the next
    a // (M + 1) % L_max + 1 layers of the present prompt's model, and a % (M + 1) is 0, or the model, from 1, whose
    layers leave first. With the default scenario `Discrete(800)`. An action is legal when the device has no layers of
    this prompt, these fit into its memory, and the rest still fits into the others; a model can be named where
    something must leave and some of its layers can. There are no dead ends. `info["action_mask"]` (int8, what
    `space.sample(mask=...)` takes) and `action_masks()` (bool, what sb3-contrib calls) say which are legal.

    ## Observation Space
    A `Dict` of float32 arrays in [0, 1]. A time x is given as x / (x + T0), where T0 = 1 / sum over the devices of
    1 / (longest load of a whole model). Devices that the instance does not have are 0.

    | Key             | Shape          | Meaning                                                                      |
    |-----------------|----------------|------------------------------------------------------------------------------|
    | `prompts`       | (1,)           | prompts done / N                                                             |
    | `progress`      | (1,)           | layers of the present one placed / its model's                               |
    | `waited`        | (1,)           | from its arrival to its start                                                |
    | `elapsed`       | (1,)           | from its start to when the layers placed are done                            |
    | `model`         | (M,)           | 1 for its model                                                              |
    | `queue`         | (M,)           | n / (n + 1), n prompts that waited when it began                             |
    | `asked`         | (M,)           | share of the prompts so far, this one among them                             |
    | `unused`        | (K_max,)       | 1 for devices that have no layers of it                                      |
    | `last`          | (K_max,)       | 1 for the device of the last segment                                         |
    | `capacity`      | (K_max,)       | next layers that fit into the memory of an unused device / L                 |
    | `load_time`     | (K_max,)       | of all layers left that are not there                                        |
    | `compute_time`  | (K_max,)       | of all layers left                                                           |
    | `resident`      | (K_max, M)     | share of a model's layers that are in memory                                 |
    | `transfer_time` | (K_max, K_max) | from, to, of the activation                                                  |
    | `warm`          | (K_max, L_max) | 1 for layers of the present model that are in memory                         |
    | `finish_time`   | (K_max, L_max) | from its start to when the layers are done after each action; 1: illegal     |

    ## Rewards
    −(what the step adds to the prompt's time from arrival to finish) / (N · T0), so the undiscounted return is minus
    the mean of these times in T0, `reward_unit` in seconds.

    ## Starting State
    Nothing in memory, the first prompt arrives. The instance is drawn from the `Scenario`, or given:
    `reset(options={"instance": instance})`.

    ## Episode End
    Terminated when all prompts are done; the mask of that state is all ones. Never truncated. An illegal action ends
    the episode with the return of the worst plan there could be and `info["invalid_action"] = True`, or raises
    `InvalidAction`, as `invalid_action` says.

    ## Information
    `action_mask`; `invalid_action`; `prompts` done; `layers` of the present one placed; `latency_seconds`, the sum over
    the prompts done; `unit_seconds`, T0; and, after a step, `loaded`, the layers that it loaded.

    ## Arguments
    - `scenario`: the name of a preset ("default", "tiny") or a `Scenario`.
    - `invalid_action`: "terminate" or "raise".
    - `render_mode`: "ansi", "rgb_array" or "human".
    - any field of `Scenario`, in place of the scenario's own.

    Its attributes ``most_layers`` and ``most_models`` are L_max and M, by which actions are counted.

    >>> import gymnasium as gym, pl_env.cold_start_stream
    >>> env = gym.make("ColdStartStream-v0", n_prompts=3)
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space
    Discrete(800)
    >>> observation["finish_time"].shape
    (5, 40)
    >>> terminated = False
    >>> while not terminated:
    ...     action = env.action_space.sample(mask=info["action_mask"])
    ...     observation, reward, terminated, truncated, info = env.step(action)
    >>> info["prompts"]
    3
    >>> pl_env.cold_start_stream.check(env.unwrapped.plan, env.unwrapped.instance)

    ## Version History
    * v0: first version.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as in gymnasium.Env
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 4,
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
        self.invalid_action = invalid_action
        self.render_mode = render_mode
        self._viewer: Any = None
        self.most_layers, self.most_models = self.scenario.most_layers, len(self.scenario.models)
        sizes = self.scenario.most_devices, self.most_layers, self.most_models
        self._mask = np.zeros((*sizes[:2], sizes[2] + 1), dtype=np.int8)
        self._parts = stepping.parts(*sizes)
        self._seen = np.zeros(sum(size for _, _, size in self._parts), dtype=np.float32)
        self._instance: Instance | None = None
        self._tables: Tables
        self._memory: Memory
        self._unit = 1.0
        self.action_space = spaces.Discrete(self._mask.size)
        self.observation_space = spaces.Dict(  # type: ignore[assignment]
            {key: spaces.Box(0.0, 1.0, shape) for key, shape, _ in self._parts}
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
            InvalidValue: The instance does not fit the environment's spaces, or a model does not fit into the devices;
                or the options hold something else.
        """
        super().reset(seed=seed)
        instance = given_instance(options, Instance)
        if instance is None:
            instance = self.scenario.sample(self.np_random)
        else:
            for name, found, most in (
                ("n_devices", instance.n_devices, self.scenario.most_devices),
                ("n_models", instance.n_models, self.most_models),
                ("n_layers", int(instance.n_layers.max()), self.most_layers),
            ):
                require(found <= most, f"instance.{name}", found, f"at most {most}, as in the scenario")
            reason = instance.why_not_placeable
            require(reason is None, "options['instance']", instance, f"one that fits its devices; {reason}")
        self._instance, self._tables, self._memory = instance, instance.tables, instance.begun()
        self._unit = float(stepping.unit_ns(self._tables))
        self._observe()
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._info(False)

    def _observe(self) -> None:
        stepping.see_actions(self._tables, self._memory, self._mask)
        stepping.observe(self._tables, self._memory, self._unit, self._mask, self.most_models, self._seen)

    def _observation(self) -> Observation:
        found, start = {}, 0
        for key, shape, size in self._parts:
            found[key] = self._seen[start : start + size].reshape(shape).copy()
            start += size
        return found

    def _info(self, invalid: bool) -> dict[str, Any]:
        done = int(self._memory.state[PROMPT])
        latency = sum((self._memory.finish_ns[:done] - self._tables.arrival_ns[:done]).tolist())
        return {
            "action_mask": self._mask.reshape(-1).copy(),
            "invalid_action": invalid,
            "prompts": done,
            "layers": int(self._memory.state[PLACED]) if self.any_legal else 0,
            "latency_seconds": latency / NS_PER_SECOND,
            "unit_seconds": self._unit / NS_PER_SECOND,
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
        index = action_index(action, self._mask.size)
        instance, m = self.instance, self._memory
        device, count, victim = self._parsed(index)
        if not self.any_legal or not self._mask[device, count - 1, victim + 1]:
            return self._refuse_to_step(index)
        prompt, placed, before = int(m.state[PROMPT]), int(m.state[PLACED]), self._spent_ns
        loaded = int(missing(self._tables, m, prompt, device, placed, placed + count))
        place(self._tables, m, device, count, victim)
        self._observe()
        if self.render_mode == "human":
            self.render()
        info = self._info(False) | {"loaded": loaded}
        reward = (before - self._spent_ns) / (self._unit * instance.n_prompts)
        return self._observation(), reward, not self.any_legal, False, info

    @property
    def _spent_ns(self) -> int:
        """Times from arrival to finish of all prompts done, and of the present one until its layers placed are done."""
        state, arrival = self._memory.state, self.instance.arrival_ns
        done = int(state[PROMPT])
        spent = sum((self._memory.finish_ns[:done] - arrival[:done]).tolist())
        under_way = done < len(arrival) and state[PLACED] > 0
        return int(spent + (state[FINISH] - arrival[done] if under_way else 0))

    def _parsed(self, action: int) -> tuple[int, int, int]:
        """Device, layers, and the model that leaves first or -1."""
        stage, victim = divmod(action, self.most_models + 1)
        device, count = divmod(stage, self.most_layers)
        return device, count + 1, victim - 1

    def _refuse_to_step(self, index: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """End the episode after an illegal action, with the return of the worst plan, or raise."""
        if self.invalid_action == "raise":
            raise InvalidAction(self._why_illegal(index))
        lost = self.instance.worst_latency_ns - self._spent_ns
        reward = -lost / (self._unit * max(1, self.instance.n_prompts))
        return self._observation(), reward, True, False, self._info(True) | {"loaded": 0}

    def _why_illegal(self, action: int) -> str:
        if not self.any_legal:
            return f"action is {action}; all prompts are done"
        t, state = self._tables, self._memory.state
        device, count, victim = self._parsed(action)
        prompt, about = int(state[PROMPT]), f"action is {action}, {count} layers on device {device + 1}"
        if device >= self.instance.n_devices:
            return f"{about}; there are {self.instance.n_devices} devices"
        if state[USED] >> device & 1:
            return f"{about}; it has layers of this prompt already"
        left = int(t.n_layers[t.model[prompt]] - state[PLACED])
        if count > left:
            return f"{about}; there are only {left} left"
        if count > capacity(t, prompt, device):
            return f"{about}; they do not fit into its memory"
        if self._mask[device, count - 1, 0]:
            return f"{about}; of model {victim + 1} nothing has to leave, or can"
        return f"{about}; the rest would not fit into the other devices"

    def render(self) -> Any:
        """Render the episode so far: text for "ansi", an RGB array for "rgb_array", a window for "human"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode; pass one to gym.make, such as render_mode='ansi'.")
            return None
        from pl_env.cold_start_stream import rendering  # matplotlib is heavy, and few environments are drawn

        instance, plan = self.instance, self.plan
        about = f"{len(plan.finish_ns)} of {instance.n_prompts} prompts done, {plan.latency_ns / NS_PER_SECOND:.3f} s"
        if self.render_mode == "ansi":
            return f"{about}\n{rendering.text_memory(instance, self._memory)}\n{rendering.text_gantt(plan, instance)}"
        if self._viewer is None:
            self._viewer = rendering.Viewer(self.metadata["render_fps"] if self.render_mode == "human" else None)
        return self._viewer.draw(plan, instance, about)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    # ------------------------------------------------------------ a view for planners

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now, bool (K_max · L_max · (M + 1),); all True in the terminal state."""
        assert self.instance is not None
        return np.asarray(self._mask.reshape(-1), dtype=np.bool_)

    @property
    def any_legal(self) -> bool:
        """Whether the episode goes on."""
        return bool(self._memory.state[PROMPT] < self.instance.n_prompts)

    @property
    def reward_unit(self) -> float:
        """What a reward of 1 is in the unit of plans: T0 in seconds."""
        return self._unit / NS_PER_SECOND

    @property
    def instance(self) -> Instance:
        """The present episode's instance, as it was at the start; prompts that are to arrive are in it, too."""
        if self._instance is None:
            raise gymnasium.error.ResetNeeded("Cannot step, or ask for the episode, before calling env.reset()")
        return self._instance

    @property
    def memory(self) -> Memory:
        """What is in memory and how far the episode is, as the kernels take it; not to be changed."""
        assert self.instance is not None
        return self._memory

    @property
    def plan(self) -> Plan:
        """The stages so far."""
        return Plan.so_far(self.instance, self._memory, solver="environment")

    def remaining(self) -> Instance:
        """What is left of the episode as an instance of its own."""
        instance, m = self.instance, self._memory
        done, under_way = int(m.state[PROMPT]), self.any_legal and m.state[PLACED] > 0
        used = int(m.state[USED]) if under_way else 0
        return Instance(
            instance.load_ns,
            instance.n_layers,
            instance.weight_bytes,
            instance.memory_bytes,
            instance.compute_ns[done:],
            instance.transfer_ns[done:],
            instance.activation_bytes[done:],
            instance.model[done:],
            instance.arrival_ns[done:],
            used_at=m.used_at,
            stamp=int(m.state[STAMP]) + done,
            start_ns=int(m.state[START if self.any_legal else FINISH]),
            placed=int(m.state[PLACED]) if under_way else 0,
            previous=int(m.state[LAST]) if under_way else -1,
            ready_ns=int(m.state[FINISH]) if under_way else 0,
            used=(used >> np.arange(instance.n_devices) & 1).astype(np.bool_),
        )
