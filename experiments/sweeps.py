"""Sweeps: many trainings over many cores, which runs are where meanwhile, a table and learning curves at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.live import Live
from rich.table import Table

from baselines.parallel import Workers, map_tasks, require_workers
from experiments.sweep_files import Sweep
from experiments.sweep_runs import SIGN, Record, Run, train
from experiments.tables import markdown, write_csv
from pl_env.figures import save_figure
from pl_env.files import write_atomically

AXES = (
    ("cpu_seconds", 60, "minutes of processor time"),
    ("seconds", 60, "minutes of training"),
    ("states", 1000, "states learnt from, thousands"),
)
"""What curves are drawn over, its unit, and its name."""


def run(sweep: Sweep, out: Path, workers: Workers) -> str:
    """Train what is not trained yet, then write table.md, curves.csv and curves.png.

    Args:
        sweep: What to train.
        out: The sweep's folder, which with a cluster all nodes must see.
        workers: Who trains; see `baselines.parallel.Workers`.

    Returns:
        The table.

    Raises:
        PlEnvError: A run in the folder is of something else; or as in `baselines.parallel.map_tasks`.
    """
    require_workers(workers)
    sign = out.resolve() / SIGN
    if not sign.exists():
        write_atomically(sign, uuid4().hex.encode())
    common = (sweep.episodes, sweep.evaluate_every, out.resolve(), sign.read_text())
    runs = [Run(entry, *common) for entry in sweep.entries]
    missing = [each for each in runs if not each.record()["done"]]
    with Live(get_renderable=lambda: progress(runs), console=Console(stderr=True), refresh_per_second=0.5):
        for _ in map_tasks(train, missing, workers=workers, ordered=False):
            pass
    records = [each.record() for each in runs]
    text = table(records)
    write_atomically(out / "table.md", text.encode())
    write_csv(out / "curves.csv", curve_rows(records))
    save_figure(draw(records), out / "curves.png")
    return text


def progress(runs: Sequence[Run]) -> Table:
    """Which runs are where, and how far."""
    shown = Table("scenario", "algorithm", "seed", "round", "states", "objective", "where")
    for each in runs:
        entry, record = each.entry, each.record()
        objective = f"{record['points'][-1]['objective']:.4f}" if record["points"] else ""
        where = "done" if record["done"] else record["where"]
        numbers = (f"{entry.seed}", f"{record['round']}", f"{record['states']:,.0f}", objective)
        shown.add_row(entry.scenario, entry.algorithm, *numbers, where)
    return shown


def groups(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """The runs of each scenario and algorithm, which differ by their seeds."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record["of"]["scenario"], record["of"]["algorithm"]), []).append(record)
    return found


def table(records: Sequence[Record]) -> str:
    """The last points as Markdown."""
    rows = []
    for (scenario, algorithm), of in groups(records).items():
        last = [record["points"][-1] for record in of]
        objectives = [point["objective"] for point in last]
        gaps = [100 * point["gap"] for point in last if point["gap"] is not None]
        means = [np.mean([point[name] for point in last]) for name in ("states", "seconds", "cpu_seconds")]
        states, seconds, cpu = (f"{mean:,.0f}" for mean in means)
        rows.append(
            {
                "scenario": scenario,
                "algorithm": algorithm,
                "seeds": f"{len(of)}",
                "objective, mean": f"{np.mean(objectives):.4f}",
                "lowest … highest seed": f"{min(objectives):.4f} … {max(objectives):.4f}",
                "gap to the optimum": f"{np.mean(gaps):.2f} %" if gaps else "",
                "states": states,
                "seconds": seconds,
                "CPU seconds": cpu,
            }
        )
    numbers = [name for name in rows[0] if name not in ("scenario", "algorithm")]
    return markdown(rows, right=numbers) + "\n"


def curve_rows(records: Sequence[Record]) -> list[dict[str, object]]:
    """All points, for a CSV file."""
    named = ("scenario", "algorithm", "seed")
    return [{name: record["of"][name] for name in named} | point for record in records for point in record["points"]]


def draw(records: Sequence[Record]) -> Figure:
    """Mean over seeds with the range of all seeds, a row for each scenario."""
    grouped = groups(records)
    scenarios = list(dict.fromkeys(scenario for scenario, _ in grouped))
    figure = Figure(figsize=(15, 4.5 * len(scenarios)), layout="constrained")
    panels = figure.subplots(len(scenarios), len(AXES), sharey="row", squeeze=False)
    for row, scenario in zip(panels, scenarios, strict=True):
        curves = {algorithm: of for (where, algorithm), of in grouped.items() if where == scenario}
        for axes, (along, unit, name_of_axis) in zip(row, AXES, strict=True):
            for algorithm, of in curves.items():
                places = [[point[along] / unit for point in record["points"]] for record in of]
                values = [[point["objective"] for point in record["points"]] for record in of]
                grid = np.linspace(max(each[0] for each in places), min(each[-1] for each in places), 200)
                heights = [np.interp(grid, *each) for each in zip(places, values, strict=True)]
                (line,) = axes.plot(grid, np.mean(heights, axis=0), label=algorithm)
                low, high = np.min(heights, axis=0), np.max(heights, axis=0)
                axes.fill_between(grid, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
            axes.set_xscale("log")
            axes.grid(alpha=0.3)
            axes.set_xlabel(name_of_axis)
        row[0].set_ylabel(f"{scenario}: objective, validation episodes")
        row[0].legend(loc="best")
    return figure
