"""Writes the figures, their CSV files and the report. Here are the numbers; the words are in ``report.md.jinja``."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np
from matplotlib.figure import Figure as Picture

from baselines.statistics import mean_and_half_width
from experiments import drawing
from experiments.figures import Figure, Panel
from experiments.partial_loading import latency, sensitivity
from experiments.partial_loading.figures import (
    EXHAUSTIVE,
    EXHAUSTIVE_SLOTTED,
    GREEDY,
    OPTIMAL_DP,
    PAPER_DP,
    PAPER_GREEDY,
)
from experiments.partial_loading.targets import CLOSE, TARGETS, Comparison, Results, Target, compare
from experiments.partial_loading.variants import UNCHANGED, VARIANTS
from experiments.points import EXPERIMENT_STREAM, Result, code_version
from experiments.tables import point_row, render, write_csv
from pl_env.figures import save_figure
from pl_env.files import write_atomically
from pl_env.partial_loading.scenario import Scenario

TEMPLATE = Path(__file__).parent / "report.md.jinja"


@dataclass(frozen=True)
class Findings:
    """Everything that was computed.

    Attributes:
        figures: The figures, in order.
        results: Results of each panel.
        uncompiled: Results of the timed panels, run as plain Python.
        sensitivity: Results of the panels under each variant, by its label.
        realisations: Instances a point.
        sensitivity_realisations: Instances a point of the sensitivity study.
        seed: Seed of the instances.
        command: Command that makes the report.
        targets: The published numbers of the figures' panels.
    """

    figures: tuple[Figure, ...]
    results: Results
    uncompiled: Results
    sensitivity: Mapping[str, Results]
    realisations: int
    sensitivity_realisations: int
    seed: int
    command: str
    targets: tuple[Target, ...] = field(init=False)

    def __post_init__(self) -> None:
        present = tuple(target for target in TARGETS if target.panel in self.results)
        object.__setattr__(self, "targets", present)


def write(findings: Findings, out: Path) -> Path:
    """Write the report, its figures and CSV files into a folder; returns the report's path."""
    compared = compare(findings.targets, findings.results)
    study = {label: compare(findings.targets, results) for label, results in findings.sensitivity.items()}
    for figure in findings.figures:
        save_figure(_picture(figure, findings.results), out / "images" / "reproduction" / f"{figure.name}.png")
        write_csv(out / "reproduction" / f"{figure.name}.csv", _figure_rows(figure, findings))
    if compared:
        write_csv(out / "reproduction" / "paper-against-ours.csv", _target_rows(compared, findings))
    if sensitivity.gain_panels(compared):
        write_csv(out / "reproduction" / "sensitivity.csv", _sensitivity_rows(study, findings))
    path = out / "reproduction.md"
    write_atomically(path, render(TEMPLATE, _values(findings, compared, study)).encode())
    return path


def _picture(figure: Figure, results: Results) -> Picture:
    if not figure.panels:
        return latency.draw(latency.latencies(Scenario().server))
    return drawing.draw(figure, results, "served user ratio", highest=1.0)


# ---------------------------------------------------------------- what the template names


def _values(findings: Findings, compared: Sequence[Comparison], study: sensitivity.Study) -> dict[str, Any]:
    n_far = sum(one.is_far for one in compared)
    return {
        "command": findings.command,
        "realisations": findings.realisations,
        "sensitivity_realisations": findings.sensitivity_realisations,
        "seed": findings.seed,
        "stream": EXPERIMENT_STREAM,
        "code": code_version()[:12],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "cores": os.cpu_count(),
        "close": CLOSE,
        "n_close": sum(not one.target.is_run_time for one in compared) - n_far,
        "n_far": n_far,
        "figures": [_figure_values(figure, findings) for figure in findings.figures],
        "compared": compared,
        "explanations": sensitivity.explanations(study, compared),
        "sensitivity": _sensitivity_values(study, compared) if sensitivity.gain_panels(compared) else None,
    }


def _figure_values(figure: Figure, findings: Findings) -> dict[str, Any]:
    """A figure, and the numbers of what is said about it besides."""
    sweeps_slots = any(panel.swept == "slot" for panel in figure.panels)
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "loading": None if figure.panels else _loading(),
        "run_times": _run_times(figure, findings) if figure.timed else None,
        "slots": _slots(figure.panels[0], findings.results[figure.panels[0].name]) if sweeps_slots else None,
    }


def _loading() -> dict[str, float]:
    share = latency.loading_share(latency.latencies(Scenario().server))
    return {"percent": 100 * share, "published": 100 * latency.PUBLISHED_LOADING_SHARE}


