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

from baselines.statistics import mean_and_half_width
from experiments import drawing
from experiments.figures import Figure
from experiments.online.figures import URGENT_GREEDY
from experiments.online.points import QUANTITIES, in_quantity
from experiments.points import Result, code_version
from experiments.tables import point_row, render, write_csv
from pl_env.figures import save_figure
from pl_env.files import write_atomically

TEMPLATE = Path(__file__).parent / "report.md.jinja"

Results = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class Findings:
    """Everything that was computed.

    Attributes:
        figures: The figures, in order.
        results: Results of each panel, with all quantities.
        realisations: Episodes a point.
        seed: Their seed.
        command: Command that makes the report.
    """

    figures: tuple[Figure, ...]
    results: Results
    realisations: int
    seed: int
    command: str


def write(findings: Findings, out: Path) -> Path:
    """Write the report, its figures and CSV files into a folder; returns the report's path."""
    for figure in findings.figures:
        shown = {
            panel.name: [in_quantity(result, figure.name) for result in findings.results[panel.name]]
            for panel in figure.panels
        }
        picture = drawing.draw(figure, shown, QUANTITIES[figure.name], 1.0)
        save_figure(picture, out / "images" / "online" / f"{figure.name}.png")
        write_csv(out / "online" / f"{figure.name}.csv", _rows(figure, shown))
    path = out / "reproduction-online.md"
    write_atomically(path, render(TEMPLATE, _values(findings)).encode())
    return path


def _rows(figure: Figure, shown: Results) -> list[dict[str, object]]:
    return [
        point_row(panel, value, result, row, quantity=figure.name, timed=False)
        for panel in figure.panels
        for value, result in zip(panel.values, shown[panel.name], strict=True)
        for row in range(len(panel.curves))
    ]


# ---------------------------------------------------------------- what the template names


def _values(findings: Findings) -> dict[str, Any]:
    return {
        "command": findings.command,
        "realisations": findings.realisations,
        "seed": findings.seed,
        "code": code_version("online")[:12],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "cores": os.cpu_count(),
        "figures": [
            {"name": figure.name, "title": figure.title, "caption": figure.caption} for figure in findings.figures
        ],
        "quantities": list(QUANTITIES.values()),
        "preset": _preset(findings),
        "gains": _gains(findings),
    }


def _preset(findings: Findings) -> dict[str, list[tuple[float, float]]]:
    """All quantities of every policy at the preset, with half-widths."""
    panel = next(panel for panel in findings.figures[0].panels if panel.name == "load")
    result = findings.results[panel.name][panel.values.index(120.0)]
    return {
        curve.label: [mean_and_half_width(in_quantity(result, name).objective[row]) for name in QUANTITIES]
        for row, curve in enumerate(panel.curves)
    }


def _gains(findings: Findings) -> list[dict[str, Any]]:
    """At each point: `urgent-greedy`, the best simpler rule, and by how much others are above, paired by episode."""
    gains = []
    for panel in findings.figures[0].panels:
        labels = [curve.label for curve in panel.curves]
        place = labels.index(URGENT_GREEDY.label)
        for value, measured in zip(panel.values, findings.results[panel.name], strict=True):
            result = in_quantity(measured, "goodput")
            rule = max(range(place), key=lambda row: float(result.objective[row].mean()))
            base = result.objective[place]
            gains.append(
                {
                    "point": f"{panel.axis}: {panel.label(value)}",
                    "goodput": mean_and_half_width(base),
                    "rule": labels[rule],
                    "above_rule": mean_and_half_width(100 * (base - result.objective[rule])),
                    "above": {
                        label: mean_and_half_width(100 * (result.objective[row] - base))
                        for row, label in enumerate(labels)
                        if row > place
                    },
                }
            )
    return gains
