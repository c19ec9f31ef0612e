"""Commands of PartialLoadingOnline's agents: ``pl-env serve`` lets one of them serve requests for real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

import agents
from baselines.online import commands
from baselines.online.policies import Chooses
from pl_env.ranges import require


@dataclass(frozen=True)
class Arguments(commands.Arguments):
    """Serve requests that arrive by the clock, with the models of a library, and compare with the simulation.

    Attributes:
        agent: Who decides in place of the policy: an agent that comes with the package, such as online/default, or the
            folder of a checkpoint.
    """

    agent: str | None = None

    def chooser(self) -> Chooses:
        """The agent, or the policy where none is named."""
        if self.agent is None:
            return super().chooser()
        agent: Any = agents.load(self.agent)
        require(agent.SYSTEM == "online", "agent", self.agent, "an agent of online")
        chooser: Chooses = agent
        return chooser


def serve(arguments: Annotated[Arguments, tyro.conf.arg(name="")]) -> None:
    """Serve requests that arrive by the clock, with the models of a library, and compare with the simulation.

    Ctrl-C ends it with the report so far.
    """
    commands.run(arguments)


COMMANDS = (serve,)
"""What ``python -m agents`` offers besides the commands of all systems."""
