"""Which environment plays a scenario."""

from __future__ import annotations

from typing import Any

from pl_env.co_inference.battery_env import BatteryEnv
from pl_env.co_inference.continuous_env import CoInferenceContinuousEnv
from pl_env.co_inference.env import CoInferenceEnv
from pl_env.co_inference.scenario import Scenario


def environment(scenario: str | Scenario = "default", **given: Any) -> BatteryEnv:
    """The environment of a scenario: `CoInferenceContinuousEnv` where any kept fraction will do, else `CoInferenceEnv`.

    Args:
        scenario: The name of a preset or a `Scenario`.
        **given: The environment's other arguments, and fields of the scenario.
    """
    fields = {name: value for name, value in given.items() if name not in ("invalid_action", "render_mode")}
    rest = {name: value for name, value in given.items() if name not in fields}
    chosen = Scenario.of(scenario, **fields)
    kind = CoInferenceContinuousEnv if chosen.continuous else CoInferenceEnv
    return kind(chosen, **rest)
