"""The console script ``pl-env``: the commands of all floors under one name; ``python -m agents`` has this one's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import tyro

from pl_env.command_line import exit_code
from pl_env.errors import UnknownName
from pl_env.packages import require_package

FLOORS = ("pl_env", "baselines", "agents")
"""From the ground up. Where two have a command of the same name it is the upper one's, which can do more."""

Command = Callable[..., object]


def train(words: Sequence[str], prog: str) -> None:
    """Train, evaluate and report; torch is imported here, so that where it is missing one sentence says so."""
    command = require_package("agents.train_command")
    command.run(command.parse(words, prog))


def commands_of(*floors: str) -> dict[str, Command]:
    """The commands of floors by name, but for ``train``."""
    found: dict[str, Command] = {}
    for floor in floors:
        for command in import_module(f"{floor}.__main__").COMMANDS:
            found[command.__name__.replace("_", "-")] = command
    return found


def run(commands: dict[str, Command], words: Sequence[str], prog: str) -> None:
    """Do what the words say; without words, say what there is.

    Args:
        commands: What there is beside ``train``, by name.
        words: The words after the program's name.
        prog: The program's name.

    Raises:
        UnknownName: There is no such command.
    """
    first = words[0] if words else "--help"
    if first == "train":
        train(words[1:], f"{prog} train")
        return
    if not first.startswith("-") and first not in commands:
        raise UnknownName("command", first, (*commands, "train"))
    app = tyro.extras.SubcommandApp()
    for name, command in commands.items():
        app.command(name=name)(command)
    app.command(name="train")(_train_as_it_parses() if first.startswith("--tyro-") else _train_in_short)
    app.cli(args=words or ["--help"], prog=prog, description=f"{prog} COMMAND --help lists the arguments of one.")


def _train_in_short() -> None:
    """Train an agent, evaluate it against the planners, and report."""


def _train_as_it_parses() -> Command:
    """The same with all names and arguments, for completion in shells; imports torch."""
    jobs = require_package("agents.jobs").jobs()
    arguments = require_package("agents.train_command").Arguments
    offered = {name: arguments(job, Path("runs") / name) for name, job in jobs.items()}
    what: Any = tyro.extras.subcommand_type_from_defaults(offered, {n: job.description for n, job in jobs.items()})

    def train(arguments: Any) -> None:
        """Train an agent, evaluate it against the planners, and report."""

    train.__annotations__["arguments"] = Annotated[what, tyro.conf.arg(name="")]
    return train


def main(arguments: list[str] | None = None) -> int:
    """Run the console script."""
    return exit_code(lambda: run(commands_of(*FLOORS), sys.argv[1:] if arguments is None else arguments, "pl-env"))
