"""``python -m agents evaluate``: agents beside solvers and a user's own policies, on the same episodes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar

import tyro

import agents
from baselines import evaluate_command
from pl_env.packages import require_package
from pl_env.ranges import require, require_integer

DECODINGS = {"samples": ("BestOf", "-"), "rollouts": ("Rollout", "-rollout-")}
"""By the argument that says how many: the policy, and what stands between the agent's name and the number."""


@dataclass(frozen=True)
class Arguments(evaluate_command.Arguments):
    """Let agents, solvers and policies of your own play the same episodes, and compare them.

    Attributes:
        agent: Agents: names of those that come with the package, such as bls, or folders of checkpoints.
        samples: Each agent also as the best of so many schedules that are sampled from it; 0 for none.
        rollouts: Each agent also trying so many actions before every batch, each to the end; 0 for none.
    """

    PLAYERS: ClassVar[tuple[str, ...]] = ("--agent", "--solver", "--policy")

    agent: tuple[str, ...] = ()
    samples: int = 0
    rollouts: int = 0

    def __post_init__(self) -> None:
        for name in DECODINGS:
            value = getattr(self, name)
            require_integer(name, value, 0)
            require(len(self.agent) > 0 or value == 0, name, value, "0 without --agent")

    def players(self) -> dict[str, object]:
        """Those of `baselines`, and the agents, by the names to report."""
        found: dict[str, object] = {}
        if self.agent:
            require_package("torch").set_num_threads(1)  # two threads take longer for networks this small
        for name in self.agent:
            agent: Any = agents.load(name)
            found[f"agent {name}"] = agent
            for field, (decoding, label) in DECODINGS.items():
                if count := getattr(self, field):
                    found[f"agent {name}{label}{count}"] = _decoded(agent, decoding, field, count)
        return found | super().players()


def _decoded(agent: Any, decoding: str, field: str, count: int) -> object:
    """An agent that searches with the known model, where its system has that."""
    room = import_module(f"agents.{agent.SYSTEM}")
    require(hasattr(room, decoding), field, count, f"0, as agents of {agent.SYSTEM} know no {decoding}")
    policy: object = getattr(room, decoding)(agent, count)
    return policy


def evaluate(arguments: Annotated[Arguments, tyro.conf.arg(name="")]) -> None:
    """Let agents, solvers and policies of your own play the same episodes, and compare them."""
    evaluate_command.run(arguments)
