"""Evaluation on paired instances: every policy plays the very same episodes, channel draws included."""

from __future__ import annotations

import html
import inspect
import io
import json
import math
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import numba
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import pl_env
from baselines.optima import Optimum, optimum_of
from baselines.parallel import Workers, map_tasks
from baselines.playing import play, player_of, require_covered, solvers_of
from baselines.statistics import bootstrap_interval, interquartile_mean, relative_gap
from baselines.trials import Trials
from pl_env.errors import UnknownName, UnsupportedInstance, abbreviated
from pl_env.files import write_atomically
from pl_env.protocols import BenchmarkSet, Instance, Plan, Scenario
from pl_env.ranges import require
from pl_env.seeds import EVALUATION_STREAM
from pl_env.sources import stamp
from pl_env.systems import system_of

_COLUMNS = ("policy", "objective", "95 % interval", "middle half", "gap to optimum", "decision (ms)")


@dataclass(frozen=True)
class PolicyResult:
    """How one policy did.

    Attributes:
        objective: float64 (episodes,), what it attained in each episode, in the system's unit.
        optimum: float64 (episodes,), the optimum of each episode, or None where no solver proves one.
        decision_seconds: Mean wall-clock seconds of one decision, planning included.
        proven: Share of the episodes whose optimum is proven; the others count with the best plan found.
        sense: "max" where a larger objective is better, else "min".
        illegal: Number of episodes that ended with an illegal action; only a model that knows no masks may take one.
    """

    objective: NDArray[np.float64]
    optimum: NDArray[np.float64] | None
    decision_seconds: float
    proven: float = 1.0
    sense: str = "max"
    illegal: int = 0

    def __repr__(self) -> str:
        gap = "" if self.gap is None else f", gap {100 * self.gap:.2f} %"
        interval = f"{self.low:.4f} … {self.high:.4f}"
        return f"<PolicyResult: {self.mean:.4f} ({interval}) in {len(self.objective)} episodes{gap}>"

    @property
    def mean(self) -> float:
        """Mean objective."""
        return float(self.objective.mean())

    @property
    def interquartile_mean(self) -> float:
        """Mean objective of the middle half of the episodes."""
        return interquartile_mean(self.objective)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean, by the bootstrap over episodes."""
        return bootstrap_interval(self.objective)

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
        """Distance of the mean from the mean optimum, as a share of that; None where no optimum is known."""
        return None if self.optimum is None else relative_gap(self.objective, self.optimum, self.sense)

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON types."""
        summary = {
            "mean": self.mean,
            "interquartile_mean": self.interquartile_mean,
            "low": self.low,
            "high": self.high,
            "gap": self.gap,
            "decision_seconds": self.decision_seconds,
            "episodes": len(self.objective),
        }
        return {key: None if value is None or math.isnan(value) else value for key, value in summary.items()}


