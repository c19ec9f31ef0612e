"""What the command line asks a system's room for: its figures, and the report of what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from baselines.parallel import Workers
from experiments.co_inference.figures import figures
from experiments.co_inference.report import Findings, write
from experiments.co_inference.targets import is_static
from experiments.engine import run_groups
from experiments.figures import Figure, Panel
from experiments.points import Point, Result

__all__ = ["FULL", "QUICK", "figures", "reproduce"]

FULL, QUICK = 1000, 30
"""Instances a point: for the document, and in a minute."""


def reproduce(
    chosen: tuple[Figure, ...], realisations: int, seed: int, cache: Path, workers: Workers, command: str, out: Path
) -> Path:
    """Compute figures and write the report, which says that the command made it; returns the report's path."""
    panels = [panel for figure in chosen for panel in figure.panels if not figure.timed]
    timed = [panel for figure in chosen for panel in figure.panels if figure.timed]
    results = run_groups(_points(panels, realisations, seed), cache, workers=workers, title="figures")
    # Run times one point at a time, so that they do not slow each other down.
    results |= run_groups(_points(timed, realisations, seed), cache, workers=1, title="run times")
    shown = {
        name: [as_distortion(result) if is_static(name) else result for result in of_panel]
        for name, of_panel in results.items()
    }
    return write(Findings(chosen, shown, realisations, seed, command), out)


def _points(panels: Sequence[Panel], realisations: int, seed: int) -> dict[str, list[Point]]:
    return {panel.name: panel.points(realisations, seed) for panel in panels}


def as_distortion(result: Result) -> Result:
    """A result of one task as distortion lambda · D = 1 - Q, which is 1 where nothing is feasible."""
    return replace(result, objective=1 - result.objective)
