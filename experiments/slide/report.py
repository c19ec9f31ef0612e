"""Writes the figures, their CSV files and the report. Here are the numbers; the words are in ``report.md.jinja``."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import scipy
from matplotlib.figure import Figure as Picture

from baselines.statistics import mean_and_half_width
from experiments import drawing
from experiments.figures import Figure, Panel
from experiments.points import Result, code_version
from experiments.slide import gains, latency
from experiments.slide.figures import DAI, EDF_GREEDY, EXACT, MOORE_HODGSON, SMALLEST_MODEL, STATIC, panel, point_label
from experiments.slide.targets import CLOSE_POINTS, CLOSE_USERS, COLUMNS, GAIN, TARGETS, Comparison, Results, measure
from experiments.tables import point_row, render, write_csv
from pl_env.figures import save_figure
from pl_env.files import write_atomically

TEMPLATE = Path(__file__).parent / "report.md.jinja"


@dataclass(frozen=True)
class Findings:
    """Everything that was computed.

    Attributes:
        figures: The figures, in order.
        results: Results of each panel, in users served.
        realisations: Instances a point.
        seed: Seed of the first instance.
        command: Command that makes the report.
    """

    figures: tuple[Figure, ...]
    results: Results
    realisations: int
    seed: int
    command: str


def write(findings: Findings, out: Path) -> Path:
    """Write the report, its figures and CSV files into a folder; returns the report's path."""
    compared = [measure(target, findings.results) for target in TARGETS if target.panel in findings.results]
    for figure in findings.figures:
        save_figure(_picture(figure, findings.results), out / "images" / "slide" / f"{figure.name}.png")
        write_csv(out / "slide" / f"{figure.name}.csv", _figure_rows(figure, findings.results))
    if compared:
        write_csv(out / "slide" / "prototype-against-ours.csv", [_target_row(one, findings) for one in compared])
    path = out / "reproduction-slide.md"
    write_atomically(path, render(TEMPLATE, _values(findings, compared)).encode())
    return path


def _picture(figure: Figure, results: Results) -> Picture:
    if figure.name == "latency":
        return latency.draw(latency.latencies())
    if figure.name == "gain":
        return gains.draw(figure.panels, results)
    highest = max(result.objective.mean(axis=1).max() for panel in figure.panels for result in results[panel.name])
    return drawing.draw(figure, results, "users served", float(highest), ".2f")


# ---------------------------------------------------------------- what the template names


def _values(findings: Findings, compared: Sequence[Comparison]) -> dict[str, Any]:
    return {
        "command": findings.command,
        "realisations": findings.realisations,
        "seed": findings.seed,
        "last_seed": findings.seed + findings.realisations - 1,
        "code": code_version("slide")[:12],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "cores": os.cpu_count(),
        "figures": [_figure_values(figure, findings.results) for figure in findings.figures],
        "n_close": sum(not one.is_far for one in compared),
        "n_far": sum(one.is_far for one in compared),
        "columns": COLUMNS,
        "close_users": CLOSE_USERS,
        "close_points": CLOSE_POINTS,
        "rows": _by_point([one for one in compared if one.target.curve in COLUMNS]),
        "others": [one for one in compared if one.target.curve not in COLUMNS],
        "exact": _exact(findings.results),
    }


def _figure_values(figure: Figure, results: Results) -> dict[str, Any]:
    """A figure, and the numbers of what is said about it besides."""
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "gains": _gains(figure.panels, results) if figure.name == "gain" else None,
        "presets": _presets(figure.panels, results) if figure.timed else None,
        "latency": _latency() if not figure.panels else None,
    }


def _gains(panels: Sequence[Panel], results: Results) -> list[dict[str, Any]]:
    return [
        {
            "point": point_label(panel, value),
            "static": result.objective[result.row(STATIC.label)].mean(),
            "dai": result.objective[result.row(DAI.label)].mean(),
            "gain": gains.gain(result),
        }
        for panel in panels
        for value, result in zip(panel.values, results[panel.name], strict=True)
    ]


