"""Evaluation on paired instances: every policy plays the very same episodes, channel draws included."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import baselines
from pl_env.errors import UnknownName
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.ranges import require, require_integer

EVALUATION_STREAM = 7
"""First entry of the seed of every evaluation episode, (EVALUATION_STREAM, seed, episode). Training environments are
seeded with plain integers, which NumPy never maps to the same stream: no agent sees an evaluation episode."""

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class PolicyResult:
    """How one policy did.

    Attributes:
        served_ratio: float64 (episodes,), served users / K of each episode.
        optimum: float64 (episodes,), the optimum of each episode, or None where no solver proves one.
        decision_seconds: Mean wall-clock seconds of one decision (one batch), planning included.
    """

    served_ratio: NDArray[np.float64]
    optimum: NDArray[np.float64] | None
    decision_seconds: float

    @property
    def mean(self) -> float:
        """Mean served ratio."""
        return float(self.served_ratio.mean())

    @property
    def half_width(self) -> float:
        """Half width of the 95 % confidence interval of the mean (normal approximation)."""
        if len(self.served_ratio) < 2:
            return float("nan")
        return float(_NORMAL_95 * self.served_ratio.std(ddof=1) / np.sqrt(len(self.served_ratio)))

    @property
    def low(self) -> float:
        """Lower end of the 95 % confidence interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the 95 % confidence interval."""
        return self.mean + self.half_width

    @property
    def gap(self) -> float | None:
        """Share of the optimum that is missed, 1 - mean / mean optimum; None where no optimum is known."""
        if self.optimum is None or self.optimum.mean() == 0:
            return None
        return float(1 - self.served_ratio.mean() / self.optimum.mean())

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON types."""
        return {
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "gap": self.gap,
            "decision_seconds": self.decision_seconds,
            "episodes": len(self.served_ratio),
        }


class Evaluation(Mapping[str, PolicyResult]):
    """Results by the policies' names; prints as a table."""

    def __init__(self, results: dict[str, PolicyResult]) -> None:
        self._results = results

    def __getitem__(self, name: str) -> PolicyResult:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def to_dict(self) -> dict[str, Any]:
        """The summaries as JSON types."""
        return {name: result.to_dict() for name, result in self.items()}

    def __str__(self) -> str:
        table = Table("policy", "served ratio", "95 % interval", "gap to optimum", "decision (ms)")
        for column in table.columns[1:]:
            column.justify = "right"
        for name, result in self.items():
            gap = "–" if result.gap is None else f"{100 * result.gap:.2f} %"
            interval = f"{result.low:.4f} … {result.high:.4f}"
            table.add_row(name, f"{result.mean:.4f}", interval, gap, f"{1e3 * result.decision_seconds:.3f}")
        stream = io.StringIO()
        Console(file=stream, width=100).print(table)
        return stream.getvalue().rstrip()


def evaluate(
    policies: Mapping[str, baselines.Policy | str],
    scenario: Scenario | str,
    *,
    episodes: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Let policies play the same episodes.

    Args:
        policies: By the name to report. A policy; the name of a solver, whose schedule for the whole episode counts
            (where channels are drawn anew it is followed by a `baselines.Planner`, planning again each time); or
            "random".
        scenario: A scenario or the name of a preset.
        episodes: Number of episodes.
        seed: Seed of the episodes; the same seed gives the same episodes to everybody.
        progress: Show a progress bar.

    Raises:
        UnknownName: There is no such solver or preset.
        InvalidValue: An argument is out of range.
        UnsupportedInstance: A solver does not cover the scenario.
    """
    if isinstance(scenario, str):
        scenario = Scenario.preset(scenario)
    require_integer("episodes", episodes, 1)
    require_integer("seed", seed, 0)
    players = {name: _player(policy, scenario, seed) for name, policy in policies.items()}
    require(len(players) > 0, "policies", dict(policies), "at least one policy")
    env = PartialLoadingEnv(scenario)
    for play in players.values():  # once without the clock: kernels compile at their first call
        play(env, _sample(scenario, seed, 0), 0)
    ratios = {name: np.zeros(episodes) for name in players}
    seconds = dict.fromkeys(players, 0.0)
    decisions = dict.fromkeys(players, 0)
    optimum = np.zeros(episodes) if _optimum_is_known(_sample(scenario, seed, 0)) else None
    for episode in tqdm(range(episodes), desc="evaluating", unit="episode", disable=not progress):
        instance = _sample(scenario, seed, episode)
        if optimum is not None:
            optimum[episode] = baselines.solve(instance, "optimal-dp").served_ratio
        for name, play in players.items():
            schedule, elapsed = play(env, instance, _channel_seed(seed, episode))
            ratios[name][episode] = schedule.served_ratio
            seconds[name] += elapsed
            decisions[name] += len(schedule)
    return Evaluation(
        {name: PolicyResult(ratios[name], optimum, seconds[name] / max(1, decisions[name])) for name in players}
    )


def play_episode(
    policy: baselines.Policy | str, scenario: Scenario, *, seed: int = 0, episode: int = 0
) -> tuple[Schedule, Instance]:
    """One evaluation episode: what the policy made of it, and the instance.

    Args:
        policy: As in `evaluate`.
        scenario: The scenario.
        seed: Seed of the evaluation.
        episode: Number of the episode.
    """
    instance = _sample(scenario, seed, episode)
    play = _player(policy, scenario, seed)
    schedule, _ = play(PartialLoadingEnv(scenario), instance, _channel_seed(seed, episode))
    return schedule, instance


Player = Callable[[PartialLoadingEnv, Instance, int], tuple[Schedule, float]]
"""Plays an instance, with a seed for later channel draws; gives the schedule and the seconds spent deciding."""


def _player(policy: baselines.Policy | str, scenario: Scenario, seed: int) -> Player:
    if not isinstance(policy, str):
        return partial(_play, policy)
    if policy == "random":
        return partial(_play, baselines.RandomPolicy(np.random.default_rng((EVALUATION_STREAM, seed))))
    if policy not in baselines.solvers():
        raise UnknownName("solver", policy, ("random", *baselines.solvers()))
    return partial(_plan, policy) if scenario.fading == "episode" else partial(_play, baselines.Planner(policy))


def _plan(solver: str, env: PartialLoadingEnv, instance: Instance, channel_seed: int) -> tuple[Schedule, float]:
    """A solver's schedule for the whole episode."""
    start = time.perf_counter()
    schedule = baselines.solve(instance, solver)
    return schedule, time.perf_counter() - start


def _sample(scenario: Scenario, seed: int, episode: int) -> Instance:
    return scenario.sample(np.random.default_rng((EVALUATION_STREAM, seed, episode)))


def _channel_seed(seed: int, episode: int) -> int:
    """Seed of the environment's generator, which draws the later channels under ``fading="batch"``."""
    return int(np.random.SeedSequence((EVALUATION_STREAM, seed, episode)).generate_state(1)[0])


def _optimum_is_known(instance: Instance) -> bool:
    return instance.fading == "episode" and instance.table.clusters is not None


def _play(
    policy: baselines.Policy, env: PartialLoadingEnv, instance: Instance, channel_seed: int
) -> tuple[Schedule, float]:
    """A policy's episode in the environment."""
    observation, info = env.reset(seed=channel_seed, options={"instance": instance})
    seconds = 0.0
    terminated = not env.any_legal
    while not terminated:
        start = time.perf_counter()
        action = policy.act(observation, info, env)
        seconds += time.perf_counter() - start
        observation, _, terminated, _, info = env.step(np.int64(action))
    return env.schedule, seconds