def _run_times(figure: Figure, findings: Findings) -> dict[str, Any]:
    """Median run times in ms, compiled and as plain Python, and how many times as long the search in slots takes."""
    rows = []
    for panel in figure.panels:
        compiled, plain = _median_ms(findings.results[panel.name][0]), _median_ms(findings.uncompiled[panel.name][0])
        rows += [
            {
                "preset": panel.preset,
                "planner": label,
                "compiled_ms": compiled[label],
                "compiled_times": compiled[EXHAUSTIVE_SLOTTED.label] / compiled[label],
                "plain_ms": plain[label],
                "plain_times": plain[EXHAUSTIVE_SLOTTED.label] / plain[label],
            }
            for label in compiled
        ]
    first = figure.panels[0].name
    small = findings.results[first][0]
    dp, slotted, continuous = (
        small.objective[small.row(curve.label)].mean() for curve in (PAPER_DP, EXHAUSTIVE_SLOTTED, EXHAUSTIVE)
    )
    return {
        "rows": rows,
        "plain_instances": findings.uncompiled[first][0].point.realisations,
        "dp_below_percent": 100 * (1 - dp / slotted),
        "slots_below_percent": 100 * (1 - slotted / continuous),
    }


def _median_ms(result: Result) -> dict[str, float]:
    medians = 1e3 * np.median(result.seconds, axis=1)
    return {curve.label: float(median) for curve, median in zip(result.point.curves, medians, strict=True)}


def _slots(panel: Panel, results: Sequence[Result]) -> dict[str, Any]:
    """Served ratios in per cent over the slot length, and what the slots cost, in points."""

    def lost(result: Result, slotted: str, continuous: str) -> tuple[float, float]:
        return mean_and_half_width(
            100 * result.objective[result.row(continuous)] - 100 * result.objective[result.row(slotted)]
        )

    rows = []
    for value, result in zip(panel.values, results, strict=True):
        dp_lost, dp_half_width = lost(result, PAPER_DP.label, OPTIMAL_DP.label)
        greedy_lost, greedy_half_width = lost(result, PAPER_GREEDY.label, GREEDY.label)
        rows.append(
            {
                "slot": panel.label(value),
                "dp": (100 * result.objective[result.row(PAPER_DP.label)]).mean(),
                "dp_lost": dp_lost,
                "dp_half_width": dp_half_width,
                "greedy": (100 * result.objective[result.row(PAPER_GREEDY.label)]).mean(),
                "greedy_lost": greedy_lost,
                "greedy_half_width": greedy_half_width,
            }
        )
    published = panel.values.index(Scenario().slot)
    users = Scenario.preset(panel.preset, **panel.overrides).n_users
    return {"rows": rows, "published": rows[published], "users": users}


def _sensitivity_values(study: sensitivity.Study, compared: Sequence[Comparison]) -> dict[str, Any]:
    rows = {row.label: row for row in sensitivity.rows(study)}
    panels = sensitivity.gain_panels(compared)
    return {
        "panels": panels,
        "paper": sensitivity.published_gains(compared),
        "rows": list(rows.values()),
        "unchanged": rows[UNCHANGED],
        "nearest": min((row for row in rows.values() if row.label != UNCHANGED), key=lambda row: row.distance),
        "movers": {panel: sensitivity.movers(list(rows.values()), panel) for panel in panels},
    }


# ---------------------------------------------------------------- CSV files


def _figure_rows(figure: Figure, findings: Findings) -> list[dict[str, object]]:
    if not figure.panels:
        return [
            {
                "architecture": row.architecture,
                "batch": latency.BATCH,
                "load_seconds": f"{row.load_seconds:.6f}",
                "compute_seconds": f"{row.compute_seconds:.6f}",
            }
            for row in latency.latencies(Scenario().server)
        ]
    return [
        point_row(panel, value, result, row, quantity="served_ratio", timed=figure.timed)
        for panel in figure.panels
        for value, result in zip(panel.values, findings.results[panel.name], strict=True)
        for row in range(len(panel.curves))
    ]


def _target_rows(compared: Sequence[Comparison], findings: Findings) -> list[dict[str, object]]:
    return [_target_row(one, findings.realisations, findings.seed) for one in compared]


def _sensitivity_rows(study: sensitivity.Study, findings: Findings) -> list[dict[str, object]]:
    fields = {variant.label: " ".join(variant.overrides) for variant in VARIANTS}
    return [
        {"changed": label, "fields": fields.get(label, "")}
        | _target_row(one, findings.sensitivity_realisations, findings.seed)
        for label, compared in study.items()
        for one in compared
        if not one.target.is_run_time
    ]


def _target_row(one: Comparison, realisations: int, seed: int) -> dict[str, object]:
    return {
        "panel": one.target.panel,
        "quantity": one.target.quantity,
        "unit": one.target.unit,
        "paper": f"{one.target.published:g}",
        "ours": f"{one.ours:.4f}",
        "half_width_95": "" if math.isnan(one.half_width) else f"{one.half_width:.4f}",
        "realisations": realisations,
        "seed": seed,
        "code": code_version()[:12],
    }
