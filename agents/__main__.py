"""Agents from the command line: ``python -m agents train bls``, ``python -m agents evaluate --agent bls``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro

from agents.evaluate_command import evaluate
from pl_env.command_line import exit_code
from pl_env.errors import UnknownName
from pl_env.packages import require_package

USAGE = """usage: python -m agents COMMAND [arguments]

  train [NAME]   train an agent, evaluate it against the planners, and report; also python train.py
  evaluate       let agents, solvers and policies of your own play the same episodes, and compare them

python -m agents COMMAND --help lists the arguments of one."""


def train(words: Sequence[str], prog: str = "python -m agents train") -> None:
    """Train, evaluate and report; torch is imported here, so that where it is missing one sentence says so."""
    command = require_package("agents.train_command")
    command.run(command.parse(words, prog))


def run(words: Sequence[str]) -> None:
    """Do what the words say.

    Raises:
        UnknownName: There is no such command.
    """
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
    elif words[0] == "train":
        train(words[1:])
    elif words[0] == "evaluate":
        tyro.cli(evaluate, args=words[1:], prog="python -m agents evaluate")
    else:
        raise UnknownName("command", words[0], ("train", "evaluate"))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    sys.exit(main())
