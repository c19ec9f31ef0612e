"""The Gymnasium environment in which the agent chooses how much of the model to keep."""

from __future__ import annotations

from typing import Any, SupportsFloat

import numpy as np
from gymnasium import spaces

from pl_env.arguments import action_index
from pl_env.co_inference import stepping
from pl_env.co_inference.battery_env import LAST_TASK, BatteryEnv, Observation
from pl_env.co_inference.scenario import Scenario
from pl_env.errors import InvalidAction


class CoInferenceEnv(BatteryEnv):
    """Choose how far to prune a model for each of a stream of tasks, and make the battery last.

    ## Description
    A device and a server run a model together: the device its first blocks, the server the rest; the embedding between
    them crosses a radio link. The model is pruned first: the smaller the fraction of the weights that is kept, the less
    time and energy a task takes, and the worse its result. Tasks come one after another. Each has a deadline and a
    weight; the link's quality is seen before deciding. The agent skips a task, or serves it at one of K kept fractions,
    for which split, transmit power and clock frequencies are those of least energy, found by convex optimisation.
    Energy comes from a battery, which the sun charges at times. The static problem is that of Lyu et al., "The Larger
    the Merrier?" (arXiv 2505.09214); the stream and the battery are ours.

    ## Action Space
    `Discrete(1 + K)`: 0 skips, k serves at level k - 1. By default `Discrete(12)`, kept fractions .5, .55, ... 1.
    Skipping is always legal; a level is when the battery holds its energy: `info["action_mask"]` (int8, what
    `space.sample(mask=...)` takes) and `action_masks()` (bool, what sb3-contrib calls) say which are.

    ## Observation Space
    A `Dict` of float32 arrays in [0, 1], clipped.

    | Key          | Shape | Meaning                                                                  |
    |--------------|-------|--------------------------------------------------------------------------|
    | `battery`    | (1,)  | joules in the battery, as a fraction of its capacity                     |
    | `tasks_left` | (1,)  | tasks left, this one included, as a fraction of N                        |
    | `link`       | (3,)  | state of the link, one-hot: good, middling, bad                          |
    | `sun`        | (2,)  | one-hot: off, on; on charges the battery after this task                 |
    | `deadline`   | (1,)  | deadline, from the shortest there is (0) to the longest (1)              |
    | `gain`       | (1,)  | channel power gain with fading, from -150 dB (0) to -100 dB (1)          |
    | `weight`     | (1,)  | weight of the task, as a fraction of the largest                         |
    | `energy`     | (K,)  | energy of each level as a fraction of the battery's capacity             |

    After the last task everything but `battery` is 0.

    ## Rewards
    weight · Q(r) / (N E[weight]), where Q(r) = r (1 - ln r) is the quality of kept fraction r; 0 for a skipped task.
    The undiscounted return is the mean weighted quality.

    ## Starting State
    The battery as the scenario says; the first task. Link and sun start stationary. Tasks are drawn from the
    `Scenario`, or taken from an `Instance`: `reset(options={"instance": instance})`.

    ## Episode End
    Terminated after the last task; the mask of that state is all ones. Never truncated. An illegal action ends the
    episode with reward 0 and `info["invalid_action"] = True`, or raises `InvalidAction`, as `invalid_action` says. An
    action outside the space raises it always.

    ## Information
    `action_mask`; `invalid_action`; `served` and `quality`, tasks and sum of Q(r) so far; `battery_joules`; and, after
    a step, what the task took: `split`, -1 if it was skipped, `kept_fraction`, `power_watts`, `device_hertz`,
    `server_hertz`, `device_seconds`, `radio_seconds`, `server_seconds`, `energy_joules`, and `wasted_joules`, which
    the full battery could not take.

    ## Arguments
    - `scenario`: the name of a preset ("default", "budget", "tiny") or a `Scenario`.
    - `invalid_action`: "terminate" or "raise".
    - `render_mode`: "ansi", "rgb_array" or "human".
    - any field of `Scenario`, in place of the scenario's own.

    >>> import gymnasium as gym, pl_env
    >>> env = gym.make("CoInference-v0", scenario="budget", n_tasks=12)
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space
    Discrete(12)
    >>> observation["energy"].shape
    (11,)
    >>> _ = env.action_space.seed(0)
    >>> action = env.action_space.sample(mask=info["action_mask"])
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> terminated, info["battery_joules"] == 6 - info["energy_joules"]
    (False, True)
    >>> pl_env.co_inference.check(env.unwrapped.plan, env.unwrapped.instance)

    ## Version History
    * v0: first version.
    """

    def __init__(self, scenario: str | Scenario = "default", **arguments: Any) -> None:
        super().__init__(scenario, **arguments)
        self.action_space = spaces.Discrete(1 + self.scenario.n_levels)

    def step(self, action: np.int64) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Decide on the present task.

        Args:
            action: An integer of the action space.

        Returns:
            Observation, reward, terminated, truncated (False), and the info dict.

        Raises:
            InvalidAction: The action is not of the action space, or is illegal and ``invalid_action`` is "raise".
        """
        index = action_index(action, 1 + self.scenario.n_levels)
        if stepping.decide(self._now, index):
            return self._stepped()
        if self.invalid_action == "raise":
            raise InvalidAction(self._why_illegal(index))
        info = self._info(True) | dict.fromkeys(LAST_TASK, 0.0) | {"split": -1, "wasted_joules": 0.0}
        return self._observed(), 0.0, True, False, info

    def _why_illegal(self, action: int) -> str:
        if not self.any_legal:
            return f"action is {action}; all tasks have been decided on"
        about, cost = f"action is {action}, level {action - 1} for task {self.task}", float(self.costs[action - 1])
        if np.isinf(cost):
            return f"{about}; its deadline is too short"
        return f"{about}; it takes {cost:.6g} J, the battery holds {self.battery_j:.6g} J"
