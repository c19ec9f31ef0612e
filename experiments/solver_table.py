"""All solvers on all benchmark sets: objective, gap to the optimum, run time; written to docs/solvers.md."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import baselines
from baselines.parallel import Workers
from baselines.playing import SolvesAhead, play, require_covered
from baselines.statistics import relative_gap
from baselines.trials import Trials
from experiments.tables import duration, markdown
from pl_env.errors import UnsupportedInstance
from pl_env.files import write_atomically
from pl_env.protocols import BenchmarkSet
from pl_env.systems import FIRST, system_of

TABLE_START, TABLE_END = "<!-- table -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Row:
    """How one solver did on one set (N instances).

    Attributes:
        solver: Its name, or "*upper bound*".
        objective: float64 (N,), what its plans attain; of the bound: what no plan exceeds.
        seconds: float64 (N,), seconds that it took.
        proven: Number of instances whose optimum the solver proved itself.
        gap: Distance of its mean from that of the certified optima, as a share.
    """

    solver: str
    objective: NDArray[np.float64]
    seconds: NDArray[np.float64]
    proven: int
    gap: float


def measure(
    benchmark: BenchmarkSet, solvers: Sequence[str], *, workers: Workers = 1, progress: bool = False
) -> list[Row]:
    """Solve every instance of a set with every solver that covers it; best first, below the bound.

    Args:
        benchmark: The set.
        solvers: Names of the solvers.
        workers: Who solves, see `baselines.parallel.Workers`; with more than one they slow each other down.
        progress: Show a progress bar.
    """
    bounds = _bound(benchmark)  # first, as `exact` calls it and its kernels compile here
    trials = Trials.of(benchmark)
    covering = [name for name in solvers if _covers(name, trials)]
    if not covering:
        return bounds
    players = [SolvesAhead(name) for name in covering]
    record = play(players, trials, workers=workers, progress=progress, title=benchmark.name)
    gaps = [relative_gap(objective, benchmark.objective, record.sense) or 0.0 for objective in record.objective]
    rows = [
        Row(name, record.objective[row], record.seconds[row], int(record.proven[row].sum()), gaps[row])
        for row, name in enumerate(covering)
    ]
    return [*bounds, *sorted(rows, key=lambda row: row.gap)]


def _covers(solver: str, trials: Trials) -> bool:
    try:
        require_covered(trials, solver, {})
    except UnsupportedInstance:
        return False
    return True


def _bound(benchmark: BenchmarkSet) -> list[Row]:
    """The row of the bound that needs no solver, where the system has one: the first does."""
    if system_of(benchmark) != FIRST:
        return []
    baselines.upper_bound(benchmark.instances[0])
    ratios, seconds = [], []
    for instance in benchmark.instances:
        start = time.perf_counter()
        bound = baselines.upper_bound(instance)
        seconds.append(time.perf_counter() - start)
        ratios.append(bound / instance.n_users)
    gap = relative_gap(np.array(ratios), benchmark.objective, "max")
    return [Row("*upper bound*", np.array(ratios), np.array(seconds), 0, gap or 0.0)]


def table(results: dict[str, list[Row]]) -> str:
    """The results as one Markdown table, by the sets' names."""
    rows = [
        {
            "set": name,
            "solver": row.solver if row.solver.startswith("*") else f"`{row.solver}`",
            "objective": f"{row.objective.mean():.4f}",
            "gap to the optimum": f"{100 * row.gap:+.2f} %",
            "proven": f"{row.proven} of {len(row.objective)}" if row.proven else "",
            "median time": duration(float(np.median(row.seconds))),
            "longest time": duration(float(row.seconds.max())),
        }
        for name, of_solvers in results.items()
        for row in of_solvers
    ]
    return markdown(rows, right=("objective", "gap to the optimum", "proven", "median time", "longest time"))


def write(text: str, path: Path) -> None:
    """Put the table in its place in the document."""
    before, _, rest = path.read_text().partition(TABLE_START)
    _, _, after = rest.partition(TABLE_END)
    write_atomically(path, f"{before}{TABLE_START}\n{text}\n{TABLE_END}{after}".encode())
