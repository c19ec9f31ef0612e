"""Experiments from the command line: ``python -m experiments reproduce``, ``benchmark-sets``, ``solvers``."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

import baselines
import experiments.partial_loading.figures
from experiments import solver_table
from experiments.partial_loading import benchmark_sets
from experiments.partial_loading.report import write
from experiments.partial_loading.reproduction import compute
from experiments.points import code_version
from pl_env.command_line import exit_code
from pl_env.errors import PlEnvError, UnknownName
from pl_env.partial_loading.benchmark import FOLDER, BenchmarkSet, benchmark, benchmark_names
from pl_env.ranges import require_integer

app = tyro.extras.SubcommandApp()

FULL, QUICK = 1000, 40
"""Channel realisations a point: as in the paper, and in a minute."""


@app.command
def reproduce(
    figures: tuple[str, ...] = (),
    quick: bool = False,
    realisations: int | None = None,
    seed: int = 0,
    workers: int = 0,
    cache: Path = Path("runs/reproduction-cache"),
    out: Path | None = None,
) -> None:
    """Compute the paper's figures, and set its numbers beside ours.

    Args:
        figures: Names of figures; all unless given.
        quick: A few realisations a point in place of the paper's 1,000: about a minute.
        realisations: Channel realisations a point.
        seed: Seed of the instances.
        workers: Processes; 0 for one per core.
        cache: Folder that keeps finished points; an interrupted run goes on from it.
        out: Folder of the report. Only a complete run goes to docs unless told otherwise; others go to runs.
    """
    chosen = experiments.partial_loading.figures.figures(figures)
    n = realisations if realisations is not None else QUICK if quick else FULL
    require_integer("realisations", n, 1)
    require_integer("seed", seed, 0)
    require_integer("workers", workers, 0)
    complete = not figures and n == FULL and seed == 0
    if out is None:
        out = Path("docs" if complete else "runs/reproduction-quick" if quick else "runs/reproduction")
    if complete:
        command = "make reproduce"
    else:
        command = "python -m experiments reproduce" + (f" --figures {' '.join(figures)}" if figures else "")
        command += f" --realisations {n} --seed {seed}"
    findings = compute(chosen, n, seed, cache, workers, command)
    print(f"written: {write(findings, out)}")


@app.command
def list_figures() -> None:
    """List the figures by name."""
    for figure in experiments.partial_loading.figures.figures():
        print(f"{figure.name:6s} {figure.title}")


@app.command(name="benchmark-sets")
def certify_benchmark_sets(
    names: tuple[str, ...] = (), write: bool = False, solve_again: bool = True, folder: Path = FOLDER
) -> None:
    """Draw the benchmark sets again, replay their schedules and certify their optima anew; or make them.

    Args:
        names: Sets; all unless given.
        write: Make the sets and write them to the folder before.
        solve_again: Certify the optima anew; else only draw the instances and replay the schedules.
        folder: Folder of the sets.
    """
    for name in names or tuple(benchmark_sets.RECIPES):
        if name not in benchmark_sets.RECIPES:
            raise UnknownName("benchmark set", name, benchmark_sets.RECIPES)
        path = folder / f"{name}.npz"
        if write:
            benchmark_sets.make(name, progress=True).save(path)
        loaded = BenchmarkSet.load(path)
        found = list(benchmark_sets.problems(loaded, solve_again=solve_again, progress=True))
        if found:
            raise PlEnvError("; ".join(found))
        print(
            f"{name}: {len(loaded)} instances, {int(loaded.is_optimal.sum())} with a proven optimum, "
            f"{int(loaded.served.sum())} users served, {int(loaded.upper_bound.sum())} at most; "
            f"{path.stat().st_size / 1e3:.0f} kB, SHA-256 {loaded.content_hash()[:16]}"
        )


@app.command
def solvers(names: tuple[str, ...] = (), sets: tuple[str, ...] = (), out: Path | None = None) -> None:
    """Run all solvers on all benchmark sets; the table goes to docs/solvers.md if nothing is left out.

    Args:
        names: Solvers; all unless given.
        sets: Benchmark sets; all unless given.
        out: Document to put the table into, between the marks it has for it.
    """
    chosen = names or tuple(baselines.solvers())
    results = {name: solver_table.measure(benchmark(name), chosen, progress=True) for name in sets or benchmark_names()}
    text = solver_table.table(results)
    print(text)
    if out is None and not names and not sets:
        out = Path("docs/solvers.md")
    if out is not None:
        solver_table.write(text, out)
        print(f"written: {out}")


@app.command
def version() -> None:
    """Print the hash of the code that decides the numbers."""
    print(code_version())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return exit_code(lambda: app.cli(args=arguments, prog="python -m experiments"))


if __name__ == "__main__":
    sys.exit(main())
