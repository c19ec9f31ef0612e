"""Agents from the command line: ``python -m agents train bls``, ``evaluate``, ``replay``."""

from __future__ import annotations

import sys

from agents.console import commands_of, run
from agents.evaluate_command import evaluate
from agents.replay_command import replay
from pl_env.command_line import exit_code

COMMANDS = (evaluate, replay)
"""Beside ``train``, whose words `agents.train_command` reads."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    words = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: run(commands_of("agents"), words, "python -m agents"))


if __name__ == "__main__":
    sys.exit(main())
