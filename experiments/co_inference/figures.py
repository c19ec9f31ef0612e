"""What is computed and drawn, as data: distortion over deadline, energy and bandwidth; streams; splits; the study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.figures import Figure, Panel, named
from experiments.points import Curve
from pl_env.protocols import Scenario
from pl_env.systems import scenario_named

OPTIMAL = Curve("optimal", "optimal", colour="black")
STATIC_CURVES = (
    Curve("random-draws", "random-draws", colour="0.75"),
    Curve("equal-time", "equal-time", colour="#ccbb44"),
    Curve("max-frequency", "max-frequency", colour="#228833"),
    Curve("on-server", "on-server", colour="#ee6677"),
    Curve("on-device", "on-device", colour="#aa3377"),
    Curve("split after 1", "fixed-split", {"split": 1}, colour="#4477aa"),
    Curve("split after 40", "fixed-split", {"split": 40}, colour="#66ccee"),
    Curve("max-power", "max-power", colour="#bb5500", dashed=True),
    Curve("no-pruning", "no-pruning", colour="0.5", dashed=True),
    OPTIMAL,  # what comes later lies above
)

STREAM_CURVES = tuple(
    Curve(name, name, colour=colour)
    for name, colour in (
        *(("exact", "0.7"), ("online-dp", "#4477aa"), ("battery-price", "#66ccee"), ("fluid-price", "#66ccee")),
        *(("mpc-mean", "#66ccee"), ("const-price", "#66ccee"), ("greedy-min", "#ccbb44"), ("equal", "#ccbb44")),
        *(("random-level", "#ccbb44"), ("greedy-full", "#ccbb44")),
    )
)


@dataclass(frozen=True)
class StaticPanel(Panel):
    """A panel of the static problem, in which one number sets all fields that it means."""

    def scenario(self, value: float, extra: Mapping[str, Any] | None = None) -> Scenario:
        """The scenario with that deadline, energy limit, bandwidth or mean gain."""
        fields: dict[str, dict[str, Any]] = {
            "deadline": {"deadline": (value, value)},
            "battery_j": {"battery_j": value, "capacity_j": value},
            "bandwidth_hz": {"bandwidth_hz": value},
            "link_gain": {"link_gain": (value, value, value)},
        }
        return scenario_named(self.preset).override(**(dict(extra or {}) | dict(self.overrides) | fields[self.swept]))


_STATIC: dict[str, Any] = {"preset": "co_inference/static", "curves": STATIC_CURVES}

SWEEPS = (
    StaticPanel(
        "deadline", "over the deadline", swept="deadline", values=(3.0, 4.0, 5.0, 6.0, 8.0), axis="T (s)", **_STATIC
    ),
    StaticPanel(
        "energy",
        "over the energy limit",
        swept="battery_j",
        values=(0.25, 0.5, 1.0, 2.0, 4.0),
        axis="E (J)",
        logarithmic=True,
        **_STATIC,
    ),
    StaticPanel(
        "bandwidth",
        "over the bandwidth",
        swept="bandwidth_hz",
        values=(0.25e6, 0.5e6, 1e6, 2e6, 4e6),
        axis="B (MHz)",
        unit=1e6,
        logarithmic=True,
        **_STATIC,
    ),
    StaticPanel(
        "channel",
        "over the mean channel gain",
        swept="link_gain",
        values=(5e-14, 1.5e-13, 5e-13, 1.5e-12, 5e-12),
        axis="mean g (10⁻¹³)",
        unit=1e-13,
        logarithmic=True,
        **_STATIC,
    ),
)


def _stream(name: str, title: str) -> Panel:
    """All policies on one preset."""
    n_tasks: Any = scenario_named(f"co_inference/{name}")
    return Panel(name, title, f"co_inference/{name}", "n_tasks", (n_tasks.n_tasks,), "tasks N", STREAM_CURVES)


STREAMS = (_stream("default", "default: 40 tasks, sun"), _stream("budget", "budget: 24 tasks, no sun"))

_FIGURES = (
    Figure(
        "distortion",
        "Distortion of one task",
        "Mean parameter distortion λ·D of the static problem over channels, with 95 % interval; a channel on which "
        "a scheme finds nothing feasible counts as 1. The other constants are those of the preset `static`: BLIP-2, "
        "4 s, 2 J, 1 MHz. `sca` is not drawn, as it lies on `optimal`.",
        SWEEPS,
    ),
    Figure(
        "splits",
        "Where to split",
        "Distortion λ·D of the best resources at every split of BLIP-2 on three channels, preset `static`. Circles: "
        "the useful splits, which send less than all before them. No other is ever better, as the server does any work "
        "faster and for less energy.",
    ),
    Figure(
        "streams",
        "Streams of tasks on a battery",
        "Mean weighted quality (mean with 95 % interval) and run time of a whole episode (median, logarithmic axis). "
        "Grey: the optimum with all tasks known, which no policy can pass; dark blue: the online optimum up to a grid; "
        "light blue: price rules; yellow: rules without a price.",
        STREAMS,
        timed=True,
    ),
    Figure(
        "output-distortion",
        "From parameters to outputs",
        "Trained networks on 8×8 digits; of every weight matrix the same fraction is kept, the largest magnitudes. "
        "Distortions are divided by those at r = 0; the lowest panel is accuracy divided by that of the dense network. "
        "The dotted line is 1 - Q(r), which Laplacian weights would have.",
    ),
)


def figures(names: Iterable[str] = ()) -> tuple[Figure, ...]:
    """The figures of these names, in order; all unless names are given.

    Raises:
        UnknownName: There is no such figure.
    """
    return named(_FIGURES, names)


def panel(name: str) -> Panel:
    """A panel by its name."""
    return next(panel for panel in (*SWEEPS, *STREAMS) if panel.name == name)
