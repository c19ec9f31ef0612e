"""Algorithms side by side, with learning curves: ``python -m benchmarks.agents_comparison``.

    python -m benchmarks.agents_comparison                                   # all, three seeds
    python -m benchmarks.agents_comparison --only imitation --seeds 0 1 2 3 4
    tensorboard --logdir runs/comparison

Each run plays about as many states and is evaluated, by arg-max and with masks, on the same validation episodes.
Finished runs are kept, so that the command goes on after a kill. Writes curves.png, curves.md and a JSON file a run.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure

import agents
import baselines
from agents.decoding import play_greedily
from agents.seeds import VALIDATION_STREAM
from agents.statistics import bootstrap_interval
from benchmarks.masked_dqn import DQNConfig, train_dqn
from pl_env.files import write_atomically
from pl_env.partial_loading.rendering import save_figure
from pl_env.ranges import require_integer

STATES = 180_000
"""States that each algorithm learns from, within a few thousand."""

FROM_SCRATCH = agents.FineTuningConfig(
    rounds=88, n_envs=32, rollout_steps=64, epochs=3, minibatch_size=256, learning_rate=1e-3, averaging=1.0
)
NO_IMITATION = agents.ImitationConfig(rounds=0)

ALGORITHMS: dict[str, agents.TrainingConfig | DQNConfig] = {
    "imitation": agents.TrainingConfig(imitation=agents.ImitationConfig(rounds=35)),
    "imitation, then MaskablePPO": agents.TrainingConfig(
        imitation=agents.ImitationConfig(rounds=25), fine_tuning=agents.FineTuningConfig(rounds=12)
    ),
    "MaskablePPO": agents.TrainingConfig(imitation=NO_IMITATION, fine_tuning=FROM_SCRATCH),
    "PPO without masks": agents.TrainingConfig(imitation=NO_IMITATION, fine_tuning=replace(FROM_SCRATCH, masks=False)),
    "masked DQN": DQNConfig(states=STATES),
}
"""The arguments of each."""

EVALUATIONS = 20
"""Points of a learning curve."""


@dataclass(frozen=True)
class Arguments:
    """Compare algorithms.

    Attributes:
        scenario: What to train on, a name of `agents.Family`.
        only: Algorithms to run; all unless given.
        seeds: Seeds of the trainings.
        episodes: Validation episodes of an evaluation.
        out: Output folder.
    """

    scenario: str = "bls"
    only: tuple[str, ...] = tuple(ALGORITHMS)
    seeds: tuple[int, ...] = (0, 1, 2)
    episodes: int = 500
    out: Path = Path("runs/comparison")

    def __post_init__(self) -> None:
        require_integer("episodes", self.episodes, 2)


class Judge:
    """Evaluates an agent every so many states and notes what it finds."""

    def __init__(self, family: agents.Family, episodes: int, every: float) -> None:
        self._instances = family.sample(np.random.default_rng((VALIDATION_STREAM, 0)), episodes)
        optimum = [baselines.solve(instance, "optimal-dp").served_ratio for instance in self._instances]
        self._optimum = float(np.mean(optimum))
        self._every, self._next, self._start = every, 0.0, time.perf_counter()
        self.points: list[dict[str, float]] = []

    def __call__(self, agent: agents.Agent, states: float, last: bool = False) -> None:
        """Evaluate where it is time to, or at the last."""
        if states < self._next and not last:
            return
        self._next = states + self._every
        seconds = time.perf_counter() - self._start
        share = float(play_greedily(agent, self._instances).mean()) / self._optimum
        self.points.append({"states": states, "seconds": seconds, "share": share})


def run(name: str, seed: int, arguments: Arguments) -> list[dict[str, float]]:
    """One training; its learning curve, from disk if it is there."""
    file = arguments.out / f"{name}-{seed}.json".replace(" ", "-").replace(",", "")
    if file.exists():
        return list(json.loads(file.read_text()))
    family, config = agents.Family.named(arguments.scenario), replace(ALGORITHMS[name], seed=seed)
    if isinstance(config, DQNConfig):
        judge = Judge(family, arguments.episodes, config.states / EVALUATIONS)
        agent = train_dqn(family, config, judge)
        judge(agent, config.states, last=True)
    else:
        folder = arguments.out / "trainings" / file.stem
        shutil.rmtree(folder, ignore_errors=True)  # half of a curve is no curve
        judge = Judge(family, arguments.episodes, STATES / EVALUATIONS)
        result = agents.train(family, config, folder, watch=judge)
        judge(result.agent, result.curve[-1]["states"], last=True)
    write_atomically(file, json.dumps(judge.points).encode())
    return judge.points


def draw(curves: dict[str, list[list[dict[str, float]]]]) -> Figure:
    """Mean over seeds, with the range of all seeds."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    colours = ("#4477aa", "#66ccee", "#228833", "#ee6677", "#aa3377")
    for colour, (name, runs) in zip(colours, curves.items(), strict=False):
        length = min(len(points) for points in runs)
        states = np.mean([[point["states"] for point in points[:length]] for points in runs], axis=0)
        shares = 100 * np.array([[point["share"] for point in points[:length]] for points in runs])
        axes.plot(states, shares.mean(axis=0), color=colour, label=name)
        axes.fill_between(states, shares.min(axis=0), shares.max(axis=0), color=colour, alpha=0.2, linewidth=0)
    axes.set_xlabel("states learnt from")
    axes.set_ylabel("% of the optimum, validation episodes, arg-max")
    axes.set_ylim(bottom=70)
    axes.legend(loc="lower right")
    return figure


def table(curves: dict[str, list[list[dict[str, float]]]]) -> str:
    """The last points, as Markdown."""
    lines = ["| algorithm | seeds | of the optimum, mean | over seeds | minutes |", "|---|---|---|---|---|"]
    for name, runs in curves.items():
        shares = np.array([100 * points[-1]["share"] for points in runs])
        low, high = bootstrap_interval(shares)
        minutes = np.mean([points[-1]["seconds"] for points in runs]) / 60
        lines.append(f"| {name} | {len(runs)} | {shares.mean():.2f} % | {low:.2f} … {high:.2f} | {minutes:.1f} |")
    return "\n".join(lines) + "\n"


def main(arguments: Arguments) -> None:
    """Run what is not there yet; draw what is."""
    torch.set_num_threads(1)
    curves: dict[str, list[list[dict[str, float]]]] = {}
    for name in arguments.only:
        curves[name] = []
        for seed in arguments.seeds:
            curves[name].append(run(name, seed, arguments))
            save_figure(draw(curves), arguments.out / "curves.png")
            write_atomically(arguments.out / "curves.md", table(curves).encode())
    print(table(curves))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
