"""Where a round of imitation spends its time: ``python -m benchmarks.imitation [agent ...]``.

Plays and learns from a round's states with an agent that comes with the package, in one process on one core.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import agents
from agents.partial_loading.imitation import Imitation, LabelledStates
from agents.partial_loading.recipes import recipe
from agents.partial_loading.teachers import plays_for
from benchmarks.measuring import describe_machine, print_table

PARTS = {
    "play": ("_play_part",),
    "of it the network": ("masked_scores",),
    "of it labels": ("_exactly", "_by_search", "_by_sampling"),
    "learn": ("_update",),
    "of it backward": ("backward",),
    "of it the optimiser": ("step",),
}
"""Functions whose time counts, by part."""


def seconds_of(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """CPU seconds in the functions of each part, with what they call, and what the work gives."""
    profile = cProfile.Profile(time.process_time)  # other programs do not count
    result = profile.runcall(work)
    spent: dict[str, float] = {}
    for (file, _, function), (*_, seconds, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if "episodes.py" not in file:  # whose step is the environment's
            spent[function] = max(spent.get(function, 0.0), seconds)
    return {part: sum(spent.get(name, 0.0) for name in names) for part, names in PARTS.items()}, result


def measure(name: str) -> list[str]:
    """A line of the table."""
    config = recipe(name).imitation
    network = agents.load(name).network
    plays = plays_for(agents.Family.named(name), config)

    def play() -> LabelledStates:
        return LabelledStates.join(
            [part(network, config.rounds, np.random.default_rng((0, n))) for n, part in enumerate(plays)]
        )

    play()  # compiles
    of_play, states = seconds_of(play)
    stage = Imitation([], config, 0)
    stage.begin(network)
    rows = np.array_split(np.random.default_rng(0).permutation(len(states)), -(-len(states) // config.minibatch_size))
    of_learning, _ = seconds_of(lambda: [stage._update(states, some, 1e-4) for some in rows * config.epochs])
    seconds = [f"{of_play[part] + of_learning[part]:.2f}" for part in PARTS]
    return [name, f"{config.episodes}", f"{len(states):,}", f"{config.epochs}", *seconds]


def main(names: list[str]) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    describe_machine()
    rows = [measure(name) for name in names]
    print_table(["agent", "episodes", "states learnt from", "epochs", *(f"{part}, s" for part in PARTS)], rows)


if __name__ == "__main__":
    main(sys.argv[1:] or ["bls", "any-library", "general-hard"])
