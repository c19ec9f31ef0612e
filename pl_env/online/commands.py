"""Commands of PartialLoadingOnline alone: ``python -m pl_env trace`` writes a trace to play and to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from pl_env.online.scenario import Scenario
from pl_env.online.trace import write_trace
from pl_env.ranges import require, require_integer


def trace(out: tyro.conf.Positional[Path], preset: str = "online", seconds: float | None = None, seed: int = 0) -> None:
    """Draw an episode and write it as a trace: arrival, model, deadline and upload of each user.

    Args:
        out: The CSV file; its folder is made where there is none.
        preset: Preset of the scenario: online, online-lru or tiny.
        seconds: Seconds in which users arrive; the preset's unless given.
        seed: Seed of the episode.
    """
    require_integer("seed", seed, 0)
    require(out.suffix == ".csv", "out", str(out), "a file that ends in .csv")
    scenario = Scenario.preset(preset)
    if seconds is not None:
        scenario = scenario.override(episode_seconds=seconds)
    instance = scenario.sample(np.random.default_rng(seed))
    write_trace(out, instance, scenario)
    print(f"written: {out}, {instance.n_users} users")


COMMANDS = (trace,)
