"""What the command line asks a system's room for: its figures, and the report of what they show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from baselines.parallel import Workers
from experiments.cold_start.figures import OPTIMUM, figures
from experiments.cold_start.report import Findings, write
from experiments.engine import run_groups
from experiments.figures import Figure
from experiments.points import Result

__all__ = ["FULL", "QUICK", "figures", "reproduce"]

FULL, QUICK = 500, 20
"""Instances a point: for the document, and in a minute."""


def reproduce(
    chosen: tuple[Figure, ...], realisations: int, seed: int, cache: Path, workers: Workers, command: str, out: Path
) -> Path:
    """Compute figures and write the report, which says that the command made it; returns the report's path."""
    points = {panel.name: panel.points(realisations, seed) for figure in chosen for panel in figure.panels}
    # One point at a time, as run times count.
    results = run_groups(points, cache, workers=1, title="run times")
    ratios = {name: [over_the_optimum(result) for result in of_panel] for name, of_panel in results.items()}
    return write(Findings(chosen, ratios, realisations, seed, command), out)


def over_the_optimum(result: Result) -> Result:
    """A result as multiples of each instance's optimum in place of seconds."""
    return replace(result, objective=result.objective / result.objective[result.row(OPTIMUM.label)])
