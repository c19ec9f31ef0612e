"""What is computed and drawn, as data: five quantities over load, memory, popularity and deadlines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.figures import Figure, Panel, named
from experiments.online.points import MeasuredPoint, agent_curve, for_all_quantities
from experiments.points import Curve
from pl_env.protocols import Scenario
from pl_env.systems import scenario_named

PRESET = "online/online"

URGENT_GREEDY = Curve("urgent-greedy", "urgent-greedy", colour="#ee6677")
REPLAN = Curve("replan", "replan", colour="#aa3377")
_RULES = (
    Curve("random-model", "random-model", colour="0.7"),
    Curve("max-overlap", "max-overlap", colour="#ccbb44", dashed=True),
    Curve("fifo", "fifo", colour="#66ccee", dashed=True),
    Curve("largest-queue", "largest-queue", colour="#228833", dashed=True),
    Curve("clockwork", "clockwork", colour="#ccbb44"),
    Curve("greedy", "greedy", colour="#228833"),
    Curve("edf", "edf", colour="#4477aa"),
)


def curves() -> tuple[Curve, ...]:
    """The policies of docs/online.md, and the agent of the preset if one comes with the package."""
    return (*_RULES, URGENT_GREEDY, REPLAN, *agent_curve(PRESET, "black"))


@dataclass(frozen=True)
class OnlinePanel(Panel):
    """A panel whose points are measured in all ways."""

    def points(self, realisations: int, seed: int, extra: Mapping[str, Any] | None = None) -> list[MeasuredPoint]:  # type: ignore[override]
        """One point for each value."""
        curves = for_all_quantities(self.curves)
        return [
            MeasuredPoint(self.scenario(value, extra), curves, realisations, seed, stream=self.stream)
            for value in self.values
        ]


class DeadlinePanel(OnlinePanel):
    """A panel whose values are multiples of the preset's deadlines."""

    def scenario(self, value: float, extra: Mapping[str, Any] | None = None) -> Scenario:
        """The scenario with that multiple of both bounds."""
        preset = scenario_named(self.preset)
        low, high = preset.relative_deadline  # type: ignore[attr-defined]
        return preset.override(**(dict(extra or {}) | {self.swept: (value * low, value * high)}))


class MemoryPanel(OnlinePanel):
    """A panel over whole bytes."""

    def scenario(self, value: float, extra: Mapping[str, Any] | None = None) -> Scenario:
        """The scenario with so much memory."""
        return super().scenario(int(value), extra)


def panels() -> tuple[Panel, ...]:
    """The four sweeps; each passes through the preset."""
    fields: dict[str, Any] = {"preset": PRESET, "curves": curves()}
    loads, memories = (60.0, 90.0, 120.0, 160.0, 200.0), (150e6, 200e6, 300e6, 500e6, 800e6)
    return (
        OnlinePanel("load", "load", swept="arrival_rate", values=loads, axis="users a second", **fields),
        MemoryPanel(
            *("memory", "memory"), swept="cache_bytes", values=memories, axis="GPU memory M (MB)", unit=1e6, **fields
        ),
        OnlinePanel(
            *("popularity", "popularity of models"),
            swept="request_skew",
            values=(0.0, 0.5, 0.9, 1.4),
            axis="Zipf exponent",
            **fields,
        ),
        DeadlinePanel(
            *("deadlines", "deadlines"),
            swept="relative_deadline",
            values=(0.5, 1.0, 1.5, 2.0),
            axis="deadlines, multiples of 200 to 600 ms",
            **fields,
        ),
    )


_TEXTS = (
    (
        "goodput",
        "Goodput",
        "Share of all users who are served in time, mean with 95 % interval.",
    ),
    (
        "fairness",
        "Fairness: the least popular tenth",
        "Goodput of those users who ask for one of the five models that fewest users of the episode ask for.",
    ),
    (
        "median",
        "Responses: the median",
        "From a served user's arrival to the end of the batch, median of an episode, mean over episodes.",
    ),
    (
        "tail",
        "Responses: the 99th percentile",
        "Likewise the 99th percentile of an episode. No policy can be above the longest deadline, as late users are "
        "dropped.",
    ),
    ("bytes", "Bytes loaded", "Megabytes loaded into GPU memory for each user served."),
)


def figures(names: Iterable[str] = ()) -> tuple[Figure, ...]:
    """The figures of these names, in order; all unless names are given.

    Raises:
        UnknownName: There is no such figure.
    """
    of_all = panels()
    return named((Figure(*texts, of_all) for texts in _TEXTS), names)
