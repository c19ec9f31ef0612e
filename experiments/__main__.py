"""Experiments from the command line: ``python -m experiments reproduce``, ``benchmark-sets``, ``solvers``."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import tyro

import baselines
from baselines.parallel import workers_of
from experiments import solver_table
from experiments.benchmark_sets import certify
from experiments.points import code_version
from pl_env import benchmark, benchmark_names
from pl_env.command_line import exit_code
from pl_env.errors import UnknownName
from pl_env.packages import require_package
from pl_env.ranges import require_integer
from pl_env.systems import FIRST, SYSTEMS, face, split

app = tyro.extras.SubcommandApp()


def room(system: str, module: str) -> ModuleType:
    """A module of a system's room, ``experiments.<system>``.

    ``reproduction`` has ``FULL`` and ``QUICK`` (realisations), ``figures(names)`` and ``reproduce(...)``;
    what ``benchmark_sets`` has, says `experiments.benchmark_sets`.

    Raises:
        UnknownName: There is no such system.
    """
    face(system)
    return import_module(f"experiments.{system}.{module}")


def with_figures() -> list[str]:
    """The systems that have figures."""
    return [system for system in SYSTEMS if find_spec(f"experiments.{system}.reproduction")]


@app.command
def reproduce(
    systems: tyro.conf.Positional[tuple[str, ...]] = (),
    figures: tuple[str, ...] = (),
    quick: bool = False,
    realisations: int | None = None,
    seed: int = 0,
    engine: str = "process",
    workers: int = 0,
    cache: Path = Path("runs/reproduction-cache"),
    out: Path | None = None,
) -> None:
    """Compute the figures of a system's paper, and set its numbers beside ours.

    Args:
        systems: Systems; all unless given.
        figures: Names of figures, of the first system unless one is named; all unless given.
        quick: A few realisations a point in place of as many as in the paper: about a minute.
        realisations: Channel realisations a point.
        seed: Seed of the instances.
        engine: Who computes: process; ray, a Ray cluster of this machine's cores; ray:ADDRESS, one that runs.
        workers: Processes; 0 for one per core.
        cache: Folder that keeps finished points; an interrupted run goes on from it.
        out: Folder of the report. Only a complete run goes to docs unless told otherwise; others go to runs.
    """
    require_integer("seed", seed, 0)
    who = workers_of(engine, workers)
    if realisations is not None:
        require_integer("realisations", realisations, 1)
    rooms = [room(system, "reproduction") for system in systems or ((FIRST,) if figures else with_figures())]
    chosen = [of_system.figures(figures) for of_system in rooms]
    for of_system, its_figures in zip(rooms, chosen, strict=True):
        n = realisations or (of_system.QUICK if quick else of_system.FULL)
        complete = not figures and n == of_system.FULL and seed == 0
        folder = Path("docs" if complete else "runs/reproduction-quick" if quick else "runs/reproduction")
        command = "make reproduce" if complete else _command(systems, figures, n, seed)
        written = of_system.reproduce(its_figures, n, seed, cache, who, command, out or folder)
        print(f"written: {written}")


def _command(systems: tuple[str, ...], figures: tuple[str, ...], realisations: int, seed: int) -> str:
    """What to type to get the same again."""
    words = ["python -m experiments reproduce", *systems]
    if figures:
        words += ["--figures", *figures]
    return " ".join([*words, f"--realisations {realisations} --seed {seed}"])


@app.command
def list_figures(systems: tyro.conf.Positional[tuple[str, ...]] = ()) -> None:
    """List the figures: system, name, title.

    Args:
        systems: Systems; all unless given.
    """
    for system in systems or with_figures():
        for figure in room(system, "reproduction").figures():
            print(f"{system:16s} {figure.name:8s} {figure.title}")


@app.command(name="benchmark-sets")
def certify_benchmark_sets(
    names: tuple[str, ...] = (),
    write: bool = False,
    solve_again: bool = True,
    folder: Path | None = None,
    engine: str = "process",
    workers: int = 1,
) -> None:
    """Draw the benchmark sets again, replay their schedules and certify their optima anew; or make them.

    Args:
        names: Sets; all unless given.
        write: Make the sets and write them to the folder before.
        solve_again: Certify the optima anew; else only draw the instances and replay the schedules.
        folder: Folder of the sets; where those that ship with the package lie, unless given.
        engine: Who solves: process; ray, a Ray cluster of this machine's cores; ray:ADDRESS, one that runs.
        workers: Processes; 0 for one per core.
    """
    who = workers_of(engine, workers)
    everything = (f"{system}/{name}" for system in SYSTEMS for name in room(system, "benchmark_sets").RECIPES)
    for system, name in map(split, names or everything):
        print(certify(system, name, write=write, solve_again=solve_again, folder=folder, workers=who))


@app.command
def solvers(
    names: tuple[str, ...] = (),
    sets: tuple[str, ...] = (),
    engine: str = "process",
    workers: int = 1,
    out: Path | None = None,
) -> None:
    """Run all solvers on all benchmark sets; the table goes to docs/solvers.md if nothing is left out.

    Args:
        names: Solvers; all unless given.
        sets: Benchmark sets; all unless given.
        engine: Who solves: process; ray, a Ray cluster of this machine's cores; ray:ADDRESS, one that runs.
        workers: Processes; 0 for one per core. More than one slow each other down, and times count here.
        out: Existing document to put the table into, between the marks it has for it.
    """
    who = workers_of(engine, workers)
    benchmarks = {name: benchmark(name) for name in sets or benchmark_names()}
    known = {name: tuple(baselines.solvers(split(name)[0])) for name in benchmarks}
    everybody = set().union(*known.values())
    for name in names:
        if name not in everybody:
            raise UnknownName("solver", name, everybody)
    results = {}
    for name, of_set in benchmarks.items():
        chosen = [solver for solver in names or known[name] if solver in known[name]]
        results[name] = solver_table.measure(of_set, chosen, workers=who, progress=True)
    text = solver_table.table(results)
    if out is None and not names and not sets:
        out = Path("docs/solvers.md")
    if out is not None:
        solver_table.write(text, out)
    print(text)
    if out is not None:
        print(f"written: {out}")


@app.command
def sweep(file: tyro.conf.Positional[Path], engine: str = "process", workers: int = 0, out: Path | None = None) -> None:
    """Train every algorithm of a TOML file on every scenario with every seed; a table and learning curves at the end.

    A run that is killed goes on from its checkpoint, here or on another node. ``docs/scale.md`` has an example.

    Args:
        file: The TOML file.
        engine: Who trains: process; ray, a Ray cluster of this machine's cores; ray:ADDRESS, one that runs.
        workers: Processes; 0 for one per core.
        out: Folder of the runs, which all nodes of a cluster must see; runs/NAME of the file unless given.
    """
    who = workers_of(engine, workers)
    said = require_package("experiments.sweep_files").read(file)
    folder = out or Path("runs") / file.stem
    print(require_package("experiments.sweeps").run(said, folder, who))
    print(f"written: {folder}")


@app.command
def version(system: tyro.conf.Positional[str] = FIRST) -> None:
    """Print the hash of the code that decides a system's numbers.

    Args:
        system: The system.
    """
    face(system)
    print(code_version(system))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    return exit_code(lambda: app.cli(args=arguments, prog="python -m experiments"))


if __name__ == "__main__":
    sys.exit(main())
