"""Goodput of rules and planners: the tables of docs/online.md, as Markdown: ``python -m experiments.online.levels``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import tyro

import baselines
from baselines.evaluation import Evaluation
from baselines.online.bounds import upper_bound
from baselines.online.relaxation import lagrangean_bound
from baselines.trials import Trials
from pl_env.command_line import exit_code
from pl_env.online.instance import Instance
from pl_env.online.scenario import Scenario
from pl_env.times import NS_PER_SECOND

RULES = (
    *("random-model", "max-overlap", "fifo", "clockwork", "largest-queue", "greedy", "edf", "urgent-greedy"),
    "replan",
)

LOADS: dict[str, dict[str, Any]] = {
    "80/s": {"arrival_rate": 80.0},
    "120/s": {},
    "160/s": {"arrival_rate": 160.0},
    "120/s `lru`": {"eviction": "lru"},
    "120/s `previous`": {"eviction": "previous"},
}

ELSEWHERE: dict[str, dict[str, Any]] = {
    "M = 150 MB": {"cache_bytes": 150_000_000},
    "M = 500 MB": {"cache_bytes": 500_000_000},
    "M = 800 MB": {"cache_bytes": 800_000_000},
    "Zipf 0": {"request_skew": 0.0},
    "Zipf 1.4": {"request_skew": 1.4},
    "poisson": {"arrivals": "poisson"},
    "diurnal": {"arrivals": "diurnal"},
    "drift 8/s": {"drift": 8.0},
    "20 MHz": {"bandwidth_hz": 20e6},
    "20 MHz, uploads on arrival": {"bandwidth_hz": 20e6, "upload": "on-arrival"},
    "loads while users upload": {"overlap": "upload"},
}

ROOM: dict[str, dict[str, Any]] = {
    "bursty, 120/s, 8 s": {"episode_seconds": 8.0},
    "poisson, 160/s, 3 s": {"arrivals": "poisson", "arrival_rate": 160.0, "episode_seconds": 3.0},
}


def _evaluated(policies: tuple[str, ...], fields: Mapping[str, Any], loss: float | None, episodes: int) -> Evaluation:
    scenario = Scenario(**fields) if loss is None else Scenario(**fields, link_loss_db=loss)
    return baselines.evaluate({name: name for name in policies}, scenario, episodes=episodes)


def _shown(result: Evaluation, name: str) -> str:
    mean, low, high = result[name].mean, result[name].low, result[name].high
    return f"{mean:.3f} ± {(high - low) / 2:.3f}"


def _print_bound(loss: float | None, episodes: int) -> None:
    """What `upper_bound` is at the preset, and how much of the time uploads and compute take in full batches."""
    scenario = Scenario() if loss is None else Scenario(link_loss_db=loss)
    trials = Trials.of(scenario, episodes)
    bounds, shares = np.zeros(episodes), np.zeros(episodes)
    for n in range(episodes):
        instance: Instance = trials.episode(n).instance  # type: ignore[assignment]
        table, model = instance.table, instance.requested_model
        shared = table.compute_ns_per_batch[model] / table.max_batch[model]
        work = instance.upload_ns + table.compute_ns_per_sample[model] + shared
        in_time = work < instance.deadline_ns - instance.arrival_ns
        bounds[n] = upper_bound(instance) / instance.n_users
        shares[n] = work[in_time].sum() / NS_PER_SECOND / scenario.episode_seconds
    print(f"\n{episodes} episodes: upper bound {bounds.mean():.4f}; work without loads {shares.mean():.3f} of the time")


def _bound(fields: Mapping[str, Any], loss: float | None, episodes: int) -> str:
    """The mean of `lagrangean_bound`, as a share of users."""
    trials = Trials.of(Scenario(**fields) if loss is None else Scenario(**fields, link_loss_db=loss), episodes)
    instances: list[Any] = [trials.episode(n).instance for n in range(episodes)]
    return f"{np.mean([lagrangean_bound(instance) / instance.n_users for instance in instances]):.3f}"


def levels(
    link_loss_db: Annotated[float | None, tyro.conf.arg(help="unless given the preset's")] = None,
    episodes: int = 100,
    episodes_elsewhere: int = 16,
    episodes_room: int = 6,
) -> None:
    """Print the tables.

    Args:
        link_loss_db: Loss of every link.
        episodes: Evaluation episodes of the first table, seed 0.
        episodes_elsewhere: Of the second.
        episodes_room: Of the third.
    """
    results = {title: _evaluated(RULES, fields, link_loss_db, episodes) for title, fields in LOADS.items()}
    print(f"{episodes} episodes, mean and half of the 95 % interval\n\n| policy | " + " | ".join(results) + " |")
    print("|---" * (len(results) + 1) + "|")
    for name in RULES:
        print(f"| `{name}` | " + " | ".join(_shown(result, name) for result in results.values()) + " |")
    for title, result in results.items():
        mean, low, high = result.difference("replan", "urgent-greedy")
        print(f"\n{title}: `replan` above `urgent-greedy` by {mean:+.4f} ({low:+.4f} … {high:+.4f})", end="")
    if episodes_elsewhere:
        print(f"\n\n{episodes_elsewhere} episodes\n\n| `demand`, 120/s | `urgent-greedy` | `replan` |\n|---|---|---|")
        for title, fields in ELSEWHERE.items():
            result = _evaluated(("urgent-greedy", "replan"), fields, link_loss_db, episodes_elsewhere)
            print(f"| {title} | {_shown(result, 'urgent-greedy')} | {_shown(result, 'replan')} |", flush=True)
        _print_bound(link_loss_db, episodes_elsewhere)
    if episodes_room:
        names = ("urgent-greedy", "replan", "clairvoyant")
        print(
            f"\n{episodes_room} episodes\n\n| | "
            + " | ".join(f"`{name}`" for name in names)
            + " | bound |\n|---|---|---|---|---|"
        )
        for title, fields in ROOM.items():
            result = _evaluated(names, fields, link_loss_db, episodes_room)
            shown = [_shown(result, name) for name in names]
            print(
                f"| {title} | " + " | ".join([*shown, _bound(fields, link_loss_db, episodes_room)]) + " |", flush=True
            )


if __name__ == "__main__":
    raise SystemExit(exit_code(lambda: tyro.cli(levels)))
