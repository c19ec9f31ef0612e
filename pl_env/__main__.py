"""Problems from the command line: ``python -m pl_env scan``, ``measure``, and whatever else rooms offer."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

import tyro

from pl_env.command_line import exit_code
from pl_env.systems import SYSTEMS

COMMANDS = [
    command
    for room in ("real_models", *SYSTEMS)
    if find_spec(f"pl_env.{room}.commands")
    for command in import_module(f"pl_env.{room}.commands").COMMANDS
]

app = tyro.extras.SubcommandApp()
for _command in COMMANDS:
    app.command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return exit_code(lambda: app.cli(args=arguments, prog="python -m pl_env"))


if __name__ == "__main__":
    sys.exit(main())
