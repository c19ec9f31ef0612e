"""How much room streams leave to who plans ahead: ``python -m experiments.cold_start_stream.calibration``.

For each setting, on episodes of the validation stream: mean latency of the myopic planner, and that of other planners
and of the lower bound as multiples of it, the mean of the ratios over episodes. `rollout-search` knows all arrivals,
so what it gains is what there is to be gained with foresight, or more.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro

from baselines.cold_start_stream.bounds import lower_bound
from baselines.registry import solve
from experiments.tables import markdown
from pl_env import cold_start
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.command_line import exit_code
from pl_env.ranges import require_integer, require_one_of
from pl_env.seeds import VALIDATION_STREAM

_COLD_START = cold_start.Scenario(n_devices=(4, 6), memory_factor=(1.1, 1.6))

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "devices and prompts as the cold start's": {"site": _COLD_START, "prompt_tokens": (128, 8192)},
    "spacing 3": {"spacing": 3.0},
    "skew 2": {"skew": 2.0},
    "six models": {"models": ("qwen3-14b", *("llama3-8b",) * 5)},
    "memory for all": {"site": Scenario().site.override(memory_factor=(4.0, 4.5))},
}
"""By what a row says: the fields that differ from the preset."""

PLANNERS = ("rollout-search", "cold-plans", "fixed-shares")


@dataclass(frozen=True)
class Arguments:
    """Measure the room.

    Attributes:
        only: Settings; all unless given.
        episodes: Episodes of each.
    """

    only: tuple[str, ...] = tuple(SETTINGS)
    episodes: int = 20

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, tuple(SETTINGS))
        require_integer("episodes", self.episodes, 2)


def row(name: str, episodes: int) -> dict[str, str]:
    """A row of the table."""
    scenario = Scenario.preset("default", **SETTINGS[name])
    instances = [scenario.sample(np.random.default_rng((VALIDATION_STREAM, 0, n))) for n in range(episodes)]
    myopic = np.array([solve(instance, "myopic").objective for instance in instances])
    cells = {"setting": name, "myopic (s)": f"{myopic.mean():.2f}"}
    for solver in PLANNERS:
        ratios = np.array([solve(instance, solver).objective for instance in instances]) / myopic
        cells[solver] = f"{ratios.mean():.3f} ± {1.96 * ratios.std(ddof=1) / np.sqrt(episodes):.3f}"
    bounds = np.array([lower_bound(instance) / 1e9 / instance.n_prompts for instance in instances])
    return cells | {"bound": f"{(bounds / myopic).mean():.3f}"}


def main(arguments: Arguments) -> None:
    """Measure and print."""
    print(markdown([row(name, arguments.episodes) for name in arguments.only]), flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
