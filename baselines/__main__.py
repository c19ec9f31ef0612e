"""Planners from the command line: ``python -m baselines compare --preset bls --seed 0``, ``evaluate``, ``execute``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from baselines.evaluate_command import evaluate
from baselines.partial_loading.execute_command import execute
from baselines.registry import solve, solvers
from pl_env.command_line import exit_code
from pl_env.errors import UnsupportedInstance
from pl_env.partial_loading.rendering import gantt, save_figure, text_gantt
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.ranges import require_integer

app = tyro.extras.SubcommandApp()


@app.command
def compare(
    preset: str = "bls",
    seed: int = 0,
    solver: tuple[str, ...] = (),
    equal_bandwidth_channels: int = 0,
    out: Path | None = None,
) -> None:
    """Compare the solvers on one instance, and draw the best schedule.

    Args:
        preset: Preset of the scenario: bls, general, general-hard, fading or tiny.
        seed: Seed of the instance.
        solver: Solvers to compare; all that cover the instance unless given.
        equal_bandwidth_channels: Cut the band into this many equal channels; 0 for optimal shares.
        out: Write the best schedule's Gantt chart to this PNG file.
    """
    require_integer("seed", seed, 0)
    instance = Scenario.preset(preset).sample(np.random.default_rng(seed))
    schedules: list[Schedule] = []
    table = Table("solver", "guarantee", "served", "ratio", "batches", "ends (ms)", "solved in (ms)")
    options = {"equal_bandwidth_channels": equal_bandwidth_channels} if equal_bandwidth_channels else {}
    for name in solver or tuple(solvers()):
        try:
            solve(instance, name, **options)  # kernels compile at their first call
            schedule = solve(instance, name, **options)
        except UnsupportedInstance as error:
            if solver:
                raise
            table.add_row(name, "does not cover this instance", *[""] * 5)
            print(f"left out: {error}")
            continue
        schedules.append(schedule)
        table.add_row(
            name,
            solvers()[name].guarantee,
            f"{schedule.served} of {schedule.n_users}",
            f"{schedule.served_ratio:.3f}",
            str(len(schedule)),
            f"{schedule.finish_seconds * 1e3:.1f}",
            f"{schedule.elapsed * 1e3:.3f}",
        )
    Console(width=120).print(table)
    best = max(schedules, key=lambda schedule: schedule.served)
    print(f"\n{best}\n{text_gantt(best, instance)}")
    if out is not None:
        save_figure(gantt(best, instance), out)
        print(f"written: {out}")


app.command(evaluate)
app.command(execute)


@app.command
def list_solvers() -> None:
    """List the solvers and what each guarantees."""
    for entry in solvers().values():
        print(f"{entry.name:13s} {entry.guarantee:42s} {entry.description}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return exit_code(lambda: app.cli(args=arguments, prog="python -m baselines"))


if __name__ == "__main__":
    sys.exit(main())
