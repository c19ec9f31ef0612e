"""Planners and agents where channels are drawn anew: ``python -m experiments.partial_loading.agents.fading_planners``.

One step ahead with later uploads at several multiples of the upload time at the mean rate, and two steps ahead. All
play the same validation episodes with the same channels; differences are paired, intervals are 95 %, by the bootstrap.
`baselines.partial_loading.expected_uploads.LATER_SCALE` was chosen by this. Prints Markdown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

import agents
import pl_env
from agents.partial_loading.observing import loading_of, present_scores
from baselines.partial_loading.action_values import action_values
from baselines.partial_loading.expected_uploads import LATER_SCALE, later_upload_ns
from baselines.partial_loading.lookahead import sampled_values
from baselines.statistics import bootstrap_interval
from pl_env.command_line import exit_code
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require_integer
from pl_env.seeds import VALIDATION_STREAM

Values = Callable[[Episodes, NDArray[np.int64], np.random.Generator], NDArray[np.float32]]


@dataclass(frozen=True)
class Arguments:
    """Compare planners and agents under fading.

    Attributes:
        agents: Agents to play too, names or folders.
        episodes: Validation episodes.
        seed: Their seed, and that of all draws.
    """

    agents: tuple[str, ...] = ("fading",)
    episodes: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        require_integer("episodes", self.episodes, 2)
        require_integer("seed", self.seed, 0)


def one_step(episodes: Episodes, later_ns: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Values one step ahead."""
    return action_values(episodes, later_ns, fractional=True)


def two_steps(draws: int) -> Values:
    """Values two steps ahead."""
    return lambda episodes, later_ns, rng: sampled_values(episodes, rng, draws, later_ns=later_ns)


PLANNERS: dict[str, tuple[float, Values]] = {
    "one step, 1 × the mean rate's upload": (1.0, one_step),
    **{f"one step, {scale} ×": (scale, one_step) for scale in (0.9, 0.95, LATER_SCALE, 1.1)},
    "two steps, 1 ×, 8 draws": (1.0, two_steps(8)),
    **{f"two steps, {LATER_SCALE} ×, {draws} draws": (LATER_SCALE, two_steps(draws)) for draws in (8, 16)},
}
"""By what they are: the scale of later uploads, and how actions are valued. Others are compared to the first."""


def scores_of(name: str) -> Values:
    """An agent's scores, in place of values."""
    network = agents.load(name).network

    def scores(episodes: Episodes, later_ns: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
        rows = np.flatnonzero(episodes.running)
        found = np.full(episodes.arrays.mask.shape, -np.inf, dtype=np.float32)
        found[rows] = present_scores(network, episodes, loading_of(episodes), rows, later_ns)
        return found

    return scores


def play(
    scenario: pl_env.Scenario, instances: list[pl_env.Instance], scale: float, values: Values, seed: int
) -> NDArray[np.float64]:
    """Served ratio of each episode, float64 (N,)."""
    channels = np.random.default_rng((VALIDATION_STREAM, seed, 1))
    rng = np.random.default_rng((VALIDATION_STREAM, seed, 2))
    episodes = Episodes(instances, scenario.max_batch_size)
    later_ns = later_upload_ns(episodes, scale)
    while episodes.running.any():
        actions = values(episodes, later_ns, rng).argmax(axis=1)
        episodes.step(actions, channels.random(episodes.arrays.uniforms.shape))
    return np.asarray(episodes.served / episodes.n_users)


def main(arguments: Arguments) -> None:
    """Play, compare, print."""
    scenario = pl_env.Scenario.preset("fading")
    rng = np.random.default_rng((VALIDATION_STREAM, arguments.seed))
    instances = [scenario.sample(rng) for _ in range(arguments.episodes)]
    torch.set_num_threads(1)
    players = PLANNERS | {f"agent {name}": (LATER_SCALE, scores_of(name)) for name in arguments.agents}
    print("| policy | served ratio | more than the first, points | seconds |")
    print("|---|---|---|---|")
    first: NDArray[np.float64] | None = None
    for name, (scale, values) in players.items():
        start = time.perf_counter()
        served = play(scenario, instances, scale, values, arguments.seed)
        seconds = time.perf_counter() - start
        first = served if first is None else first
        low, high = bootstrap_interval(100 * (served - first))
        more = f"{100 * (served - first).mean():+.2f} ({low:+.2f} … {high:+.2f})"
        print(f"| {name} | {served.mean():.4f} | {more} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
