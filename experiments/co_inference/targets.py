"""The numbers that a prototype gave on other draws, before this library, and the same quantities of our results.

They are not the paper's, of which we have the abstract alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from baselines.statistics import mean_and_half_width
from experiments.co_inference.figures import STREAMS, SWEEPS, panel
from experiments.points import Result

Results = Mapping[str, Sequence[Result]]
"""Results of the points of each panel, by the panel's name: distortions of one task, qualities of streams."""

CLOSE = 0.015
"""Larger differences are marked: the prototype's numbers have about that much noise."""


@dataclass(frozen=True)
class Target:
    """One number of the prototype's.

    Attributes:
        panel: Panel that shows it.
        value: Value of the swept field.
        curve: Label of the curve.
        number: Distortion, or mean weighted quality of a stream.
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
    def is_far(self) -> bool:
        """Whether they are further apart than is marked."""
        return abs(self.ours - self.target.number) > CLOSE


def measure(target: Target, results: Results) -> Comparison:
    """Read a target off our results."""
    result = results[target.panel][panel(target.panel).values.index(target.value)]
    return Comparison(target, *mean_and_half_width(result.objective[result.row(target.curve)]))


_STATIC = (
    *("optimal", "on-server", "split after 1", "split after 40", "on-device"),
    *("max-frequency", "equal-time", "random-draws"),
)
_STREAM = (
    *("exact", "online-dp", "battery-price", "fluid-price", "mpc-mean"),
    *("const-price", "greedy-min", "equal", "random-level", "greedy-full"),
)

_ROWS: dict[tuple[str, float], tuple[float, ...]] = {
    ("deadline", 4.0): (0.078, 0.183, 0.130, 0.201, 0.267, 0.267, 0.366, 0.637),
    ("energy", 0.25): (0.347, 0.633, 0.540, 0.366, 0.380, 0.579, 0.528, 0.835),
    ("bandwidth", 0.25e6): (0.211, 0.922, 0.657, 0.218, 0.267, 0.267, 0.548, 0.832),
    ("default", 40): (0.788, 0.743, 0.716, 0.657, 0.643, 0.626, 0.629, 0.535, 0.522, 0.499),
    ("budget", 24): (0.763, 0.744, 0.713, 0.742, 0.699, 0.717, 0.589, 0.318, 0.304, 0.170),
}

TARGETS: tuple[Target, ...] = (
    *(
        Target(*place, curve, number)
        for place, numbers in _ROWS.items()
        for curve, number in zip(_STATIC if len(numbers) == len(_STATIC) else _STREAM, numbers, strict=True)
    ),
    Target("deadline", 6.0, "optimal", 0.010),
    Target("deadline", 6.0, "on-server", 0.068),
)

_LABELS = {"deadline": "T = {} s", "energy": "E = {} J", "bandwidth": "B = {} MHz", "channel": "g = {}e-13"}


def point_label(name: str, value: float) -> str:
    """A point in a table, such as "T = 4 s"; a preset's name."""
    return _LABELS.get(name, name).format(panel(name).label(value))


def is_static(name: str) -> bool:
    """Whether a panel shows the static problem, as distortions."""
    assert name in {each.name for each in (*SWEEPS, *STREAMS)}
    return name in {each.name for each in SWEEPS}
