"""The paper's figures as data, and one of our own, over the slot length."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from experiments.figures import Figure, Panel, named
from experiments.points import Curve

_BLUE, _RED, _GREEN, _YELLOW = "#4477aa", "#ee6677", "#228833", "#ccbb44"

PAPER_DP = Curve("paper-dp", "paper-dp", colour=_BLUE)
PAPER_GREEDY = Curve("paper-greedy", "paper-greedy", colour=_RED)
INDEPENDENT_SLOTTED = Curve("independent, slotted", "independent", {"slotted": True}, colour=_GREEN)
OPTIMAL_DP = Curve("optimal-dp", "optimal-dp", colour=_BLUE, dashed=True)
GREEDY = Curve("greedy", "greedy", colour=_RED, dashed=True)
INDEPENDENT = Curve("independent", "independent", colour=_GREEN, dashed=True)
EXHAUSTIVE_SLOTTED = Curve("exhaustive, slotted", "exhaustive", {"slotted": True}, colour="0.4")
EXHAUSTIVE = Curve("exhaustive", "exhaustive", colour="0.4", dashed=True)

_BLS = (PAPER_DP, PAPER_GREEDY, INDEPENDENT_SLOTTED, OPTIMAL_DP, GREEDY, INDEPENDENT)
_GENERAL = (PAPER_GREEDY, INDEPENDENT_SLOTTED, GREEDY, INDEPENDENT)

CHANNELS = (5, 10, 20)
"""Equal channels r of the ablation."""


def equal_channels(solver: str, channels: int) -> str:
    """Label of a curve of the ablation."""
    return f"{solver}, r = {channels}" if channels else solver


def _ablation(*solvers: str) -> tuple[Curve, ...]:
    """Each solver with optimal shares and with r equal channels; the first is the paper's."""
    colours = dict(zip((0, *CHANNELS), ("black", _GREEN, _YELLOW, _RED), strict=True))
    return tuple(
        Curve(
            equal_channels(solver, channels),
            solver,
            {"equal_bandwidth_channels": channels} if channels else {},
            colours[channels],
            solver != solvers[0],
        )
        for solver in solvers
        for channels in (0, *CHANNELS)
    )


_FRESH = {"resample_library": True}
"""A library is drawn for every instance, besides the users."""

_B: dict[str, Any] = {
    "swept": "bandwidth_hz",
    "values": (10e6, 50e6, 100e6, 200e6, 300e6, 400e6),
    "axis": "bandwidth B (MHz)",
    "unit": 1e6,
    "overrides": _FRESH,
}
_K: dict[str, Any] = {"swept": "n_users", "values": (60, 70, 80, 90, 100), "axis": "users K", "overrides": _FRESH}
_T: dict[str, Any] = {
    "swept": "deadline",
    "values": (0.5, 0.6, 0.7, 0.8, 0.9),
    "axis": "deadline T̄ (ms)",
    "unit": 1e-3,
    "overrides": _FRESH,
}
_THETA: dict[str, Any] = {
    "swept": "theta",
    "values": (0.75, 0.80, 0.85, 0.90, 0.95),
    "axis": "shared layers θ (%)",
    "unit": 0.01,
    "overrides": _FRESH,
}


def _four_sweeps(number: str, preset: str, curves: tuple[Curve, ...]) -> tuple[Panel, ...]:
    return (
        Panel(f"{number}a", f"({number}a) over the bandwidth", preset, curves=curves, **_B),
        Panel(f"{number}b", f"({number}b) over the number of users", preset, curves=curves, **_K),
        Panel(f"{number}c", f"({number}c) over the deadline", preset, curves=curves, **_T),
        Panel(f"{number}d", f"({number}d) over the share of shared layers", preset, curves=curves, **_THETA),
    )


_ABLATED_BLS = _ablation("paper-dp", "optimal-dp")
_ABLATED_GENERAL = _ablation("paper-greedy", "greedy")
_SMALL_BLS = (*_BLS[:3], EXHAUSTIVE_SLOTTED, *_BLS[3:], EXHAUSTIVE)
_SMALL_GENERAL = (*_GENERAL[:2], EXHAUSTIVE_SLOTTED, *_GENERAL[2:], EXHAUSTIVE)
_SMALL: dict[str, Any] = {
    "swept": "n_users",
    "values": (20,),
    "axis": "users K",
    "overrides": _FRESH | {"n_models": 5, "deadline": 0.2},
}

_FIGURES = (
    Figure(
        "fig1",
        "Figure 1: where the time goes",
        "Time to load a ResNet into an empty GPU and to run it on a batch of 32, from the layer tables and the default "
        "server. The compute constants are not published; they were chosen for this split.",
    ),
    Figure(
        "fig6",
        "Figure 6: bottom-layer sharing",
        "Served user ratio, mean with 95 % interval. Solid: the paper's schemes, which plan in slots of 10 ms. Dashed: "
        "the same problem planned in continuous time.",
        _four_sweeps("6", "bls", _BLS),
    ),
    Figure(
        "fig7",
        "Figure 7: sharing at arbitrary positions",
        "Served user ratio, mean with 95 % interval. Solid: the paper's schemes in slots. Dashed: in continuous time. "
        "With our library of 25 ResNet-50 the default setting is nearly saturated.",
        _four_sweeps("7", "general", _GENERAL),
    ),
    Figure(
        "fig8",
        "Figure 8: equal bandwidth instead of optimal shares",
        "The band is cut into r equal channels, one user each, and a batch uploads as long as its slowest user needs. "
        "Black: optimal shares. Solid: the paper's scheme in slots. Dashed: in continuous time.",
        (
            Panel("8a", "(8a) bls, over the bandwidth", "bls", curves=_ABLATED_BLS, **_B),
            Panel("8b", "(8b) bls, over the number of users", "bls", curves=_ABLATED_BLS, **_K),
            Panel("8c", "(8c) general, over the bandwidth", "general", curves=_ABLATED_GENERAL, **_B),
            Panel("8d", "(8d) general, over the number of users", "general", curves=_ABLATED_GENERAL, **_K),
        ),
    ),
    Figure(
        "fig9",
        "Figure 9: against exhaustive search",
        "K = 20 users, I = 5 models, T̄ = 200 ms. Served user ratio (mean with 95 % interval) and run time of the "
        "planner (median, logarithmic axis).",
        (
            Panel("9a", "(9a) bls", "bls", curves=_SMALL_BLS, **_SMALL),
            Panel(
                "9b",
                "(9b) general",
                "general",
                curves=_SMALL_GENERAL,
                **_SMALL,
            ),
        ),
        timed=True,
    ),
    Figure(
        "slots",
        "What slots cost",
        "Served user ratio of the paper's schemes over the slot length, in the default setting, on the same instances. "
        "Dashed: the same without slots; optimal-dp is the optimum.",
        (
            Panel(
                "slots",
                "bls, over the slot length",
                "bls",
                "slot",
                (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2),
                "slot length (ms)",
                (PAPER_DP, PAPER_GREEDY, OPTIMAL_DP, GREEDY),
                unit=1e-3,
                overrides=_FRESH,
                logarithmic=True,
            ),
        ),
    ),
)


def figures(names: Iterable[str] = ()) -> tuple[Figure, ...]:
    """The figures of these names, in the paper's order; all unless names are given.

    Raises:
        UnknownName: There is no such figure.
    """
    return named(_FIGURES, names)


def panel(name: str) -> Panel:
    """A panel by its name."""
    return next(panel for figure in _FIGURES for panel in figure.panels if panel.name == name)
