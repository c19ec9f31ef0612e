"""Writes the figures, their CSV files and the report. Here are the numbers; the words are in ``report.md.jinja``."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from matplotlib.figure import Figure as Picture

from baselines.statistics import mean_and_half_width
from experiments import drawing
from experiments.cold_start import latency
from experiments.figures import Figure, Panel
from experiments.points import Result, code_version
from experiments.tables import duration, point_row, render, write_csv
from pl_env.figures import save_figure
from pl_env.files import write_atomically

TEMPLATE = Path(__file__).parent / "report.md.jinja"


@dataclass(frozen=True)
class Findings:
    """Everything that was computed.

    Attributes:
        figures: The figures, in order.
        results: Results of each panel, as multiples of the optimum.
        realisations: Instances a point.
        seed: Seed of the first instance.
        command: Command that makes the report.
    """

    figures: tuple[Figure, ...]
    results: Mapping[str, Sequence[Result]]
    realisations: int
    seed: int
    command: str


def write(findings: Findings, out: Path) -> Path:
    """Write the report, its figures and CSV files into a folder; returns the report's path."""
    for figure in findings.figures:
        save_figure(_picture(figure, findings), out / "images" / "cold-start" / f"{figure.name}.png")
        write_csv(out / "cold-start" / f"{figure.name}.csv", _rows(figure, findings))
    path = out / "reproduction-cold-start.md"
    write_atomically(path, render(TEMPLATE, _values(findings)).encode())
    return path


def _picture(figure: Figure, findings: Findings) -> Picture:
    if figure.name == "latency":
        return latency.draw()
    if figure.name == "gantt":
        return latency.draw_charts()
    highest = max(float(result.objective.mean(axis=1).max()) for (result,) in findings.results.values())
    return drawing.draw(figure, findings.results, "time over the optimum", highest, ".3f")


def _values(findings: Findings) -> dict[str, Any]:
    return {
        "command": findings.command,
        "realisations": findings.realisations,
        "seed": findings.seed,
        "last_seed": findings.seed + findings.realisations - 1,
        "code": code_version("cold_start")[:12],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "cores": os.cpu_count(),
        "figures": [_figure_values(figure, findings) for figure in findings.figures],
    }


def _figure_values(figure: Figure, findings: Findings) -> dict[str, Any]:
    """A figure, and the numbers of what is said about it besides."""
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "latency": _latency() if figure.name == "latency" else None,
        "charts": latency.charts() if figure.name == "gantt" else None,
        "presets": _presets(figure.panels, findings) if figure.panels else None,
    }


def _latency() -> dict[str, Any]:
    rows = {unit: latency.latencies(unit) for unit in latency.UNITS}
    return {
        "rows": list(zip(*rows.values(), strict=True)),
        "gains": {unit: latency.mean_gain(of_unit) for unit, of_unit in rows.items()},
        "published_gain": latency.PUBLISHED_GAIN,
        "furthest": max(
            abs(one.seconds["optimal-dp"] / one.published - 1) for of_unit in rows.values() for one in of_unit
        )
        * 100,
    }


def _presets(panels: Sequence[Panel], findings: Findings) -> dict[str, Any]:
    of_presets = {panel.name: findings.results[panel.name][0] for panel in panels}
    rows = {
        label: [
            (*mean_and_half_width(result.objective[result.row(label)]), _median(result, label))
            for result in of_presets.values()
        ]
        for label in (curve.label for curve in panels[0].curves)
    }
    return {"names": list(of_presets), "rows": rows}


def _median(result: Result, label: str) -> str:
    return duration(float(np.median(result.seconds[result.row(label)])))


# ---------------------------------------------------------------- CSV files


def _rows(figure: Figure, findings: Findings) -> list[dict[str, object]]:
    if figure.name == "latency":
        return [_latency_row(one) for unit in latency.UNITS for one in latency.latencies(unit)]
    if figure.name == "gantt":
        return [row for chart in latency.charts() for row in _chart_rows(chart)]
    return [
        point_row(panel, value, result, row, quantity="time_over_optimum", timed=True)
        for panel in figure.panels
        for value, result in zip(panel.values, findings.results[panel.name], strict=True)
        for row in range(len(panel.curves))
    ]


def _latency_row(one: latency.Latency) -> dict[str, object]:
    seconds = {f"{name.replace(' ', '_')}_s": f"{value:.9f}" for name, value in one.seconds.items()}
    about = {"tokens": one.tokens, "megabyte": latency.UNITS[one.unit], "published_s": one.published}
    return {**about, **seconds, "gain_percent": f"{one.gain_percent:.4f}", "optimal_plan": one.best.text}


def _chart_rows(chart: latency.Chart) -> list[dict[str, object]]:
    plans = [(chart.published, "MiB"), *((plan, unit) for unit, plan in chart.optimal.items())]
    return [
        {
            "tokens": chart.tokens,
            "megabyte": latency.UNITS[unit],
            "plan_of": plan.solver,
            "plan": plan.text,
            "seconds": f"{plan.finish_seconds:.9f}",
        }
        for plan, unit in plans
    ]