@dataclass(frozen=True, eq=False)
class Evaluation(Mapping[str, PolicyResult]):
    """Results by the policies' names; prints as a table.

    Attributes:
        results: They.
        of: What was evaluated, as JSON types: the episodes, the policies and the software.
    """

    results: dict[str, PolicyResult]
    of: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> PolicyResult:
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def difference(self, name: str, other: str) -> tuple[float, float, float]:
        """Mean difference of two policies' objectives and its 95 % interval, paired by episode: mean, low, high."""
        paired = self[name].objective - self[other].objective
        return float(paired.mean()), *bootstrap_interval(paired)

    def to_dict(self) -> dict[str, Any]:
        """The summaries as JSON types."""
        return {name: result.to_dict() for name, result in self.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a JSON file, whole or not at all: what was evaluated, summaries, every episode."""
        first = next(iter(self.values()))
        content = {
            "kind": "evaluation",
            **self.of,
            "sense": first.sense,
            "optimum": None if first.optimum is None else first.optimum.tolist(),
            "optima_proven": None if first.optimum is None else first.proven,
            "results": {
                name: result.to_dict() | {"illegal": result.illegal, "objective": result.objective.tolist()}
                for name, result in self.items()
            },
        }
        write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())

    def __repr__(self) -> str:
        means = ", ".join(f"{name} {result.mean:.4f}" for name, result in self.items())
        return abbreviated(f"<Evaluation of {len(next(iter(self.values())).objective)} episodes: {means}>", 200)

    def __str__(self) -> str:
        table = Table(*_COLUMNS)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in self._rows():
            table.add_row(*row)
        stream = io.StringIO()
        Console(file=stream, width=100).print(table)
        return "\n".join([stream.getvalue().rstrip(), *self._erred()])

    def _repr_html_(self) -> str:
        """The same table in a notebook."""
        head = "".join(f"<th>{html.escape(name)}</th>" for name in _COLUMNS)
        rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self._rows())
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        erred = "".join(f"<p>{html.escape(line)}</p>" for line in self._erred())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{erred}"

    def _rows(self) -> Iterator[tuple[str, ...]]:
        """The cells of the table, a row for each policy."""
        for name, result in self.items():
            gap = "–" if result.gap is None else f"{100 * result.gap:.2f} %"
            interval = f"{result.low:.4f} … {result.high:.4f}"
            middle, decision = f"{result.interquartile_mean:.4f}", f"{1e3 * result.decision_seconds:.3f}"
            yield name, f"{result.mean:.4f}", interval, middle, gap, decision

    def _erred(self) -> list[str]:
        """A sentence for each policy that took an illegal action."""
        return [
            f"{name}: {result.illegal} of {len(result.objective)} episodes ended with an illegal action"
            for name, result in self.items()
            if result.illegal
        ]


def evaluate(
    policies: Mapping[str, object],
    scenario: Scenario | BenchmarkSet | str,
    *,
    episodes: int | None = None,
    seed: int = 0,
    optimum: str | None = None,
    cache: Path | None = None,
    stream: int = EVALUATION_STREAM,
    progress: bool = False,
    workers: Workers = 1,
) -> Evaluation:
    """Let policies play the same episodes, of any system. Wrong arguments are refused before the first one.

    Args:
        policies: By the name to report. A `baselines.Policy`; the name of a solver, or a pair of the name and a dict
            of options, whose plan for the whole episode counts (where something is drawn anew in mid-episode it is
            followed by a `baselines.Planner`, planning again each time); a function of the observation and the info;
            a stable-baselines3 model, of which one that knows no masks may end an episode with an illegal action; or
            "random".
        scenario: A scenario, the name of a preset, or a benchmark set or its name, the instances of which are played.
        episodes: Number of episodes; unless given 1,000 of a scenario, all of a benchmark set.
        seed: Seed of the episodes; the same seed gives the same episodes to everybody.
        optimum: Solver of the optima that gaps refer to. If None they are a benchmark set's own, or those of the
            system's default solver where that proves them; else no gap is reported. Instances that are not proven
            count with the best plan found.
        cache: Folder to keep optima in, such as `baselines.optima.default_cache()`; None for none.
        stream: First entry of the episodes' seeds, see `pl_env.seeds`.
        progress: Show a progress bar.
        workers: Processes, 0 for one per core, or a Ray cluster, "ray" or "ray:ADDRESS"; see
            `baselines.parallel.Workers`. Each has copies of the policies, so with more than one a policy that draws
            random numbers from a generator of its own gives others. All else is the same but for the times.

    Raises:
        UnknownName: There is no such solver, preset or benchmark set.
        InvalidValue: An argument is out of range, or a policy is none.
        InvalidAction: A policy takes an action that is not legal.
        UnsupportedInstance: A solver does not cover the scenario.
    """
    trials = Trials.of(scenario, episodes, seed, stream)
    require(len(policies) > 0, "policies", dict(policies), "at least one policy")
    players = [player_of(policy, trials, f"policies[{name!r}]") for name, policy in policies.items()]
    best, proven = _optima(trials, optimum, cache, workers, progress)
    record = play(players, trials, workers=workers, progress=progress, title="evaluating")
    seconds, decisions = record.seconds.sum(axis=1), np.maximum(1, record.decisions.sum(axis=1))
    results = {
        name: PolicyResult(
            objective=record.objective[row],
            optimum=best,
            decision_seconds=float(seconds[row] / decisions[row]),
            proven=proven,
            sense=record.sense,
            illegal=int(record.illegal[row].sum()),
        )
        for row, name in enumerate(policies)
    }
    return Evaluation(results, _described(policies, trials))


def play_episode(
    policy: object, scenario: Scenario | BenchmarkSet | str, *, seed: int = 0, episode: int = 0
) -> tuple[Any, Any]:
    """One evaluation episode: what the policy made of it, and the instance.

    Args:
        policy: As in `evaluate`.
        scenario: As in `evaluate`.
        seed: Seed of the evaluation.
        episode: Number of the episode.

    Returns:
        The plan and the instance.
    """
    trials = Trials.of(scenario, seed=seed)
    played = trials.episode(episode)
    plan: Plan = player_of(policy, trials)(trials.environment(), played).plan
    return plan, played.instance


def _optima(
    trials: Trials, solver: str | None, cache: Path | None, workers: Workers, progress: bool
) -> tuple[NDArray[np.float64] | None, float]:
    """The optimum of each episode, or None, and the share of them that are proven."""
    if trials.benchmark is not None:
        require(solver is None, "optimum", solver, "None on a benchmark set, which has its own")
        best, proven = trials.benchmark.objective, trials.benchmark.is_optimal
        return best[: trials.count], float(proven[: trials.count].mean())
    redraws = trials.episode(0).instance.redraws
    require(solver is None or not redraws, "optimum", solver, "None where channels are drawn anew, as none is known")
    if solver is None:
        solver, workers = _quick_optimum(trials), 1
    if solver is None:
        return None, 0.0
    if solver not in solvers_of(trials):
        raise UnknownName("solver", solver, solvers_of(trials))
    find = _Find(trials, solver, cache)
    found = list(map_tasks(find, range(trials.count), workers=workers, progress=progress, title="optima"))
    return np.array([each.objective for each in found]), float(np.mean([each.proven for each in found]))


def _quick_optimum(trials: Trials) -> str | None:
    """The default solver of the trials' system, if it proves optima of such instances."""
    default = next(iter(solvers_of(trials).values()), None)
    if default is None or default.guarantee != "optimal" or trials.episode(0).instance.redraws:
        return None
    try:
        require_covered(trials, default.name, {})
    except UnsupportedInstance:
        return None
    return default.name


@dataclass(frozen=True)
class _Find:
    """Finds the optimum of the n-th of the trials; an object and no function, so that it can be pickled."""

    trials: Trials
    solver: str
    cache: Path | None

    def __call__(self, n: int) -> Optimum:
        instance: Instance = self.trials.episode(n).instance
        return optimum_of(instance, self.solver, self.cache)


def _name_of(policy: object) -> Any:
    """What a policy is, as JSON types: a solver, with its options, or where the function or class is defined."""
    if isinstance(policy, str):
        return policy
    if isinstance(policy, tuple):
        return {"solver": policy[0], "options": dict(policy[1])}
    definition: Any = policy if inspect.isroutine(policy) else type(policy)
    return f"{definition.__module__}:{definition.__qualname__}"


def _described(policies: Mapping[str, object], trials: Trials) -> dict[str, Any]:
    """What an evaluation can be repeated from, as JSON types."""
    return {
        "episodes": trials.to_dict(),
        "policies": {name: _name_of(policy) for name, policy in policies.items()},
        "versions": {
            "python": platform.python_version(),
            "pl_env": pl_env.__version__,
            "numpy": np.__version__,
            "numba": numba.__version__,
            "gymnasium": gymnasium.__version__,
            "sources": stamp(system_of(trials.scenario) or "", "baselines"),
        },
    }
