"""A figure as data: what is swept, over what, with which curves. Nothing here computes or draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.points import EXPERIMENT_STREAM, Curve, Point
from pl_env.errors import UnknownName
from pl_env.protocols import Scenario
from pl_env.systems import scenario_named


@dataclass(frozen=True)
class Panel:
    """One plot: a preset, one field that is swept, and the curves.

    Attributes:
        name: As in the paper, such as "6a"; unique among a system's figures.
        title: What stands above the plot.
        preset: Preset of the scenario; with its system before a slash where that is not the first.
        swept: Field of the scenario on the horizontal axis.
        values: Its values, in the field's own unit.
        axis: Label of the axis, with the unit shown.
        curves: The curves.
        unit: How much of the field's unit makes one of the unit shown.
        overrides: Fields that differ from the preset.
        logarithmic: Logarithmic axis.
        stream: Seeds of the instances, as `Point` has it.
    """

    name: str
    title: str
    preset: str
    swept: str
    values: tuple[float, ...]
    axis: str
    curves: tuple[Curve, ...]
    unit: float = 1.0
    overrides: Mapping[str, Any] = field(default_factory=dict)
    logarithmic: bool = False
    stream: int | None = EXPERIMENT_STREAM

    def scenario(self, value: float, extra: Mapping[str, Any] | None = None) -> Scenario:
        """The scenario at one value of the swept field; further fields change where the panel does not set them."""
        fields = dict(extra or {}) | dict(self.overrides) | {self.swept: value}
        return scenario_named(self.preset).override(**fields)

    def points(self, realisations: int, seed: int, extra: Mapping[str, Any] | None = None) -> list[Point]:
        """One point for each value."""
        return [
            Point(self.scenario(value, extra), self.curves, realisations, seed, stream=self.stream)
            for value in self.values
        ]

    def label(self, value: float) -> str:
        """A value as it is shown."""
        return f"{value / self.unit:g}"


@dataclass(frozen=True)
class Figure:
    """A picture of one or several panels.

    Attributes:
        name: Name on the command line and of its files.
        title: Heading in the report.
        caption: A few sentences below the picture.
        panels: The panels; none where nothing is computed from instances.
        timed: Run times count: its points run one at a time. Each panel has one value.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...] = ()
    timed: bool = False


def named(figures: Iterable[Figure], names: Iterable[str]) -> tuple[Figure, ...]:
    """The figures of these names, in the figures' order; all unless names are given.

    Raises:
        UnknownName: There is no such figure.
    """
    figures = tuple(figures)
    known = [figure.name for figure in figures]
    wanted = set(names)
    for name in sorted(wanted):
        if name not in known:
            raise UnknownName("figure", name, known)
    return tuple(figure for figure in figures if not wanted or figure.name in wanted)
