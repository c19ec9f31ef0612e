"""What the paper publishes, and how the same quantity is read off our results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.statistics import mean_and_half_width
from experiments.partial_loading.figures import CHANNELS, equal_channels, panel
from experiments.points import Result

Results = Mapping[str, Sequence[Result]]
"""Results of the points of each panel, by the panel's name."""

CLOSE = 3.0
"""Differences above this, in points or per cent, are explained in the report."""


@dataclass(frozen=True)
class Target:
    """One published number.

    Attributes:
        panel: Panel that shows it.
        quantity: What it is, in words.
        published: The number.
        kind: How it is measured: "gain", "level", "below", "faster" or "milliseconds" (see `measure`).
        curve: Label of the curve that it is about.
        against: Label of the curve that it is compared with.
        at: The one value of the sweep that counts; None for the mean over the sweep.
    """

    panel: str
    quantity: str
    published: float
    kind: str
    curve: str
    against: str = ""
    at: float | None = None

    @property
    def unit(self) -> str:
        """Unit of the number."""
        return {"gain": "points", "level": "points", "below": "%", "faster": "times", "milliseconds": "ms"}[self.kind]

    @property
    def is_run_time(self) -> bool:
        """Run times depend on machine, language and compiler; no difference is explained."""
        return self.kind in ("faster", "milliseconds")


class Comparison(NamedTuple):
    """A published number beside ours.

    Attributes:
        target: The published number.
        ours: Our number, in its unit.
        half_width: Half the width of its 95 % interval; NaN for run times.
    """

    target: Target
    ours: float
    half_width: float

    @property
    def difference(self) -> float:
        """Ours less the published one."""
        return self.ours - self.target.published

    @property
    def is_far(self) -> bool:
        """Whether the difference wants an explanation."""
        return not self.target.is_run_time and abs(self.difference) > CLOSE


def compare(targets: Sequence[Target], results: Results) -> list[Comparison]:
    """The targets beside what is measured."""
    return [Comparison(target, *measure(target, results)) for target in targets]


def measure(target: Target, results: Results) -> tuple[float, float]:
    """Our number for a target, and half the width of its 95 % interval (nan for run times).

    * gain: served ratio of ``curve`` less that of ``against``, in points, mean over the sweep
    * level: served ratio of ``curve`` in points
    * below: by how many per cent the mean served ratio of ``curve`` is below that of ``against``
    * faster: median run time of ``against`` / median run time of ``curve``
    * milliseconds: median run time of ``curve``
    """
    sweep = zip(panel(target.panel).values, results[target.panel], strict=True)
    chosen = [result for value, result in sweep if target.at in (None, value)]
    if target.kind == "milliseconds":
        return 1e3 * _median_seconds(chosen, target.curve), float("nan")
    if target.kind == "faster":
        return _median_seconds(chosen, target.against) / _median_seconds(chosen, target.curve), float("nan")
    # Instance n has the same users at every value of the sweep, so the interval is that of the means over the sweep.
    ours = 100 * _over_the_sweep(chosen, target.curve)
    if target.kind == "level":
        return mean_and_half_width(ours)
    other = 100 * _over_the_sweep(chosen, target.against)
    if target.kind == "gain":
        return mean_and_half_width(ours - other)
    ratio = ours.mean() / other.mean()
    _, half_width = mean_and_half_width(100 * (ours - ratio * other) / other.mean())  # the ratio, linearised
    return float(100 * (1 - ratio)), half_width


def _over_the_sweep(results: Sequence[Result], label: str) -> NDArray[np.float64]:
    rows = [result.objective[result.row(label)] for result in results]
    return np.asarray(np.mean(rows, axis=0))


def _median_seconds(results: Sequence[Result], label: str) -> float:
    return float(np.median([result.seconds[result.row(label)] for result in results]))


_AXES = {"a": "B", "b": "K", "c": "T̄", "d": "θ"}


def _gains(number: str, preset: str, curve: str, published: Sequence[float]) -> list[Target]:
    return [
        Target(
            f"{number}{letter}",
            f"{preset}, gain of {curve} over independent, mean over {axis}",
            value,
            "gain",
            curve,
            "independent, slotted",
        )
        for (letter, axis), value in zip(_AXES.items(), published, strict=True)
    ]


def _ablation(panel: str, preset: str, curve: str, axis: str, published: Sequence[float]) -> list[Target]:
    return [
        Target(
            panel,
            f"{preset}, gain of optimal shares over r = {channels} channels, mean over {axis}",
            value,
            "gain",
            curve,
            equal_channels(curve, channels),
        )
        for channels, value in zip(CHANNELS, published, strict=True)
    ]


TARGETS: tuple[Target, ...] = (
    *_gains("6", "bls", "paper-dp", (24, 24, 22, 26)),
    *_gains("6", "bls", "paper-greedy", (16, 18, 18, 21)),
    Target("6b", "bls, served ratio of paper-dp at high density (K = 100)", 83, "level", "paper-dp", at=100),
    Target("6b", "bls, served ratio of paper-greedy at high density (K = 100)", 76, "level", "paper-greedy", at=100),
    *_gains("7", "general", "paper-greedy", (36, 38, 36, 39)),
    *_ablation("8a", "bls", "paper-dp", "B", (9.9, 16.9, 26.2)),
    *_ablation("8b", "bls", "paper-dp", "K", (3.9, 7.7, 15.2)),
    *_ablation("8c", "general", "paper-greedy", "B", (9.6, 16.1, 25.6)),
    *_ablation("8d", "general", "paper-greedy", "K", (3.4, 7.7, 16.1)),
    Target("9a", "bls, paper-dp below exhaustive", 0, "below", "paper-dp", "exhaustive, slotted"),
    Target("9a", "bls, paper-greedy below exhaustive", 3.7, "below", "paper-greedy", "exhaustive, slotted"),
    Target("9b", "general, paper-greedy below exhaustive", 4.3, "below", "paper-greedy", "exhaustive, slotted"),
    Target("9a", "bls, run time of paper-dp", 5.6, "milliseconds", "paper-dp"),
    Target("9a", "bls, paper-dp faster than exhaustive", 3681, "faster", "paper-dp", "exhaustive, slotted"),
)
"""Gains read as points of served ratio. Figure 1 is compared in `report`; it needs no instances."""
