"""Learning curves of reinforcement alone over time: ``python -m experiments.partial_loading.agents.own_play``.

    python -m experiments.partial_loading.agents.own_play                             # both ways, three seeds
    python -m experiments.partial_loading.agents.own_play --only evolution --minutes 2 --seeds 0

Policy improvement by own play, and evolution strategies, each with the small compiled network from the greedy rule on,
in the default setting, on one core for so many minutes of training at most, or to the end of the recipe. After each
round the moving average of weights plays the same validation episodes by arg-max. Compiling is done before the clock
starts, and evaluations do not count. Finished runs are kept. Writes own_play.csv, own_play.png and own_play.md.
"""

from __future__ import annotations

import csv
import io
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

import agents
import baselines
from agents.evolution import EvolutionConfig
from agents.partial_loading.compiled.agent import CompiledAgent, play_greedily
from agents.partial_loading.compiled.improving import ImprovementConfig
from agents.partial_loading.compiled.training import CompiledTrainingConfig, train
from agents.partial_loading.recipes import COMPILED_RECIPES
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.figures import save_figure
from pl_env.files import write_atomically
from pl_env.ranges import require_integer, require_one_of, require_real
from pl_env.seeds import VALIDATION_STREAM

WAYS = {
    "own play": COMPILED_RECIPES["bls-fast"],
    "evolution": CompiledTrainingConfig(
        improvement=ImprovementConfig(rounds=0), evolution=EvolutionConfig(rounds=100, noise=0.05, learning_rate=0.02)
    ),
}
"""What is trained, by name."""

_COLUMNS = ("way", "seed", "round", "states", "seconds", "share")


@dataclass(frozen=True)
class Arguments:
    """Draw learning curves of reinforcement alone.

    Attributes:
        only: Ways to run; both unless given. What was run before is drawn too.
        seeds: Seeds of the trainings.
        minutes: Of training, at most, for each.
        episodes: Validation episodes of an evaluation.
        out: Output folder.
    """

    only: tuple[str, ...] = tuple(WAYS)
    seeds: tuple[int, ...] = (0, 1, 2)
    minutes: float = 10.0
    episodes: int = 300
    out: Path = Path("runs/own-play")

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, WAYS)
        require_real("minutes", self.minutes, 0, above=True)
        require_integer("episodes", self.episodes, 2)


class _TimeIsUp(Exception):
    """Ends a training."""


def run(way: str, seed: int, arguments: Arguments) -> list[dict[str, object]]:
    """One training: the points of its curve."""
    family = agents.Family.named("bls")
    instances = family.sample(np.random.default_rng((VALIDATION_STREAM, 0)), arguments.episodes)
    optimum = np.mean([baselines.solve(instance, "optimal-dp").served_ratio for instance in instances])
    config = replace(WAYS[way], seed=seed, threads=1)
    points: list[dict[str, object]] = []
    clock = {"start": 0.0}

    def watch(agent: CompiledAgent, states: float) -> None:
        now = time.perf_counter()
        seconds = now - clock["start"]
        share = float(play_greedily(agent, instances).mean() / optimum)
        done = agent.trained_on["rounds"]
        points.append({"way": way, "seed": seed, "round": done, "states": states, "seconds": seconds, "share": share})
        if seconds > 60 * arguments.minutes:
            raise _TimeIsUp
        clock["start"] += time.perf_counter() - now

    folder = arguments.out / "trainings" / f"{way}-{seed}".replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    _compile(family, config, folder)
    clock["start"] = time.perf_counter()
    with suppress(_TimeIsUp):
        train(family, config, folder, progress=False, watch=watch)
    return points


def _compile(family: agents.Family, config: CompiledTrainingConfig, folder: Path) -> None:
    """A training of a moment, for the compiler."""
    small = replace(
        config,
        improvement=replace(config.improvement, rounds=min(1, config.improvement.rounds), updates=1, episodes=2),
        evolution=replace(config.evolution, rounds=min(1, config.evolution.rounds), generations=1, pairs=1, episodes=1),
    )
    train(family, small, folder, progress=False)
    shutil.rmtree(folder)


def finished(file: Path) -> list[dict[str, str]]:
    """The points that are there."""
    return list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []


def curves(points: list[dict[str, str]], way: str) -> list[tuple[list[float], list[float]]]:
    """Minutes and per cent of the optimum, for each seed."""
    seeds = sorted({point["seed"] for point in points if point["way"] == way})
    found = []
    for seed in seeds:
        of = [point for point in points if point["way"] == way and point["seed"] == seed]
        found.append(([float(p["seconds"]) / 60 for p in of], [100 * float(p["share"]) for p in of]))
    return found


def draw(points: list[dict[str, str]]) -> Figure:
    """A line for each seed."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for way, colour in zip(WAYS, ("#4477aa", "#ee6677"), strict=True):
        for n, (minutes, shares) in enumerate(curves(points, way)):
            axes.plot(minutes, shares, color=colour, alpha=0.8, label=way if n == 0 else None)
    axes.set_ylim(95, 100)
    axes.grid(alpha=0.3)
    axes.set_xlabel("minutes of training, one core")
    axes.set_ylabel("% of the optimum, validation episodes, arg-max")
    axes.legend(loc="lower right")
    return figure


def table(points: list[dict[str, str]]) -> str:
    """Where each seed stands after some minutes, and at its end, as Markdown."""
    rows = []
    for way in WAYS:
        for seed, (minutes, shares) in enumerate(curves(points, way)):
            at = {f"{m:g} min": f"{np.interp(m, minutes, shares):.2f} %" if m <= minutes[-1] else "–" for m in (1, 3)}
            rows.append(
                {"way": way, "run": f"{seed}", **at, "at the end": f"{shares[-1]:.2f} %, {minutes[-1]:.1f} min"}
            )
    return markdown(rows) + "\n"


def main(arguments: Arguments) -> None:
    """Run what is not there yet; draw what is."""
    file = arguments.out / "own_play.csv"
    for way in arguments.only:
        for seed in arguments.seeds:
            points = finished(file)
            if any(point["way"] == way and point["seed"] == str(seed) for point in points):
                continue
            found = run(way, seed, arguments)
            stream = io.StringIO()
            writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows([*finished(file), *found])  # another process may have added some meanwhile
            write_atomically(file, stream.getvalue().encode())
            points = finished(file)
            save_figure(draw(points), arguments.out / "own_play.png")
            write_atomically(arguments.out / "own_play.md", table(points).encode())
    print(table(finished(file)))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
