"""Co-inference's agents beside planners: ``python -m experiments.co_inference.agents.table``.

Episodes of the evaluation stream (`pl_env.seeds`), the same for everybody; none was trained or tuned on. Intervals are
95 %, by the bootstrap, paired by episode where two policies are compared.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
import tyro

import agents
import baselines
from agents.co_inference.recipes import RECIPES
from baselines.evaluation import Evaluation
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.ranges import require_integer, require_one_of

OTHERS = ("offline", "online-dp", "battery-price", "fluid-price", "greedy-min")


@dataclass(frozen=True)
class Arguments:
    """Evaluate co-inference's agents that come with the package.

    Attributes:
        only: Presets to evaluate; all that have an agent unless given.
        episodes: Episodes.
        seed: Their seed.
        workers: Processes; 0 for one per core.
    """

    only: tuple[str, ...] = tuple(RECIPES)
    episodes: int = 1000
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in self.only:
            require_one_of("only", name, tuple(RECIPES))
        require_integer("episodes", self.episodes, 2)
        require_integer("seed", self.seed, 0)
        require_integer("workers", self.workers, 0)


def table(found: Evaluation) -> str:
    """A Markdown table of mean weighted qualities, the agent's difference to the others beside them."""
    rows = []
    for name, result in found.items():
        above, low, high = found.difference("agent", name)
        rows.append(
            {
                "policy": name,
                "mean weighted quality": f"{result.mean:.4f}",
                "95 % interval": f"{result.low:.4f} … {result.high:.4f}",
                "agent above": "–" if name == "agent" else f"{above:+.4f} ({low:+.4f} … {high:+.4f})",
            }
        )
    return markdown(rows)


def evaluate(name: str, arguments: Arguments) -> Evaluation:
    """The agent of a preset, and the planners."""
    policies: dict[str, object] = {"agent": agents.load(f"co_inference/{name}")} | {other: other for other in OTHERS}
    return baselines.evaluate(
        policies,
        f"co_inference/{name}",
        episodes=arguments.episodes,
        seed=arguments.seed,
        workers=arguments.workers,
    )


def main(arguments: Arguments) -> None:
    """Evaluate and print."""
    torch.set_num_threads(1)
    for name in arguments.only:
        print(f"### {name}, {arguments.episodes} episodes, seed {arguments.seed}\n", flush=True)
        print(f"{table(evaluate(name, arguments))}\n", flush=True)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
