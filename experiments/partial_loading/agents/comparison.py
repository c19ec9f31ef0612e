"""Algorithms side by side, with learning curves: ``python -m experiments.partial_loading.agents.comparison``.

    python -m experiments.partial_loading.agents.comparison                                   # all, three seeds
    python -m experiments.partial_loading.agents.comparison --only imitation --seeds 0 1 2 3 4
    tensorboard --logdir runs/comparison

Each run plays about as many states and is evaluated, by arg-max and with masks, on the same validation episodes.
Finished runs are kept, so that the command goes on after a kill. Writes curves.png, curves.md, TensorBoard logs and a
JSON file a run. Curves of algorithms that are trained elsewhere join in with ``--curves FILE.csv``, whose columns are
algorithm, seed, seconds, states and share; a line is a point of a curve, its share of the optimum from 0 to 1.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from torch.utils.tensorboard.writer import SummaryWriter

import agents
import baselines
from agents.partial_loading.decoding import play_greedily
from experiments.partial_loading.agents.masked_dqn import DQNConfig, train_dqn
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.errors import FileFormatError
from pl_env.figures import save_figure
from pl_env.files import write_atomically
from pl_env.ranges import require_integer, require_one_of
from pl_env.seeds import VALIDATION_STREAM

STATES = 180_000
"""States that each algorithm learns from, within a few thousand."""

FROM_SCRATCH = agents.FineTuningConfig(
    rounds=88, n_envs=32, rollout_steps=64, epochs=3, minibatch_size=256, learning_rate=1e-3, averaging=1.0
)
NO_IMITATION = agents.ImitationConfig(rounds=0)

ALGORITHMS: dict[str, agents.TrainingConfig | DQNConfig] = {
    "imitation": agents.TrainingConfig(imitation=agents.ImitationConfig(rounds=44)),
    "imitation, then MaskablePPO": agents.TrainingConfig(
        imitation=agents.ImitationConfig(rounds=31), fine_tuning=agents.FineTuningConfig(rounds=12)
    ),
    "MaskablePPO": agents.TrainingConfig(imitation=NO_IMITATION, fine_tuning=FROM_SCRATCH),
    "PPO without masks": agents.TrainingConfig(imitation=NO_IMITATION, fine_tuning=replace(FROM_SCRATCH, masks=False)),
    "masked DQN": DQNConfig(states=STATES),
}
"""The arguments of each."""

EVALUATIONS = 20
"""Points of a learning curve."""

Curve = list[dict[str, float]]
"""Points with ``states``, ``seconds`` of training and of the evaluations before, and ``share`` of the optimum."""


@dataclass(frozen=True)
class Arguments:
    """Compare algorithms.

    Attributes:
        scenario: What to train on, a preset with clustered sharing, one library, and channels that stay.
        only: Algorithms to run; all unless given. What was run before is drawn too.
        seeds: Seeds of the trainings.
        episodes: Validation episodes of an evaluation.
        out: Output folder.
        curves: CSV files of curves of other algorithms.
    """

    scenario: str = "bls"
    only: tuple[str, ...] = tuple(ALGORITHMS)
    seeds: tuple[int, ...] = (0, 1, 2)
    episodes: int = 500
    out: Path = Path("runs/comparison")
    curves: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, ALGORITHMS)
        require_one_of("scenario", self.scenario, ("bls", "tiny"))
        require_integer("episodes", self.episodes, 2)


class Judge:
    """Evaluates an agent every so many states and notes what it finds."""

    def __init__(self, family: agents.Family, episodes: int, every: float) -> None:
        self._instances = family.sample(np.random.default_rng((VALIDATION_STREAM, 0)), episodes)
        optimum = [baselines.solve(instance, "optimal-dp").served_ratio for instance in self._instances]
        self._optimum = float(np.mean(optimum))
        self._every, self._next, self._start = every, 0.0, time.perf_counter()
        self.points: Curve = []

    def __call__(self, agent: agents.Agent, states: float, last: bool = False) -> None:
        """Evaluate where it is time to, or at the last."""
        known = bool(self.points) and self.points[-1]["states"] == states
        if known or (states < self._next and not last):
            return
        self._next = states + self._every
        seconds = time.perf_counter() - self._start
        share = float(play_greedily(agent, self._instances).mean()) / self._optimum
        self.points.append({"states": states, "seconds": seconds, "share": share})


def run(name: str, seed: int, arguments: Arguments) -> None:
    """One training, unless its learning curve is there."""
    config = replace(ALGORITHMS[name], seed=seed)
    what = {
        "scenario": arguments.scenario,
        "episodes": arguments.episodes,
        "config": json.loads(json.dumps(asdict(config))),
    }
    file = arguments.out / f"{name}-{seed}.json".replace(" ", "-").replace(",", "")
    if file.exists() and json.loads(file.read_text())["of"] == what:
        return
    family = agents.Family.named(arguments.scenario)
    states = config.states if isinstance(config, DQNConfig) else STATES
    judge = Judge(family, arguments.episodes, states / EVALUATIONS)
    if isinstance(config, DQNConfig):
        judge(train_dqn(family, config, judge), config.states, last=True)
    else:
        folder = arguments.out / "trainings" / file.stem
        shutil.rmtree(folder, ignore_errors=True)  # half of a curve is no curve
        result = agents.train(family, config, folder, watch=judge)
        judge(result.agent, result.curve[-1]["states"], last=True)
    saved = {"name": name, "seed": seed, "of": what, "curve": judge.points}
    write_atomically(file, (json.dumps(saved, indent=2) + "\n").encode())
    log(judge.points, arguments.out / "tensorboard" / file.stem)


def log(curve: Curve, folder: Path) -> None:
    """Write a curve for TensorBoard."""
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        for point in curve:
            writer.add_scalar("share of the optimum", point["share"], int(point["states"]))


def finished(out: Path, others: Sequence[Path] = ()) -> dict[str, list[Curve]]:
    """The curves that are there, by algorithm, then those of other files."""
    saved = [json.loads(file.read_text()) for file in sorted(out.glob("*.json"))]
    of = {name: [each["curve"] for each in saved if each["name"] == name] for name in ALGORITHMS}
    found = {name: curves for name, curves in of.items() if curves}
    for file in others:
        found |= read_curves(file)
    return found


def read_curves(file: Path) -> dict[str, list[Curve]]:
    """Curves of a CSV file by algorithm, one for each seed.

    Raises:
        FileFormatError: A column is missing, or a number is none.
    """
    runs: dict[tuple[str, str], Curve] = {}
    try:
        with file.open(newline="") as lines:
            for line in csv.DictReader(lines):
                point = {name: float(line[name]) for name in ("seconds", "states", "share")}
                runs.setdefault((line["algorithm"], line["seed"]), []).append(point)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{file}: no learning curves ({error!r})") from None
    by_name: dict[str, list[Curve]] = {}
    for (name, _), points in runs.items():
        by_name.setdefault(name, []).append(points)
    return by_name


AXES = (("seconds", 60, "minutes of training and evaluation"), ("states", 1000, "states learnt from, thousands"))
"""What curves are drawn over, its unit, and its name."""


def draw(curves: dict[str, list[Curve]]) -> Figure:
    """Mean over seeds, with the range of all seeds, over wall time and over states."""
    figure = Figure(figsize=(14, 5), layout="constrained")
    colours = ("#4477aa", "#66ccee", "#228833", "#ee6677", "#aa3377", "#ccbb44", "#bbbbbb", "#000000")
    for axes, (along, unit, name_of_axis) in zip(figure.subplots(1, 2, sharey=True), AXES, strict=True):
        for colour, (name, runs) in zip(colours, curves.items(), strict=False):
            places = [[point[along] for point in points] for points in runs]
            grid = np.linspace(max(each[0] for each in places), min(each[-1] for each in places), 200)
            shares = [
                np.interp(grid, each, [100 * point["share"] for point in points])
                for each, points in zip(places, runs, strict=True)
            ]
            axes.plot(grid / unit, np.mean(shares, axis=0), color=colour, label=name)
            axes.fill_between(grid / unit, np.min(shares, 0), np.max(shares, 0), color=colour, alpha=0.2, linewidth=0)
        axes.set_ylim(90, 100.2)
        axes.set_xscale("log")
        axes.grid(alpha=0.3)
        axes.set_xlabel(name_of_axis)
    axes.set_ylabel("% of the optimum, validation episodes, arg-max")
    axes.legend(loc="lower right")
    return figure


def table(curves: dict[str, list[Curve]]) -> str:
    """The last points, as Markdown."""
    rows = []
    for name, runs in curves.items():
        shares = np.array([100 * points[-1]["share"] for points in runs])
        seconds, states = (np.mean([points[-1][what] for points in runs]) for what in ("seconds", "states"))
        rows.append(
            {
                "algorithm": name,
                "seeds": f"{len(runs)}",
                "of the optimum, mean": f"{shares.mean():.2f} %",
                "lowest … highest seed": f"{shares.min():.2f} … {shares.max():.2f}",
                "states": f"{states:,.0f}",
                "minutes": f"{seconds / 60:.1f}",
            }
        )
    return markdown(rows) + "\n"


def main(arguments: Arguments) -> None:
    """Run what is not there yet; draw what is."""
    torch.set_num_threads(1)
    for name in arguments.only:
        for seed in arguments.seeds:
            run(name, seed, arguments)
            curves = finished(arguments.out, arguments.curves)
            save_figure(draw(curves), arguments.out / "curves.png")
            write_atomically(arguments.out / "curves.md", table(curves).encode())
    print(table(finished(arguments.out, arguments.curves)))


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
