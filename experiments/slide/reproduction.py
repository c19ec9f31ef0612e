"""What the command line asks a system's room for: its figures, and the report of what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from baselines.parallel import Workers
from experiments.engine import run_groups
from experiments.figures import Figure, Panel
from experiments.points import Point, Result
from experiments.slide.figures import figures
from experiments.slide.report import Findings, write
from pl_env.slide.scenario import Scenario

__all__ = ["FULL", "QUICK", "figures", "reproduce"]

FULL, QUICK = 200, 20
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
    served = {name: [in_users(result) for result in of_panel] for name, of_panel in results.items()}
    return write(Findings(chosen, served, realisations, seed, command), out)


def _points(panels: Sequence[Panel], realisations: int, seed: int) -> dict[str, list[Point]]:
    return {panel.name: panel.points(realisations, seed) for panel in panels}


def in_users(result: Result) -> Result:
    """A result in users served in place of their share."""
    scenario = result.point.scenario
    assert isinstance(scenario, Scenario)
    return replace(result, objective=np.rint(result.objective * scenario.n_users))
