"""The numbers that a prototype gave on the same draws, before this library, and the same quantities of our results.

They are not the paper's: of that there are two numbers from summaries, the gain (`gains.SUMMARIES`) and the latency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from baselines.statistics import mean_and_half_width
from experiments.points import Result
from experiments.slide.figures import panel
from experiments.slide.gains import gain

Results = Mapping[str, Sequence[Result]]
"""Results of the points of each panel, in users served, by the panel's name."""

GAIN = "gain"
"""Stands for a curve's label where the target is the gain of `static` over `dai` in per cent."""

CLOSE_USERS, CLOSE_POINTS = 0.1, 1.0
"""Larger differences, in users served and in points of gain, are marked."""


@dataclass(frozen=True)
class Target:
    """One number of the prototype's.

    Attributes:
        panel: Panel that shows it.
        value: Value of the swept field.
        curve: Label of the curve, or `GAIN`.
        number: Users served, or per cent.
    """

    panel: str
    value: float
    curve: str
    number: float


class Comparison(NamedTuple):
    """A target beside ours, with half the width of the 95 % interval of ours."""

    target: Target
    ours: float
    half_width: float

    @property
    def difference(self) -> float:
        """Ours less the prototype's."""
        return self.ours - self.target.number

    @property
    def is_far(self) -> bool:
        """Whether they are further apart than is marked."""
        return abs(self.difference) > (CLOSE_POINTS if self.target.curve == GAIN else CLOSE_USERS)


def measure(target: Target, results: Results) -> Comparison:
    """Read a target off our results."""
    result = results[target.panel][panel(target.panel).values.index(target.value)]
    if target.curve == GAIN:
        return Comparison(target, *gain(result))
    return Comparison(target, *mean_and_half_width(result.objective[result.row(target.curve)]))


_ROWS: dict[tuple[str, float], tuple[float, ...]] = {
    ("paper", 0.0): (11.46, 7.80, 47, 17.75, 13.0),
    ("bandwidth", 50e6): (6.21, 4.15, 50, 9.7, 6.9),
    ("bandwidth", 200e6): (20.36, 13.86, 47, 29.6, 23.0),
    ("bandwidth", 300e6): (27.80, 19.01, 46, 37.6, 30.2),
    ("users", 20): (9.88, 6.64, 49, 14.3, 10.6),
    ("users", 60): (12.39, 8.47, 46, 19.7, 14.4),
    ("users", 80): (13.06, 8.93, 46, 20.7, 15.4),
    ("deadline", 0.8): (9.46, 5.74, 65, 14.6, 9.6),
    ("deadline", 1.2): (13.38, 9.79, 37, 20.7, 16.3),
    ("deadline", 1.4): (15.26, 11.70, 30, 23.3, 19.2),
    ("energy", 0.4): (11.36, 6.33, 79, 17.1, 10.8),
    ("energy", 0.6): (11.45, 7.09, 62, 17.5, 12.1),
    ("energy", 2): (11.46, 7.99, 43, 17.8, 13.4),
    ("zoo", 0.0): (12.32, 8.40, 47, 25.0, 19.5),
}
COLUMNS = ("static", "dai", GAIN, "edf-greedy", "moore-hodgson")

_OTHERS = {
    "exact": 17.84,
    "equal": 9.87,
    "max-frequency": 9.63,
    "random-model": 10.74,
    "largest-model": 10.07,
    "smallest-model": 11.46,
}

TARGETS: tuple[Target, ...] = (
    *(
        Target(*place, curve, number)
        for place, numbers in _ROWS.items()
        for curve, number in zip(COLUMNS, numbers, strict=True)
    ),
    *(Target("paper", 0.0, curve, number) for curve, number in _OTHERS.items()),
)