def _presets(panels: Sequence[Panel], results: Results) -> dict[str, Any]:
    """Users served by each solver on each preset, with half-widths; and the gains of `static`."""
    of_presets = {panel.name: results[panel.name][0] for panel in panels}
    labels = [curve.label for curve in panels[0].curves]
    return {
        "names": list(of_presets),
        "rows": {
            label: [mean_and_half_width(result.objective[result.row(label)]) for result in of_presets.values()]
            for label in labels
        },
        "gains": {name: gains.gain(result) for name, result in of_presets.items()},
        "lost_to_choice": _mean_difference(of_presets["compressed"], STATIC.label, SMALLEST_MODEL.label),
    }


def _mean_difference(result: Result, label: str, other: str) -> tuple[float, float]:
    return mean_and_half_width(result.objective[result.row(label)] - result.objective[result.row(other)])


def _latency() -> dict[str, Any]:
    rows = latency.latencies()
    return {
        "rows": rows,
        "link": latency.LINK_BPS / 1e6,
        "disk": latency.DISK_BYTES_PER_SECOND / 1e6,
        "mean_cut": float(np.mean([row.cut_percent for row in rows])),
        "mean_slowdown": float(np.mean([row.slowdown for row in rows])),
        "other_link": latency.faster_link_with_the_same_mean_cut() / 1e6,
    }


def _by_point(compared: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """The comparisons of each point, in the order of `COLUMNS`."""
    rows: dict[str, list[Comparison]] = {}
    for one in compared:
        label = point_label(panel(one.target.panel), one.target.value)
        rows.setdefault(label, []).append(one)
    return rows


def _exact(results: Results) -> dict[str, Any] | None:
    """Whether `exact` proved all its plans optimal, and by how much others are below it; None if nothing was computed.

    What took less than its time limit is proven.
    """
    found = [result for of_panel in results.values() for result in of_panel]
    if not found:
        return None
    exact, greedy, after = (
        np.concatenate([result.objective[result.row(curve.label)] for result in found])
        for curve in (EXACT, EDF_GREEDY, MOORE_HODGSON)
    )
    longest = max(float(result.seconds[result.row(EXACT.label)].max()) for result in found)
    return {
        "is_proven": longest < EXACT.options["time_limit"],
        "below_percent": float(100 * (1 - greedy.mean() / exact.mean())),
        "moore_below_percent": float(100 * (1 - after.mean() / exact.mean())),
    }


# ---------------------------------------------------------------- CSV files


def _figure_rows(figure: Figure, results: Results) -> list[dict[str, object]]:
    if figure.name == "latency":
        return [
            asdict(row) | {"cut_percent": f"{row.cut_percent:.4f}", "slowdown": f"{row.slowdown:.6f}"}
            for row in latency.latencies()
        ]
    points = [
        (panel, value, result)
        for panel in figure.panels
        for value, result in zip(panel.values, results[panel.name], strict=True)
    ]
    if figure.name == "gain":
        return [_gain_row(*point) for point in points]
    return [
        point_row(*point, row, quantity="users_served", timed=figure.timed)
        for point in points
        for row in range(len(point[0].curves))
    ]


def _gain_row(panel: Panel, value: float, result: Result) -> dict[str, object]:
    """The gain in place of the users whom `static` serves."""
    percent, half_width = gains.gain(result)
    numbers = {"low": f"{percent - half_width:.4f}", "high": f"{percent + half_width:.4f}"}
    whole = point_row(panel, value, result, result.row(STATIC.label), quantity="gain_percent", timed=False)
    return whole | {"curve": "static over dai", "gain_percent": f"{percent:.4f}", "solver": "static, dai"} | numbers


def _target_row(one: Comparison, findings: Findings) -> dict[str, object]:
    target = one.target
    return {
        "panel": target.panel,
        "value": f"{target.value:g}",
        "curve": target.curve,
        "unit": "%" if target.curve == GAIN else "users served",
        "prototype": f"{target.number:g}",
        "ours": f"{one.ours:.4f}",
        "half_width_95": "" if math.isnan(one.half_width) else f"{one.half_width:.4f}",
        "realisations": findings.realisations,
        "seed": findings.seed,
        "code": code_version("slide")[:12],
    }
