"""The environment in which the agent chooses fraction, power, frequency and split itself."""

from __future__ import annotations

from typing import Any, SupportsFloat

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from pl_env.co_inference import stepping
from pl_env.co_inference.battery_env import BatteryEnv, Observation
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.least_energy import MAX_DEVICE_HZ, MAX_POWER
from pl_env.co_inference.plan import LOWEST_HZ, Plan
from pl_env.co_inference.scenario import Scenario
from pl_env.errors import InvalidAction, shown
from pl_env.ranges import require


class CoInferenceContinuousEnv(BatteryEnv):
    """`CoInferenceEnv` with kept fraction, transmit power, clock frequency and split as continuous actions.

    ## Description
    As in `CoInferenceEnv`, but nothing is optimised for the agent except the server's frequency, which is as low as
    the deadline allows. Any fraction from the least level to 1 may be kept. The choice of least energy is among the
    actions, wherever its frequency and power are not below the lowest of the action space.

    ## Action Space
    `Box(-1, 1, (3 + S',))` for S' useful splits, by default `Box(-1, 1, (7,))`; a[3:] picks the split with the
    largest entry. a[0] < 0 skips the task, else the kept fraction is r_min + (1 - r_min) a[0]. The power is
    p_max 10^(1.5 (a[1] - 1)), the device's frequency f_max (.1 + .45 (a[2] + 1)); where the device runs the whole
    model, it is as fast as the deadline needs. The kept fraction falls to what deadline and battery allow; below r_min
    the task is skipped, at no cost. So no action of the space is illegal, and the info has no mask.

    ## Observation Space
    That of `CoInferenceEnv`: a `Dict` of float32 arrays in [0, 1]; `energy` holds the least energies of the levels.

    ## Rewards
    As in `CoInferenceEnv`.

    ## Starting State
    As in `CoInferenceEnv`.

    ## Episode End
    Terminated after the last task. Never truncated. An action outside the space raises `InvalidAction`.

    ## Arguments
    - `scenario`: the name of a preset ("continuous", "static") or a `Scenario` with `continuous=True`.
    - `invalid_action`: "terminate" or "raise": what a step after the last task does.
    - `render_mode`: "ansi", "rgb_array" or "human".
    - any field of `Scenario`, in place of the scenario's own.

    >>> import gymnasium as gym, numpy as np
    >>> env = gym.make("CoInferenceContinuous-v0")
    >>> observation, info = env.reset(seed=0)
    >>> env.action_space.shape
    (7,)
    >>> action = np.array([0.2, 1, 1, 1, -1, -1, -1], dtype=np.float32)  # full power and speed, the server does it all
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> terminated, info["served"], info["split"]
    (False, 1, 0)

    ## Version History
    * v0: first version.
    """

    _continuous = True

    def __init__(self, scenario: str | Scenario = "continuous", **arguments: Any) -> None:
        super().__init__(scenario, **arguments)
        self.action_space = spaces.Box(-1.0, 1.0, (3 + self.scenario.n_splits,))
        self._played: list[tuple[float, ...]] = []

    def _require_fits(self, instance: Instance) -> None:
        super()._require_fits(instance)
        ours, theirs = self.scenario.n_splits, len(instance.useful_splits)
        require(ours == theirs, "len(instance.useful_splits)", theirs, f"{ours}, as in the scenario")

    def _begin(self) -> None:
        self._played = []

    def _info(self, invalid: bool) -> dict[str, Any]:
        info = super()._info(invalid)
        del info["action_mask"]
        return info

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]:
        """Decide on the present task.

        Args:
            action: float32 (3 + S',) in [-1, 1]; what lies outside by rounding is clipped.

        Returns:
            Observation, reward, terminated, truncated (False), and the info dict.

        Raises:
            InvalidAction: The action is not of the action space, or there is no task left and ``invalid_action`` is
                "raise".
        """
        point = self._point(action)
        fraction, power, hertz, *choice = point
        hardware, least = self._now.tables.hardware, float(self._now.tables.levels[0])
        went_on = stepping.decide_freely(
            self._now,
            int(np.argmax(choice)),
            least + (1 - least) * fraction if fraction >= 0 else 0.0,
            float(hardware[MAX_POWER]) * 10 ** (1.5 * (power - 1)),
            float(hardware[MAX_DEVICE_HZ]) * (LOWEST_HZ + 0.45 * (hertz + 1)),
        )
        if went_on:
            self._played.append(point)
            return self._stepped()
        if self.invalid_action == "raise":
            raise InvalidAction("action comes after the last task; all tasks have been decided on")
        return self._observed(), 0.0, True, False, self._info(True)

    def _point(self, action: object) -> tuple[float, ...]:
        """The action as numbers in [-1, 1]."""
        size = 3 + self.scenario.n_splits
        allowed = f"it must be {size} numbers from -1 to 1"
        try:
            point = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise InvalidAction(f"action is {shown(action)}; {allowed}") from None
        if point.shape != (size,) or not (np.abs(point) <= 1 + 1e-6).all():
            raise InvalidAction(f"action is {shown(action)}; {allowed}")
        return tuple(np.clip(point, -1.0, 1.0).tolist())

    @property
    def plan(self) -> Plan:
        """The decisions so far, and the actions that made them."""
        decisions = self._now.decisions
        return Plan.from_decisions(
            decisions[: self.task], len(decisions), solver="environment", played=tuple(self._played)
        )
