"""All solvers on all benchmark sets: served ratio, gap to the optimum, run time; written to docs/solvers.md."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import baselines
import pl_env
from experiments.tables import duration, markdown
from pl_env.errors import UnsupportedInstance
from pl_env.files import write_atomically
from pl_env.partial_loading.benchmark import BenchmarkSet

TABLE_START, TABLE_END = "<!-- table -->", "<!-- end of table -->"


@dataclass(frozen=True)
class Row:
    """How one solver did on one set (N instances).

    Attributes:
        solver: Its name, or "upper bound".
        served_ratio: float64 (N,), served users / K; of the bound: its users / K.
        seconds: float64 (N,), wall-clock seconds of `baselines.solve`.
        proven: Number of instances whose optimum the solver proved itself.
    """

    solver: str
    served_ratio: NDArray[np.float64]
    seconds: NDArray[np.float64]
    proven: int


def measure(benchmark: BenchmarkSet, solvers: Sequence[str], *, progress: bool = False) -> list[Row]:
    """Solve every instance of a set with every solver that covers it; best first."""
    rows = [_bound(benchmark)]  # first, as `exact` calls it and its kernels compile here
    for name in tqdm(solvers, benchmark.name, disable=not progress):
        try:
            baselines.solve(benchmark.instances[0], name)  # kernels compile at their first call
        except UnsupportedInstance:
            continue
        seconds, schedules = [], []
        for instance in benchmark.instances:
            start = time.perf_counter()
            schedules.append(baselines.solve(instance, name))
            seconds.append(time.perf_counter() - start)
        proven = sum(schedule.status == "optimal" for schedule in schedules)
        rows.append(Row(name, np.array([s.served_ratio for s in schedules]), np.array(seconds), proven))
    return [rows[0], *sorted(rows[1:], key=lambda row: -row.served_ratio.mean())]


def _bound(benchmark: BenchmarkSet) -> Row:
    baselines.upper_bound(benchmark.instances[0])
    ratios, seconds = [], []
    for instance in benchmark.instances:
        start = time.perf_counter()
        bound = baselines.upper_bound(instance)
        seconds.append(time.perf_counter() - start)
        ratios.append(bound / instance.n_users)
    return Row("*upper bound*", np.array(ratios), np.array(seconds), 0)


def table(results: dict[str, list[Row]]) -> str:
    """The results as one Markdown table."""
    rows = []
    for name, of_solvers in results.items():
        benchmark = pl_env.benchmark(name)
        best = benchmark.served / np.array([instance.n_users for instance in benchmark.instances])
        for row in of_solvers:
            ratio = row.served_ratio.mean()
            rows.append(
                {
                    "set": name,
                    "solver": row.solver if row.solver.startswith("*") else f"`{row.solver}`",
                    "served ratio": f"{ratio:.4f}",
                    "gap to the optimum": f"{100 * (1 - ratio / best.mean()):+.2f} %",
                    "proven": f"{row.proven} of {len(benchmark)}" if row.proven else "",
                    "median time": duration(float(np.median(row.seconds))),
                    "longest time": duration(float(row.seconds.max())),
                }
            )
    return markdown(rows, right=("served ratio", "gap to the optimum", "proven", "median time", "longest time"))


def write(text: str, path: Path) -> None:
    """Put the table in its place in the document."""
    before, _, rest = path.read_text().partition(TABLE_START)
    _, _, after = rest.partition(TABLE_END)
    write_atomically(path, f"{before}{TABLE_START}\n{text}\n{TABLE_END}{after}".encode())
