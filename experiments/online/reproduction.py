"""What the command line asks a system's room for: its figures, and the report of what they show."""

from __future__ import annotations

from pathlib import Path

from baselines.parallel import Workers
from experiments.engine import run_groups
from experiments.figures import Figure
from experiments.online.figures import figures
from experiments.online.report import Findings, write

__all__ = ["FULL", "QUICK", "figures", "reproduce"]

FULL, QUICK = 100, 2
"""Episodes a point: for the document, and in a minute or two."""


def reproduce(
    chosen: tuple[Figure, ...], realisations: int, seed: int, cache: Path, workers: Workers, command: str, out: Path
) -> Path:
    """Compute figures and write the report, which says that the command made it; returns the report's path."""
    points = {panel.name: panel.points(realisations, seed) for figure in chosen for panel in figure.panels}
    results = run_groups(points, cache, workers=workers, title="figures")
    return write(Findings(chosen, results, realisations, seed, command), out)
