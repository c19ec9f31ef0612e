"""The agents that come with the package beside the planners: ``make evaluate``.

    python -m experiments.partial_loading.agents.table

Every policy plays the same unseen episodes of the evaluation stream (`pl_env.seeds`). Intervals are 95 %, by the
bootstrap, paired by episode where two policies are compared. Writes table.md and table.json. The optima of general-hard
want OR-Tools (``pip install 'pl-env[exact]'``) and are kept in the user's cache folder.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro

import agents
import baselines
import pl_env
from baselines.optima import default_cache
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.files import write_atomically
from pl_env.ranges import require_integer, require_one_of
from pl_env.seeds import EVALUATION_STREAM

USERS, MODELS, THETAS = (20, 80, 200), (10, 50, 100), (0.5, 0.75, 0.95)
BANDWIDTHS = (20e6, 100e6, 400e6)
"""Each goes with a third of the other three, so that any three of the four come in all combinations."""

DEADLINES = {"bls": 0.7, "general": 0.35}
"""By the way of sharing, as in the presets; in 700 ms general sharing would leave few users unserved."""

ITERATIONS = 5_000
"""Of `local-search`, the reference where blocks are shared at arbitrary positions; `exact` would take hours."""

FAVOURITES = 8
"""Actions that rollouts try before a batch."""


class Cell(NamedTuple):
    """What unseen libraries are drawn from."""

    sharing: str
    users: int
    models: int
    theta: float
    bandwidth_hz: float

    @property
    def scenario(self) -> pl_env.Scenario:
        """The scenario."""
        return pl_env.Scenario(
            sharing=self.sharing,
            n_users=self.users,
            n_models=self.models,
            theta=self.theta,
            bandwidth_hz=self.bandwidth_hz,
            deadline=DEADLINES[self.sharing],
            resample_library=True,
        )


CELLS = [
    Cell(sharing, users, models, theta, BANDWIDTHS[(k + i + t) % 3])
    for sharing in DEADLINES
    for k, users in enumerate(USERS)
    for i, models in enumerate(MODELS)
    for t, theta in enumerate(THETAS)
]


@dataclass(frozen=True)
class Arguments:
    """Evaluate the agents that come with the package.

    Attributes:
        only: Agents to evaluate; all unless given.
        episodes: Episodes of each scenario; the cells of unseen libraries share them.
        seed: Seed of the episodes.
        samples: Schedules that the agent chooses from: sampled once, or tried and sampled before every batch.
        out: Output folder.
    """

    only: tuple[str, ...] = ("bls", "general-hard", "fading", "any-library")
    episodes: int = 1000
    seed: int = 0
    samples: int = 64
    out: Path = Path("runs/evaluation")

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, type(self).only)
        require_integer("episodes", self.episodes, 2)
        require_integer("samples", self.samples, 1)


def contestants(name: str, agent: agents.Agent, samples: int) -> dict[str, baselines.Policy | str]:
    """Who plays a scenario besides the agent."""
    policies: dict[str, baselines.Policy | str] = {"agent": agent}
    has_fast = f"partial_loading/{name}-fast" in agents.trained_agents()
    if name == "fading":
        policies["optimal-dp, today's draws (a)"] = baselines.Planner("optimal-dp")
        policies["mean rates, whole users (b)"] = baselines.Lookahead(1.0, fractional=False)
        policies["mean rates, parts of users (b)"] = baselines.Lookahead(1.0)
        policies["1.05 times the upload at mean rates"] = baselines.Lookahead()
        policies["the same, two steps"] = baselines.Lookahead(draws=8)
        policies |= {f"{name}-fast": agents.load(f"{name}-fast")} if has_fast else {}
        return policies | {"greedy": baselines.Planner("greedy")}
    policies |= searching("agent", agent, samples)
    if has_fast:
        fast = agents.load(f"{name}-fast")
        policies |= {f"{name}-fast": fast} | searching(f"{name}-fast", fast, samples)
    return policies | {"greedy": "greedy"}


def searching(name: str, agent: agents.Agent, samples: int) -> dict[str, baselines.Policy]:
    """The best of sampled schedules, and rollouts: with no sampled ones, and with so many schedules a batch."""
    return {
        f"{name}-{samples}": agents.BestOf(agent, samples),
        f"{name}, rollouts": agents.Rollout(agent, FAVOURITES),
        f"{name}, rollouts and samples": agents.Rollout(agent, FAVOURITES, max(0, samples - FAVOURITES)),
    }


def table(result: agents.Evaluation) -> str:
    """A Markdown table of one scenario."""
    rows = []
    for policy, of_policy in result.items():
        share = "–" if of_policy.gap is None else f"{100 * (1 - of_policy.gap):.2f} %"
        rows.append(
            {
                "policy": policy,
                "served ratio": f"{of_policy.mean:.4f}",
                "95 % interval": f"{of_policy.low:.4f} … {of_policy.high:.4f}",
                "middle half": f"{of_policy.interquartile_mean:.4f}",
                "of the optimum": share,
                "agent above, points": "–" if policy == "agent" else points(result.difference("agent", policy)),
                "ms a batch": f"{1e3 * of_policy.decision_seconds:.3f}",
            }
        )
    return markdown(rows)


def points(difference: tuple[float, float, float]) -> str:
    """A paired difference with its interval, in points of served ratio."""
    mean, low, high = (100 * value for value in difference)
    return f"{mean:+.2f} ({low:+.2f} … {high:+.2f})"


def evaluate_preset(name: str, arguments: Arguments) -> tuple[list[str], dict[str, object]]:
    """One preset: its table, and the numbers."""
    optimum = "exact" if name.startswith("general") else None
    result = agents.evaluate(
        contestants(name, agents.load(name), arguments.samples),
        name,
        episodes=arguments.episodes,
        seed=arguments.seed,
        optimum=optimum,
        cache=default_cache() if optimum else None,
        progress=True,
    )
    lines = [f"### {name}", "", table(result), ""]
    if optimum is not None:
        lines += [f"{100 * result['agent'].proven:.1f} % of the optima are proven; the others are the best found.", ""]
    return lines, dict(result.to_dict())


def evaluate_libraries(arguments: Arguments) -> tuple[list[str], dict[str, object]]:
    """Unseen libraries, of both ways of sharing, from few users and models to many."""
    players = _library_agents(arguments.samples)
    episodes = max(2, arguments.episodes // len(CELLS))
    rows = []
    numbers: dict[str, object] = {}
    bounds = []
    shares: dict[str, list[float]] = {name: [] for name in ("greedy", *players)}
    seconds: dict[str, list[float]] = {name: [] for name in shares}
    for cell in CELLS:
        best = "optimal-dp" if cell.sharing == "bls" else "local-search"
        options: dict[str, object] = {} if cell.sharing == "bls" else {"iterations": ITERATIONS}
        policies = {**players, "greedy": "greedy", "best": (best, options)}
        result = agents.evaluate(policies, cell.scenario, episodes=episodes, seed=arguments.seed)
        reference = result["best"].mean
        for name, of_policy in shares.items():
            of_policy.append(result[name].mean / reference)
            seconds[name].append(result[name].decision_seconds)
        if cell.sharing == "general":
            bounds.append(reference / _mean_bound(cell.scenario, episodes, arguments.seed))
        rows.append(
            {
                "sharing": cell.sharing,
                "users": f"{cell.users}",
                "models": f"{cell.models}",
                "theta": f"{cell.theta}",
                "MHz": f"{cell.bandwidth_hz / 1e6:.0f}",
                "best": f"{reference:.4f}",
                **{name: f"{100 * of_policy[-1]:.2f} %" for name, of_policy in shares.items()},
            }
        )
        numbers[" ".join(map(str, cell))] = result.to_dict()
        print("; ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    heading = f"### unseen libraries, {episodes} episodes a cell, each with a library of its own"
    said = [
        "Shares are of the best: `optimal-dp`, proven, for bottom layers, and `local-search` with",
        f"{ITERATIONS:,} iterations for any: {100 * np.mean(bounds):.1f} % of `upper_bound`.",
    ]
    return [heading, "", markdown(_in_all_cells(shares, seconds)), "", markdown(rows), "", *said, ""], numbers


def _library_agents(samples: int) -> dict[str, baselines.Policy]:
    """The agents for any library that come with the package, and searches with the fastest."""
    players: dict[str, baselines.Policy] = {agents.ANY_LIBRARY: agents.load(agents.ANY_LIBRARY)}
    name = f"{agents.ANY_LIBRARY}-fast"
    if f"partial_loading/{name}" in agents.trained_agents():
        fast = agents.load(name)
        players |= {name: fast} | searching(name, fast, samples)
    return players


def _in_all_cells(shares: dict[str, list[float]], seconds: dict[str, list[float]]) -> list[dict[str, str]]:
    """A row for each policy: means over the cells of each way of sharing, the worst cell, the time of a batch."""
    rows = []
    for name, of_policy in shares.items():
        kinds = np.array(of_policy).reshape(len(DEADLINES), -1)
        below = sum(share < of_greedy for share, of_greedy in zip(of_policy, shares["greedy"], strict=True))
        means = {kind: f"{100 * of_kind.mean():.2f} %" for kind, of_kind in zip(DEADLINES, kinds, strict=True)}
        lowest = {
            f"lowest, {kind}": f"{100 * of_kind.min():.2f} %" for kind, of_kind in zip(DEADLINES, kinds, strict=True)
        }
        every = f"{100 * kinds.mean():.2f} %"
        below_985 = int((kinds < 0.985).sum())
        rows.append(
            {"policy": name, "all cells": every, **means, **lowest, "cells below 98.5 %": f"{below_985}"}
            | {"cells below greedy": f"{below}", "ms a batch": f"{1e3 * np.mean(seconds[name]):.2f}"}
        )
    return rows


def _mean_bound(scenario: pl_env.Scenario, episodes: int, seed: int) -> float:
    """Mean upper bound of the served ratio, of the episodes that `agents.evaluate` plays."""
    rngs = [np.random.default_rng((EVALUATION_STREAM, seed, episode)) for episode in range(episodes)]
    instances = [scenario.sample(rng) for rng in rngs]
    return float(np.mean([baselines.upper_bound(instance) / instance.n_users for instance in instances]))


def main(arguments: Arguments) -> None:
    """Evaluate, print and write."""
    torch.set_num_threads(1)
    lines, numbers = [], {}
    for name in arguments.only:
        evaluated = evaluate_libraries(arguments) if name == agents.ANY_LIBRARY else evaluate_preset(name, arguments)
        lines += evaluated[0]
        numbers[name] = evaluated[1]
        write_atomically(arguments.out / "table.md", "\n".join(lines).encode())
        write_atomically(arguments.out / "table.json", (json.dumps(numbers, indent=2) + "\n").encode())
        print("\n".join(evaluated[0]), flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
