"""What the sensitivity study says: which change of a constant brings our numbers nearest to the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.partial_loading.targets import CLOSE, Comparison
from experiments.partial_loading.variants import UNCHANGED, VARIANTS

Study = Mapping[str, Sequence[Comparison]]
"""All published numbers beside ours under each variant, by its label; the unchanged constants first."""

_MOST_FITTING, _MOST_MOVERS = 4, 3
_MOVED = 1.0
"""Smaller shifts of a panel, in points, are not listed."""


class Fit(NamedTuple):
    """Our number for a target under a variant."""

    label: str
    ours: float


class Explanation(NamedTuple):
    """A difference, and the changes that make it small.

    Attributes:
        compared: The published number beside ours.
        fitting: At most four variants that bring it within `CLOSE`; first those that fit all published numbers best.
        nearest: The one variant that comes nearest.
    """

    compared: Comparison
    fitting: list[Fit]
    nearest: Fit


class Row(NamedTuple):
    """A variant.

    Attributes:
        label: Its label.
        gains: Mean gain of each panel in points, over the gains that the paper publishes for it.
        shifts: By how much that differs from the unchanged constants'.
        distance: Mean absolute difference over all published numbers in points or per cent.
        close: How many of these are within `CLOSE`.
        compared: How many there are.
    """

    label: str
    gains: dict[str, float]
    shifts: dict[str, float]
    distance: float
    close: int
    compared: int


def explanations(study: Study, compared: Sequence[Comparison]) -> list[Explanation]:
    """For each large difference, the variants that bring our number near to the published one."""
    found = []
    for n, difference in enumerate(compared):
        if difference.is_far:
            changed = [(label, comparisons[n]) for label, comparisons in study.items() if label != UNCHANGED]
            nearest = sorted((abs(one.difference), label, one.ours) for label, one in changed)
            close = [(label, ours) for distance, label, ours in nearest if distance <= CLOSE]
            close.sort(key=lambda change: (mean_distance(study[change[0]]), change))
            fits = [Fit(*change) for change in close[:_MOST_FITTING]]
            found.append(Explanation(difference, fits, Fit(*nearest[0][1:])))
    return found


def gain_panels(compared: Sequence[Comparison]) -> list[str]:
    """The panels for which the paper publishes gains."""
    return list(dict.fromkeys(one.target.panel for one in compared if one.target.kind == "gain"))


def published_gains(compared: Sequence[Comparison]) -> dict[str, float]:
    """Mean of the gains that the paper publishes for each panel."""
    return {
        panel: float(np.mean([one.target.published for one in _gains(compared, panel)]))
        for panel in gain_panels(compared)
    }


def rows(study: Study) -> list[Row]:
    """What each variant does to each panel."""
    gains = {
        label: {panel: float(np.mean([one.ours for one in _gains(compared, panel)])) for panel in gain_panels(compared)}
        for label, compared in study.items()
    }
    found = []
    for label, compared in study.items():
        comparable = [one for one in compared if not one.target.is_run_time]
        shifts = {panel: gain - gains[UNCHANGED][panel] for panel, gain in gains[label].items()}
        close = sum(not one.is_far for one in comparable)
        found.append(Row(label, gains[label], shifts, mean_distance(compared), close, len(comparable)))
    return found


def movers(table: Sequence[Row], panel: str) -> list[tuple[str, float]]:
    """The constants that alone move a panel most, and by how many points; at most three."""
    alone = [variant.label for variant in VARIANTS if variant.alone]
    shifts = [(row.label, row.shifts[panel]) for row in table if row.label in alone]
    shifts.sort(key=lambda shift: -abs(shift[1]))
    return [(label, shift) for label, shift in shifts if abs(shift) > _MOVED][:_MOST_MOVERS]


def _gains(compared: Sequence[Comparison], panel: str) -> list[Comparison]:
    return [one for one in compared if one.target.kind == "gain" and one.target.panel == panel]


def mean_distance(compared: Sequence[Comparison]) -> float:
    """Mean absolute difference over the published numbers in points or per cent."""
    return float(np.mean([abs(one.difference) for one in compared if not one.target.is_run_time]))
