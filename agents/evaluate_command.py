"""``python -m agents evaluate``: agents beside solvers and a user's own policies, on the same episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import tyro

import agents
from baselines import evaluate_command
from pl_env.packages import require_package
from pl_env.ranges import require, require_integer


@dataclass(frozen=True)
class Arguments(evaluate_command.Arguments):
    """Let agents, solvers and policies of your own play the same episodes, and compare them.

    Attributes:
        agent: Agents: names of those that come with the package, such as bls, or folders of checkpoints.
        samples: Each agent also as the best of so many schedules that are sampled from it; 0 for none.
    """

    PLAYERS: ClassVar[tuple[str, ...]] = ("--agent", "--solver", "--policy")

    agent: tuple[str, ...] = ()
    samples: int = 0

    def __post_init__(self) -> None:
        require_integer("samples", self.samples, 0)
        require(len(self.agent) > 0 or self.samples == 0, "samples", self.samples, "0 without --agent")

    def players(self) -> dict[str, object]:
        """Those of `baselines`, and the agents, by the names to report."""
        found: dict[str, object] = {}
        if self.agent:
            require_package("torch").set_num_threads(1)  # two threads take longer for networks this small
        for name in self.agent:
            agent: Any = agents.load(name)
            found[f"agent {name}"] = agent
            if self.samples:
                found[f"agent {name}-{self.samples}"] = agent.best_of(self.samples)
        return found | super().players()


def evaluate(arguments: Annotated[Arguments, tyro.conf.arg(name="")]) -> None:
    """Let agents, solvers and policies of your own play the same episodes, and compare them."""
    evaluate_command.run(arguments)
