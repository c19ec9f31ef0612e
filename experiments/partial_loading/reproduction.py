"""What the command line asks a system's room for: its figures, computed figure by figure and variant by variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from baselines.parallel import Workers
from experiments.engine import run_groups
from experiments.figures import Figure, Panel
from experiments.partial_loading.figures import figures
from experiments.partial_loading.report import Findings, write
from experiments.partial_loading.targets import TARGETS, Results
from experiments.partial_loading.variants import UNCHANGED, VARIANTS
from experiments.points import Point, Result

__all__ = ["FULL", "QUICK", "compute", "figures", "reproduce"]

FULL, QUICK = 1000, 40
"""Channel realisations a point: as in the paper, and in a minute."""

_SENSITIVITY_SHARE = 5
"""The sensitivity study takes one of so many realisations."""

_PLAIN_PYTHON_SHARE, _PLAIN_PYTHON_MOST = 8, 20
"""Run times without the compiler take one of so many realisations, and at most so many."""


def reproduce(
    chosen: tuple[Figure, ...], realisations: int, seed: int, cache: Path, workers: Workers, command: str, out: Path
) -> Path:
    """Compute figures and write the report, which says that the command made it; returns the report's path."""
    return write(compute(chosen, realisations, seed, cache, workers, command), out)


def compute(
    chosen: tuple[Figure, ...], realisations: int, seed: int, cache: Path, workers: Workers, command: str
) -> Findings:
    """Compute figures, run times and the sensitivity study; what the cache folder holds is not computed again."""
    panels = [panel for figure in chosen for panel in figure.panels if not figure.timed]
    timed = [panel for figure in chosen for panel in figure.panels if figure.timed]

    results = run_groups(_points(panels, realisations, seed), cache, workers=workers, title="figures")
    # Run times one point at a time, so that they do not slow each other down.
    results |= run_groups(_points(timed, realisations, seed), cache, workers=1, title="run times")
    n_plain = min(_PLAIN_PYTHON_MOST, max(1, realisations // _PLAIN_PYTHON_SHARE))
    plain = {
        name: [replace(point, compiled=False) for point in points]
        for name, points in _points(timed, n_plain, seed).items()
    }
    uncompiled = run_groups(plain, cache, workers=1, title="plain Python")
    published = {target.panel for target in TARGETS}
    fewer = max(1, realisations // _SENSITIVITY_SHARE)
    varied = {
        (variant.label, panel.name): panel.points(fewer, seed, variant.fields(panel.preset))
        for variant in VARIANTS
        for panel in (*panels, *timed)
        if variant.fields(panel.preset) and panel.name in published
    }
    by_name = {"\n".join(key): points for key, points in varied.items()}
    changed = run_groups(by_name, cache, workers=workers, title="sensitivity")
    unchanged: dict[str, list[Result]] = {
        name: [result.first(fewer) for result in kept] for name, kept in results.items()
    }
    sensitivity: dict[str, Results] = {UNCHANGED: unchanged}
    for variant in VARIANTS:
        own = {panel: changed[f"{label}\n{panel}"] for label, panel in varied if label == variant.label}
        sensitivity[variant.label] = unchanged | own
    return Findings(chosen, results, uncompiled, sensitivity, realisations, fewer, seed, command)


def _points(panels: Sequence[Panel], realisations: int, seed: int) -> dict[str, list[Point]]:
    return {panel.name: panel.points(realisations, seed) for panel in panels}
