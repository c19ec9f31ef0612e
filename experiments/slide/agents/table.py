"""Slide's agents that come with the package beside the rules: ``python -m experiments.slide.agents.table``.

Two tables for each preset: episodes of the evaluation stream (`pl_env.seeds`), and the seeds 0, 1, ... of ``reset``,
for which docs/slide.md gives other numbers too; none of them was trained or tuned on. Everybody plays the same
episodes. Intervals are 95 %, by the bootstrap, paired by episode where two policies are compared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import tyro

import agents
from agents.slide.recipes import RECIPES
from baselines.policies import Policy
from baselines.slide.exact import exact
from baselines.slide.online import Rollout, Rule
from baselines.statistics import bootstrap_interval
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.ranges import require_integer, require_one_of
from pl_env.seeds import EVALUATION_STREAM, ROLLOUT_STREAM
from pl_env.slide.env import SlideEnv
from pl_env.slide.instance import Instance
from pl_env.slide.scenario import Scenario

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True)
class Arguments:
    """Evaluate Slide's agents that come with the package.

    Attributes:
        only: Presets to evaluate; all that have an agent unless given.
        episodes: Episodes of the evaluation stream.
        seeds: Seeds of ``reset``.
        futures: Futures of `rollout`, which plays the seeds alone, as it takes long; 0 to leave it out.
    """

    only: tuple[str, ...] = tuple(RECIPES)
    episodes: int = 1000
    seeds: int = 200
    futures: int = 60

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, tuple(RECIPES))
        require_integer("episodes", self.episodes, 2)
        require_integer("seeds", self.seeds, 2)
        require_integer("futures", self.futures, 0)


def served_by(policy: Policy, scenario: Scenario, instances: list[Instance]) -> Floats:
    """Users served in each episode."""
    env = SlideEnv(scenario, invalid_action="raise")
    served = np.empty(len(instances))
    for n, instance in enumerate(instances):
        observation, info = env.reset(options={"instance": instance})
        while env.any_legal:
            observation, _, _, _, info = env.step(np.int64(policy.act(observation, info, env)))
        served[n] = info["served"]
    return served


def table(served: Mapping[str, Floats]) -> str:
    """A Markdown table of users served, the agent's difference to the others beside it."""
    rows = []
    for name, of_policy in served.items():
        above = served["agent"] - of_policy
        rows.append(
            {
                "policy": name,
                "users served": f"{of_policy.mean():.2f}",
                "95 % interval": _interval(of_policy, ".2f"),
                "agent above": "–" if name == "agent" else f"{above.mean():+.3f} ({_interval(above, '+.3f')})",
            }
        )
    return markdown(rows)


def _interval(values: Floats, form: str) -> str:
    low, high = bootstrap_interval(values)
    return f"{low:{form}} … {high:{form}}"


def tables(name: str, arguments: Arguments) -> Iterator[str]:
    """A preset's tables, as lines."""
    scenario, rule = Scenario.preset(name), RECIPES[name].imitation.rule
    policies: dict[str, Policy] = {"agent": agents.load(f"slide/{name}"), "backlog, tuned": Rule(*rule)}
    policies["accept-all"] = Rule(np.inf)
    slow: dict[str, Policy] = {}
    if arguments.futures > 0:
        slow["rollout"] = Rollout(np.random.default_rng((ROLLOUT_STREAM, 0)), arguments.futures, rule)
    streams = {
        f"{arguments.episodes} evaluation episodes": (
            [(EVALUATION_STREAM, 0, n) for n in range(arguments.episodes)],
            policies,
        ),
        f"seeds 0 to {arguments.seeds - 1}": ([(n,) for n in range(arguments.seeds)], policies | slow),
    }
    for heading, (seeds, players) in streams.items():
        instances = [scenario.sample(np.random.default_rng(seed if len(seed) > 1 else seed[0])) for seed in seeds]
        served = {player: served_by(policy, scenario, instances) for player, policy in players.items()}
        plans = [exact(instance) for instance in instances]
        served["exact, all arrivals known"] = np.array([round(plan.objective * plan.n_users) for plan in plans])
        yield f"### {name}, {heading}\n\n{table(served)}\n"


def main(arguments: Arguments) -> None:
    """Evaluate and print."""
    torch.set_num_threads(1)
    for name in arguments.only:
        for part in tables(name, arguments):
            print(part, flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
