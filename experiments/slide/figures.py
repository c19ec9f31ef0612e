"""What is computed and drawn, as data: users served over four constants, the presets, and latency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.figures import Figure, Panel, named
from experiments.points import Curve
from pl_env.protocols import Scenario
from pl_env.systems import scenario_named

STATIC = Curve("static", "static", colour="#4477aa")
DAI = Curve("dai", "dai", colour="#ee6677")
EQUAL = Curve("equal", "equal", colour="#228833")
EDF_GREEDY = Curve("edf-greedy", "edf-greedy", colour="#4477aa", dashed=True)
MOORE_HODGSON = Curve("moore-hodgson", "moore-hodgson", colour="#ee6677", dashed=True)
EXACT = Curve("exact", "exact", {"time_limit": 60.0}, colour="0.7")
MAX_FREQUENCY, RANDOM_MODEL, LARGEST_MODEL, SMALLEST_MODEL = (
    Curve(name, name, colour="#ccbb44") for name in ("max-frequency", "random-model", "largest-model", "smallest-model")
)

_CURVES = (EXACT, EDF_GREEDY, MOORE_HODGSON, STATIC, EQUAL, DAI)  # what comes later lies above
_VARIANTS = (STATIC, SMALLEST_MODEL, RANDOM_MODEL, LARGEST_MODEL, MAX_FREQUENCY, EQUAL, DAI)


@dataclass(frozen=True)
class MultiplesPanel(Panel):
    """A panel whose values are multiples of the preset's own range of the swept field."""

    def scenario(self, value: float, extra: Mapping[str, Any] | None = None) -> Scenario:
        """The scenario with that multiple of the range."""
        preset = scenario_named(self.preset)
        fields = {self.swept: tuple(value * bound for bound in getattr(preset, self.swept))}
        return preset.override(**(dict(extra or {}) | dict(self.overrides) | fields))


# Realisation n is drawn from the plain seed n, so the numbers are those of `default_rng(n)` in any other program.
_PAPER: dict[str, Any] = {"preset": "slide/paper", "curves": _CURVES, "stream": None}

SWEEPS = (
    Panel(
        "bandwidth",
        "over the bandwidth",
        swept="bandwidth_hz",
        values=(50e6, 100e6, 200e6, 300e6),
        axis="bandwidth B (MHz)",
        unit=1e6,
        **_PAPER,
    ),
    Panel("users", "over the number of users", swept="n_users", values=(20, 40, 60, 80), axis="users K", **_PAPER),
    MultiplesPanel(
        "deadline",
        "over the deadlines",
        swept="deadline_factor",
        values=(0.8, 1, 1.2, 1.4),
        axis="deadlines T, multiples of ours",
        **_PAPER,
    ),
    MultiplesPanel(
        "energy",
        "over the energy",
        swept="energy_factor",
        values=(0.4, 0.6, 1, 2),
        axis="energy E, multiples of ours",
        **_PAPER,
    ),
)


def _preset(name: str) -> Panel:
    """All solvers on one preset, all users there at the start."""
    return Panel(
        name,
        name,
        f"slide/{name}",
        "window",
        (0.0,),
        "window (s)",
        (*_VARIANTS, MOORE_HODGSON, EDF_GREEDY, EXACT),
        stream=None,
    )


PRESETS = tuple(map(_preset, ("paper", "zoo", "compressed")))

_FIGURES = (
    Figure(
        "served",
        "Users served",
        "Users served, mean with 95 % interval, all users there at the start. Solid: constant shares of the band, as "
        "in the paper. Dashed: shares that vary over time, which is ours; grey: the optimum of that, which "
        "`edf-greedy` all but attains. Blue: devices compute while layers arrive. Red: they download, then infer.",
        SWEEPS,
    ),
    Figure(
        "gain",
        "Gain over download-then-infer",
        "How many more users `static` serves than `dai`, of the means, with 95 % interval; both are optimal with "
        "constant shares. Grey: the 40 to 60 % that summaries of the paper give.",
        SWEEPS,
    ),
    Figure(
        "presets",
        "Model libraries and variants",
        "Users served (mean with 95 % interval) and run time of the solver (median, logarithmic axis). `paper`: three "
        "ResNets; `zoo`: five models; `compressed`: the ResNets and an int8 ResNet-50 of half the bytes and 1.5 times "
        "the work.",
        PRESETS,
        timed=True,
    ),
    Figure(
        "latency",
        "Latency of a single task",
        "Left: seconds from the request to the result on the nominal device, alone on the link: layers computed as "
        "they arrive, after the whole download, and after the model was read from a local disk. Right: how much of the "
        "latency streaming saves over the rate of the link; the dotted line is the fitted link.",
    ),
)


def figures(names: Iterable[str] = ()) -> tuple[Figure, ...]:
    """The figures of these names, in order; all unless names are given.

    Raises:
        UnknownName: There is no such figure.
    """
    return named(_FIGURES, names)


_POINTS = {"bandwidth": "B = {} MHz", "users": "K = {}", "deadline": "T × {}", "energy": "E × {}"}


def point_label(panel: Panel, value: float) -> str:
    """A point in a table, such as "K = 20"; a preset's name."""
    return _POINTS.get(panel.name, panel.name).format(panel.label(value))


def panel(name: str) -> Panel:
    """A panel by its name."""
    return next(panel for panel in (*SWEEPS, *PRESETS) if panel.name == name)
