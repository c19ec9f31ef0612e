"""The continuous environment by PPO and SAC, from rewards alone.

    python -m experiments.co_inference.agents.reinforcement                      # both
    python -m experiments.co_inference.agents.reinforcement --only ppo --seed 1

Both are stable-baselines3's, with its own networks. Every so many states the policy plays the same validation episodes
without its noise. In the end it plays evaluation episodes beside planners and the imitated agent, paired by episode.
Writes curves.png, and the curve, the model and a table of every algorithm as soon as it is trained.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from numpy.typing import NDArray
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor

import agents
import baselines
from agents.co_inference.sb3_vec_env import CoInferenceVecEnv, flat
from baselines.evaluation import Evaluation
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.figures import save_figure
from pl_env.files import write_atomically
from pl_env.ranges import require_integer, require_one_of
from pl_env.seeds import TRAINING_STREAM, VALIDATION_STREAM, small_seed

PRESET = "co_inference/continuous"
OTHERS = ("online-dp", "battery-price")

N_ENVS = {"ppo": 128, "sac": 16}
"""Environments side by side."""

STATES = {"ppo": 2_000_000, "sac": 40_000}
"""States that each learns from, unless told otherwise: about a minute of one core for the training."""

EVALUATIONS = 20
"""Points of a learning curve."""

Point = dict[str, float]
Policy = Callable[[Mapping[str, Any], Mapping[str, Any]], NDArray[np.float32]]


class Centred(FlattenExtractor):
    """Observations from [0, 1] to [-2, 2], about as wide as what layers are initialised for."""

    def forward(self, observations: Tensor) -> Tensor:
        """Float32 (B, n), as given."""
        return 4 * super().forward(observations) - 2


def ppo(environments: CoInferenceVecEnv, states: int, seed: int) -> BaseAlgorithm:
    """Proximal policy optimisation: whole episodes, of which an update learns five times; its step falls to 0."""
    return PPO(
        "MlpPolicy",
        environments,
        learning_rate=lambda left: 2e-3 * max(left, 0.02),
        n_steps=environments.scenario.n_tasks,
        batch_size=1024,
        n_epochs=5,
        gamma=0.97,
        gae_lambda=0.9,
        policy_kwargs={"features_extractor_class": Centred, "net_arch": [64, 64], "log_std_init": -1.0},
        seed=seed,
        device="cpu",
    )


def sac(environments: CoInferenceVecEnv, states: int, seed: int) -> BaseAlgorithm:
    """Soft actor-critic: four updates after a step of all environments."""
    return SAC(
        "MlpPolicy",
        environments,
        learning_rate=1e-3,
        buffer_size=states,
        learning_starts=min(states // 2, 1600),
        batch_size=256,
        ent_coef="auto_0.1",
        gamma=0.95,
        gradient_steps=4,
        policy_kwargs={"features_extractor_class": Centred, "net_arch": [64, 64]},
        seed=seed,
        device="cpu",
    )


ALGORITHMS = {"ppo": ppo, "sac": sac}


@dataclass(frozen=True)
class Arguments:
    """Learn co-inference with continuous actions from rewards alone.

    Attributes:
        only: Algorithms to train; all unless given.
        states: States that each learns from; 2,000,000 by PPO and 40,000 by SAC unless given.
        seed: Seed of the trainings.
        episodes: Evaluation episodes.
        out: Output folder.
    """

    only: tuple[str, ...] = tuple(ALGORITHMS)
    states: int | None = None
    seed: int = 0
    episodes: int = 1000
    out: Path = Path("runs/co_inference-reinforcement")

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, tuple(ALGORITHMS))
        if self.states is not None:
            require_integer("states", self.states, 2, 10**9)
        require_integer("seed", self.seed, 0, 2**31)
        require_integer("episodes", self.episodes, 2)


class Judge:
    """Plays validation episodes every so many states, and notes what the policy attains without its noise."""

    def __init__(self, every: float, episodes: int = 400) -> None:
        self._environments = CoInferenceVecEnv(episodes)
        self._seed = small_seed(VALIDATION_STREAM, 0)
        self._every, self._next, self._start = every, 0.0, time.perf_counter()
        self.points: list[Point] = []

    def __call__(self, states: int, model: BaseAlgorithm, *, last: bool = False) -> None:
        """Evaluate where it is time to, or at the last."""
        if states < self._next and not last:
            return
        self._next = states + self._every
        seconds = time.perf_counter() - self._start
        quality = play(model, self._environments, self._seed)
        self.points.append({"states": states, "seconds": seconds, "quality": quality})
        print(f"{states:>9,} states, {seconds:7.1f} s: {quality:.4f}", flush=True)


def play(model: BaseAlgorithm, environments: CoInferenceVecEnv, seed: int) -> float:
    """Mean weighted quality of a policy without its noise, in one episode of every environment."""
    environments.seed(seed)
    observation, total = environments.reset(), 0.0
    for _ in range(environments.scenario.n_tasks):
        actions, _ = model.predict(observation, deterministic=True)
        observation, rewards, _, _ = environments.step(actions)  # type: ignore[assignment]
        total += float(rewards.mean())
    return total / environments.scenario.n_tasks


def train(name: str, states: int, seed: int) -> tuple[BaseAlgorithm, list[Point]]:
    """Train, and say how it went."""
    model = ALGORITHMS[name](CoInferenceVecEnv(N_ENVS[name]), states, small_seed(TRAINING_STREAM, seed))
    judge = Judge(states / EVALUATIONS)

    def watch(local: dict[str, Any], _: dict[str, Any]) -> bool:
        judge(model.num_timesteps, model)
        return True

    model.learn(states, callback=watch)
    judge(model.num_timesteps, model, last=True)
    return model, judge.points


def policy_of(model: BaseAlgorithm) -> Policy:
    """A model as a function of the environment's observation and info."""

    def act(observation: Mapping[str, Any], info: Mapping[str, Any]) -> NDArray[np.float32]:
        action, _ = model.predict(flat(observation), deterministic=True)
        return np.asarray(action)

    return act


