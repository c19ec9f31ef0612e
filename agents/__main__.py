"""Agents from the command line: ``python -m agents train bls``, ``evaluate``, ``replay``."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from agents.console import Command, commands_of, run
from agents.evaluate_command import evaluate
from agents.replay_command import replay
from pl_env.command_line import exit_code
from pl_env.systems import SYSTEMS

COMMANDS: list[Command] = [evaluate, replay]
"""Beside ``train``, whose words `agents.train_command` reads."""

for _system in SYSTEMS:
    if find_spec(f"agents.{_system}.commands"):  # what only this system has
        COMMANDS += import_module(f"agents.{_system}.commands").COMMANDS


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    words = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: run(commands_of("agents"), words, "python -m agents"))


if __name__ == "__main__":
    sys.exit(main())
