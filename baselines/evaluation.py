"""Evaluation on paired instances: every policy plays the very same episodes, channel draws included."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import baselines
from baselines.optima import optimum_of
from baselines.statistics import bootstrap_interval, interquartile_mean
from pl_env.errors import UnknownName
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.ranges import require, require_integer
from pl_env.seeds import EVALUATION_STREAM, RANDOM_POLICY_STREAM, small_seed


@dataclass(frozen=True)
class PolicyResult:
    """How one policy did.

    Attributes:
        served_ratio: float64 (episodes,), served users / K of each episode.
        optimum: float64 (episodes,), the optimum of each episode, or None where no solver proves one.
        proven: Share of the episodes whose optimum is proven; the others count with the best schedule found.
        decision_seconds: Mean wall-clock seconds of one decision (one batch), planning included.
    """

    served_ratio: NDArray[np.float64]
    optimum: NDArray[np.float64] | None
    decision_seconds: float
    proven: float = 1.0

    @property
    def mean(self) -> float:
        """Mean served ratio."""
        return float(self.served_ratio.mean())

    @property
    def interquartile_mean(self) -> float:
        """Mean served ratio of the middle half of the episodes."""
        return interquartile_mean(self.served_ratio)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean, by the bootstrap over episodes."""
        return bootstrap_interval(self.served_ratio)

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.interval[1]

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
            "interquartile_mean": self.interquartile_mean,
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

    def difference(self, name: str, other: str) -> tuple[float, float, float]:
        """Mean difference of two policies' served ratios and its 95 % interval, paired by episode: mean, low, high."""
        paired = self[name].served_ratio - self[other].served_ratio
        return float(paired.mean()), *bootstrap_interval(paired)

    def to_dict(self) -> dict[str, Any]:
        """The summaries as JSON types."""
        return {name: result.to_dict() for name, result in self.items()}

    def __str__(self) -> str:
        table = Table("policy", "served ratio", "95 % interval", "middle half", "gap to optimum", "decision (ms)")
        for column in table.columns[1:]:
            column.justify = "right"
        for name, result in self.items():
            gap = "–" if result.gap is None else f"{100 * result.gap:.2f} %"
            interval = f"{result.low:.4f} … {result.high:.4f}"
            middle, decision = f"{result.interquartile_mean:.4f}", f"{1e3 * result.decision_seconds:.3f}"
            table.add_row(name, f"{result.mean:.4f}", interval, middle, gap, decision)
        stream = io.StringIO()
        Console(file=stream, width=100).print(table)
        return stream.getvalue().rstrip()


def evaluate(
    policies: Mapping[str, baselines.Policy | str],
    scenario: Scenario | str,
    *,
    episodes: int = 1000,
    seed: int = 0,
    optimum: str | None = None,
    cache: Path | None = None,
    stream: int = EVALUATION_STREAM,
    progress: bool = False,
) -> Evaluation:
    """Let policies play the same episodes. Every policy is shown the mask, and plays legal actions only.

    Args:
        policies: By the name to report. A policy; the name of a solver, whose schedule for the whole episode counts
            (where channels are drawn anew it is followed by a `baselines.Planner`, planning again each time); or
            "random".
        scenario: A scenario or the name of a preset.
        episodes: Number of episodes.
        seed: Seed of the episodes; the same seed gives the same episodes to everybody.
        optimum: Solver of the optima that gaps refer to; if None, `optimal-dp` where it is exact, else no gap is
            reported. Instances that it does not prove count with the best that it found.
        cache: Folder to keep optima in, such as `baselines.optima.default_cache()`; None for none.
        stream: First entry of the episodes' seeds, see `pl_env.seeds`.
        progress: Show a progress bar.

    Raises:
        UnknownName: There is no such solver or preset.
        InvalidValue: An argument is out of range.
        InvalidAction: A policy takes an action that is not legal.
        UnsupportedInstance: A solver does not cover the scenario.
    """
    if isinstance(scenario, str):
        scenario = Scenario.preset(scenario)
    require_integer("episodes", episodes, 1)
    require_integer("seed", seed, 0)
    require_integer("stream", stream, 0)
    known = optimum is None or scenario.fading == "episode"
    require(known, "optimum", optimum, "None where channels are drawn anew, as no optimum is known")
    players = {name: _player(policy, scenario, seed) for name, policy in policies.items()}
    require(len(players) > 0, "policies", dict(policies), "at least one policy")
    env = PartialLoadingEnv(scenario, invalid_action="raise")
    first = _sample(scenario, stream, seed, 0)
    for play in players.values():  # once without the clock: kernels compile at their first call
        play(env, first, 0)
    ratios = {name: np.zeros(episodes) for name in players}
    seconds = dict.fromkeys(players, 0.0)
    decisions = dict.fromkeys(players, 0)
    solver = optimum or ("optimal-dp" if _optimum_is_quick(first) else None)
    optima, n_proven = None if solver is None else np.zeros(episodes), 0
    for episode in tqdm(range(episodes), desc="evaluating", unit="episode", disable=not progress):
        instance = _sample(scenario, stream, seed, episode)
        if solver is not None and optima is not None:
            found = optimum_of(instance, solver, cache)
            optima[episode] = found.served / instance.n_users
            n_proven += found.served == found.upper_bound
        for name, play in players.items():
            schedule, elapsed = play(env, instance, small_seed(stream, seed, episode))
            ratios[name][episode] = schedule.served_ratio
            seconds[name] += elapsed
            decisions[name] += len(schedule)
    proven = n_proven / episodes
    return Evaluation(
        {name: PolicyResult(ratios[name], optima, seconds[name] / max(1, decisions[name]), proven) for name in players}
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
    instance = _sample(scenario, EVALUATION_STREAM, seed, episode)
    play = _player(policy, scenario, seed)
    env = PartialLoadingEnv(scenario, invalid_action="raise")
    schedule, _ = play(env, instance, small_seed(EVALUATION_STREAM, seed, episode))
    return schedule, instance


Player = Callable[[PartialLoadingEnv, Instance, int], tuple[Schedule, float]]
"""Plays an instance, with a seed for later channel draws; gives the schedule and the seconds spent deciding."""


def _player(policy: baselines.Policy | str, scenario: Scenario, seed: int) -> Player:
    if not isinstance(policy, str):
        return partial(_play, policy)
    if policy == "random":
        return partial(_play, baselines.RandomPolicy(np.random.default_rng((RANDOM_POLICY_STREAM, seed))))
    if policy not in baselines.solvers():
        raise UnknownName("solver", policy, ("random", *baselines.solvers()))
    return partial(_plan, policy) if scenario.fading == "episode" else partial(_play, baselines.Planner(policy))


def _plan(solver: str, env: PartialLoadingEnv, instance: Instance, channel_seed: int) -> tuple[Schedule, float]:
    """A solver's schedule for the whole episode."""
    start = time.perf_counter()
    schedule = baselines.solve(instance, solver)
    return schedule, time.perf_counter() - start


def _sample(scenario: Scenario, stream: int, seed: int, episode: int) -> Instance:
    return scenario.sample(np.random.default_rng((stream, seed, episode)))


def _optimum_is_quick(instance: Instance) -> bool:
    return instance.fading == "episode" and "optimal-dp" in baselines.solvers(instance)


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