def table(found: Evaluation, name: str) -> str:
    """A Markdown table of mean weighted qualities, the algorithm's difference to the others beside them."""
    rows = []
    for other, result in found.items():
        above, low, high = found.difference(name, other)
        rows.append(
            {
                "policy": other,
                "mean weighted quality": f"{result.mean:.4f}",
                "95 % interval": f"{result.low:.4f} … {result.high:.4f}",
                f"{name} above": "–" if other == name else f"{above:+.4f} ({low:+.4f} … {high:+.4f})",
            }
        )
    return markdown(rows)


def draw(curves: Mapping[str, list[Point]]) -> Figure:
    """The learning curves, over wall time and over states."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, along in zip(figure.subplots(1, 2, sharey=True), ("seconds", "states"), strict=True):
        for name, points in curves.items():
            axes.plot([point[along] for point in points], [point["quality"] for point in points], label=name.upper())
        axes.set_xlabel(f"{along} of training" if along == "seconds" else "states learnt from")
        axes.set_ylabel("mean weighted quality of 400 validation episodes")
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def main(arguments: Arguments) -> None:
    """Train, evaluate, write and print."""
    torch.set_num_threads(1)
    curves = {}
    for name in arguments.only:
        model, curves[name] = train(name, arguments.states or STATES[name], arguments.seed)
        policies: dict[str, object] = {name: policy_of(model), "imitated agent": agents.load(PRESET)}
        found = baselines.evaluate(policies | {other: other for other in OTHERS}, PRESET, episodes=arguments.episodes)
        text = f"### {name}, {arguments.episodes} episodes\n\n{table(found, name)}\n"
        print(f"\n{text}", flush=True)
        write(arguments.out / f"{name}-{arguments.seed}", model, curves[name], text)
        save_figure(draw(curves), arguments.out / "curves.png")


def write(folder: Path, model: BaseAlgorithm, curve: list[Point], text: str) -> None:
    """Write what a training leaves."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, curve[0])
    writer.writeheader()
    writer.writerows(curve)
    write_atomically(folder / "curve.csv", lines.getvalue().encode())
    write_atomically(folder / "table.md", text.encode())
    model.save(folder / "model.zip")


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
