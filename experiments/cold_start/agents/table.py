"""The cold start's agent beside the rules: ``python -m experiments.cold_start.agents.table``.

Time over each instance's optimum, mean with the 95 % bootstrap interval, on episodes of the evaluation stream
(`pl_env.seeds`), which nobody was trained or tuned on; everybody has the same. "planned" is the planner's value that
the agent corrects, alone. Below the two presets that the agent was trained on are others that it never saw.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro

import agents
from agents.cold_start import BestOf
from agents.cold_start.describing import PLANNED, begun, describe
from baselines.policies import RandomPolicy
from baselines.registry import solve, solvers
from baselines.statistics import bootstrap_interval
from experiments.tables import markdown
from pl_env.cold_start.env import ColdStartEnv
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan
from pl_env.cold_start.scenario import Scenario
from pl_env.command_line import exit_code
from pl_env.ranges import require_integer, require_one_of
from pl_env.seeds import EVALUATION_STREAM, RANDOM_POLICY_STREAM

AGENT = "cold_start/default"
RULES = ("order-dp", "shares", "greedy", "harmonic", "even")

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("default", {}),
    "tight": ("tight", {}),
    "12 devices": ("default", {"n_devices": 12}),
    "llama3-8b, 32 layers": ("default", {"model": "llama3-8b"}),
    "gpt2, 12 layers": ("default", {"model": "gpt2"}),
    "embedding and head": ("default", {"ends": True}),
    "roomy": ("roomy", {}),
}
"""By what a row says: the preset and the fields that differ from it. The agent was trained on the first two."""


@dataclass(frozen=True)
class Arguments:
    """Evaluate the cold start's agent.

    Attributes:
        only: Settings to evaluate; all unless given.
        episodes: Episodes of each; a fifth of them where the agent was not trained, and for samples.
        samples: Plans that the best of is taken.
    """

    only: tuple[str, ...] = tuple(SETTINGS)
    episodes: int = 1000
    samples: int = 64

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, tuple(SETTINGS))
        require_integer("episodes", self.episodes, 10)
        require_integer("samples", self.samples, 1)


class Planned:
    """The action after which all is done first if `order-dp` places the rest: what the agent corrects."""

    def act(self, observation: Any, info: Any, env: ColdStartEnv) -> int:
        """Needs the environment alone."""
        left = env.remaining()
        states = describe([begun(left)])
        device, count = divmod(int(states.number[states.actions[:, PLANNED].argmin()]), left.n_layers)
        return device * env.most_layers + count


def played_by(policy: Any, scenario: Scenario) -> Callable[[Instance], float]:
    """How long what a policy plays takes, in seconds."""
    env = ColdStartEnv(scenario, invalid_action="raise")

    def play(instance: Instance) -> float:
        observation, info = env.reset(options={"instance": instance})
        while env.any_legal:
            observation, _, _, _, info = env.step(np.int64(policy.act(observation, info, env)))
        return env.plan.objective

    return play


def row(name: str, arguments: Arguments) -> dict[str, str]:
    """A row of the table: time over the optimum, of each policy."""
    preset, fields = SETTINGS[name]
    scenario = Scenario.preset(preset, **fields)
    few = arguments.episodes // 5
    count = arguments.episodes if name in ("default", "tight") else few
    instances = [scenario.sample(np.random.default_rng((EVALUATION_STREAM, 0, n))) for n in range(count)]
    agent = agents.load(AGENT)
    best = np.array([solve(instance).objective for instance in instances])
    rng = np.random.default_rng((RANDOM_POLICY_STREAM, 0))
    sampled = BestOf(agent, arguments.samples)
    players: dict[str, tuple[Callable[[Instance], float], int]] = {
        "agent": (played_by(agent, scenario), count),
        "planned": (played_by(Planned(), scenario), few),
        f"best of {arguments.samples}": (lambda one: Plan.of(one, sampled.plan(one)).objective, few),
        **{rule: (lambda one, rule=rule: solve(one, rule).objective, count) for rule in RULES},  # type: ignore[misc]
        "random": (played_by(RandomPolicy(rng), scenario), count),
    }
    cells = {"episodes": f"{name} ({count}; samples and planned {few})"}
    for label, (play, n) in players.items():
        if label in RULES and any(solvers("cold_start")[label].why_not(instance) for instance in instances):
            cells[label] = "–"
            continue
        ratios = np.array([play(instance) for instance in instances[:n]]) / best[:n]
        low, high = bootstrap_interval(ratios)
        mean = f"{ratios.mean():.4f}"
        cells[label] = f"{mean} ({low:.4f} … {high:.4f})" if label.startswith(("agent", "best")) else mean[:5]
    return cells


def main(arguments: Arguments) -> None:
    """Evaluate and print."""
    torch.set_num_threads(1)
    print(markdown([row(name, arguments) for name in arguments.only]), flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
