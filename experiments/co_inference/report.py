"""Writes the figures, their CSV files and the report. Here are the numbers; the words are in ``report.md.jinja``."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from matplotlib.figure import Figure as Picture

import baselines
from baselines.statistics import mean_and_half_width
from experiments import drawing
from experiments.co_inference import output_bound, output_distortion, splits
from experiments.co_inference.targets import CLOSE, TARGETS, Comparison, Results, is_static, measure, point_label
from experiments.figures import Figure
from experiments.points import EXPERIMENT_STREAM, Result, code_version
from experiments.tables import point_row, render, write_csv
from pl_env.co_inference.scenario import Scenario
from pl_env.figures import save_figure
from pl_env.files import write_atomically

TEMPLATE = Path(__file__).parent / "report.md.jinja"

SCA_CHANNELS = 60
"""Channels, and starts, on which `sca` is compared with the optimum."""


@dataclass(frozen=True)
class Findings:
    """Everything that was computed.

    Attributes:
        figures: The figures, in order.
        results: Results of each panel: distortions of one task, qualities of streams.
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
    studied = {
        "splits": splits.rows() if _has(findings, "splits") else [],
        "output-distortion": output_distortion.study(findings.seed) if _has(findings, "output-distortion") else [],
    }
    for figure in findings.figures:
        name = figure.name
        save_figure(_picture(figure, findings.results, studied), out / "images" / "co_inference" / f"{name}.png")
        write_csv(out / "co_inference" / f"{name}.csv", _figure_rows(figure, findings.results, studied))
    if compared:
        rows = [_target_row(one, findings) for one in compared]
        write_csv(out / "co_inference" / "prototype-against-ours.csv", rows)
    path = out / "reproduction-co-inference.md"
    write_atomically(path, render(TEMPLATE, _values(findings, compared, studied)).encode())
    return path


def _has(findings: Findings, name: str) -> bool:
    return any(figure.name == name for figure in findings.figures)


def _picture(figure: Figure, results: Results, studied: dict[str, Any]) -> Picture:
    if figure.name == "splits":
        return splits.draw(studied["splits"])
    if figure.name == "output-distortion":
        return output_distortion.draw(studied["output-distortion"])
    quantity = "mean weighted quality" if figure.timed else "distortion λ·D"
    return drawing.draw(figure, results, quantity, 0.8 if figure.timed else 1.0)


# ---------------------------------------------------------------- what the template names


def _values(findings: Findings, compared: Sequence[Comparison], studied: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": findings.command,
        "realisations": findings.realisations,
        "seed": findings.seed,
        "code": code_version("co_inference")[:12],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "numba": numba.__version__,
        "cores": os.cpu_count(),
        "figures": findings.figures,
        "n_close": sum(not one.is_far for one in compared),
        "n_far": sum(one.is_far for one in compared),
        "close": CLOSE,
        "points": _by_point(compared),
        "sca": _sca(findings.seed) if _has(findings, "distortion") else None,
        "streams": _streams(findings.results),
        "study": _study(studied["output-distortion"], findings.seed),
        "split_rows": [row for row in studied["splits"] if row.useful],
    }


def _by_point(compared: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """The comparisons of each point."""
    rows: dict[str, list[Comparison]] = {}
    for one in compared:
        rows.setdefault(point_label(one.target.panel, one.target.value), []).append(one)
    return rows


def _sca(seed: int) -> dict[str, Any]:
    """Successive approximation against the optimum, from random starts: largest gap of the fraction, either way."""
    scenario, gaps, seconds = Scenario.preset("static"), [], []
    for n in range(SCA_CHANNELS):
        instance = scenario.sample(np.random.default_rng((EXPERIMENT_STREAM, seed, n)))
        plan = baselines.solve(instance, "sca", seed=n + 1)
        gaps.append(float(baselines.solve(instance, "optimal").kept[0] - plan.kept[0]))
        seconds.append(plan.elapsed)
    return {"count": SCA_CHANNELS, "below": max(gaps), "above": -min(gaps), "milliseconds": 1e3 * np.median(seconds)}


def _streams(results: Results) -> dict[str, Any]:
    """Differences between policies on the same episodes, with half-widths."""
    found = {}
    for name in ("default", "budget"):
        if name in results:
            result = results[name][0]
            found[name] = {
                "exact": _difference(result, "exact", "online-dp"),
                "dp": _difference(result, "online-dp", "battery-price"),
                "fluid": _difference(result, "online-dp", "fluid-price"),
            }
    return found


def _difference(result: Result, label: str, other: str) -> tuple[float, float]:
    return mean_and_half_width(result.objective[result.row(label)] - result.objective[result.row(other)])


def _study(rows: Sequence[output_distortion.StudyRow], seed: int) -> dict[str, Any] | None:
    """The study's table, and how loose the bound is."""
    if not rows:
        return None
    networks: dict[str, dict[float, output_distortion.StudyRow]] = {}
    for row in rows:
        networks.setdefault(row.network, {})[row.kept] = row
    broken, looseness = output_bound.looseness(1000, seed)
    below = {
        name: min((r for r in of if r < 1 and all(of[s].outputs <= of[s].parameters for s in of if r <= s < 1)),
                  default=None)
        for name, of in networks.items()
    }  # fmt: skip
    return {
        "networks": networks,
        "fractions": (0.3, 0.5, 0.7, 0.9),
        "broken": broken,
        "loose": looseness,
        "below": below,
        "worst_half": min(of[0.5].accuracy for of in networks.values()),
    }


# ---------------------------------------------------------------- CSV files


def _figure_rows(figure: Figure, results: Results, studied: dict[str, Any]) -> list[dict[str, object]]:
    if not figure.panels:
        return [
            {key: f"{value:.8g}" if isinstance(value, float) else value for key, value in row._asdict().items()}
            for row in studied[figure.name]
        ]
    return [
        point_row(panel, value, result, row, quantity=_quantity(panel.name), timed=figure.timed)
        for panel in figure.panels
        for value, result in zip(panel.values, results[panel.name], strict=True)
        for row in range(len(panel.curves))
    ]


def _quantity(name: str) -> str:
    return "distortion" if is_static(name) else "mean_weighted_quality"


def _target_row(one: Comparison, findings: Findings) -> dict[str, object]:
    target = one.target
    return {
        "panel": target.panel,
        "value": f"{target.value:g}",
        "curve": target.curve,
        "quantity": _quantity(target.panel),
        "prototype": f"{target.number:g}",
        "ours": f"{one.ours:.6f}",
        "half_width_95": "" if math.isnan(one.half_width) else f"{one.half_width:.6f}",
        "realisations": findings.realisations,
        "seed": findings.seed,
        "code": code_version("co_inference")[:12],
    }
