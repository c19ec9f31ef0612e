"""Planners from the command line: ``python -m baselines compare --preset bls --seed 0``, ``evaluate``, and others."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from baselines.evaluate_command import evaluate
from baselines.registry import solve, solvers
from pl_env.command_line import exit_code
from pl_env.errors import UnsupportedInstance
from pl_env.figures import save_figure
from pl_env.protocols import Plan
from pl_env.ranges import require, require_integer
from pl_env.systems import FIRST, SYSTEMS, face, scenario_named, split


def compare(
    preset: str = "bls",
    seed: int = 0,
    solver: tuple[str, ...] = (),
    option: tuple[str, ...] = (),
    out: Path | None = None,
) -> None:
    """Compare the solvers on one instance, and draw the best plan.

    Args:
        preset: Preset of the scenario: bls, general, general-hard, fading or tiny; of another system slide/default.
        seed: Seed of the instance.
        solver: Solvers to compare; all that cover the instance unless given.
        option: Options as name=value, for the solvers that have them, such as equal_bandwidth_channels=8.
        out: Write the picture of the best plan to this PNG file; its folder is made where there is none.
    """
    require_integer("seed", seed, 0)
    room = face(split(preset)[0])
    instance = scenario_named(preset).sample(np.random.default_rng(seed))
    known, given = solvers(split(preset)[0]), _options(option)
    plans: list[Plan] = []
    left_out: list[str] = []
    table = Table("solver", "guarantee", "plan", "solved in (ms)")
    table.columns[-1].justify = "right"
    for name in solver or known:
        own = {key: value for key, value in given.items() if name not in known or key in known[name].options}
        try:
            solve(instance, name, **own)  # kernels compile at their first call
            plan: Plan = solve(instance, name, **own)
        except UnsupportedInstance as error:
            if solver:
                raise
            left_out.append(f"left out: {error}")
            continue
        plans.append(plan)
        table.add_row(name, known[name].guarantee, str(plan).partition(": ")[2], f"{plan.elapsed * 1e3:.3f}")
    sign = 1 if plans[0].SENSE == "max" else -1
    best = max(plans, key=lambda plan: sign * plan.objective)
    if out is not None:
        save_figure(room.gantt(best, instance), out)
    for line in left_out:
        print(line)
    Console(width=140).print(table)
    print(f"\n{best}\n{room.text_gantt(best, instance)}")
    if out is not None:
        print(f"written: {out}")


def _options(texts: tuple[str, ...]) -> dict[str, Any]:
    """Options from name=value; a value that is no number, True or False is a string."""
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        require(bool(name and equals), "option", text, "name=value")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    return options


def list_solvers(system: str = FIRST) -> None:
    """List the solvers and what each guarantees.

    Args:
        system: Whose solvers.
    """
    for entry in solvers(system).values():
        print(f"{entry.name:13s} {entry.guarantee:42s} {entry.description}")


COMMANDS: list[Callable[..., Any]] = [compare, list_solvers, evaluate]
for _system in SYSTEMS:
    if find_spec(f"baselines.{_system}.commands"):  # what only this system has
        COMMANDS += import_module(f"baselines.{_system}.commands").COMMANDS

app = tyro.extras.SubcommandApp()
for _command in COMMANDS:
    app.command(_command)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return exit_code(lambda: app.cli(args=arguments, prog="python -m baselines"))


if __name__ == "__main__":
    sys.exit(main())
