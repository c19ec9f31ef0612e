"""What is computed and drawn, as data: latency over prompt lengths, Gantt charts, and the rules on the presets."""

from __future__ import annotations

from collections.abc import Iterable

from experiments.figures import Figure, Panel, named
from experiments.points import Curve

OPTIMUM = Curve("optimal-dp", "optimal-dp", colour="#4477aa")
ONE_START = Curve("order-search, 1 start", "order-search", {"starts": 1}, colour="#4477aa", dashed=True)
_CURVES = (
    OPTIMUM,
    Curve("order-search", "order-search", colour="#4477aa", dashed=True),
    ONE_START,
    Curve("order-dp", "order-dp", colour="#4477aa", dashed=True),
    Curve("shares", "shares", colour="#228833", dashed=True),
    Curve("greedy", "greedy", colour="#228833", dashed=True),
    Curve("harmonic", "harmonic", colour="#ee6677"),
    Curve("even", "even", colour="#ccbb44"),
)


def _preset(name: str) -> Panel:
    """All solvers on one preset."""
    return Panel(name, name, f"cold_start/{name}", "radius_m", (10.0,), "radius (m)", _CURVES, stream=None)


PRESETS = tuple(map(_preset, ("default", "tight", "roomy")))

_FIGURES = (
    Figure(
        "latency",
        "Latency over the prompt's length",
        "Seconds until the first prompt is through, the paper's four devices and Qwen3-14B without embedding and head. "
        'Left: a "MB" of its read rates is 2^20 bytes; right: 10^6. Crosses: what the paper\'s figure shows, read off '
        "it. A single device would need more memory than it has.",
    ),
    Figure(
        "gantt",
        "Gantt charts",
        'Left: the plans of the paper\'s charts on its own table. Middle and right: optimal plans, a "MB" being 2^20 '
        "and 10^6 bytes. Rows: prompts of 256, 2,048 and 8,192 tokens.",
    ),
    Figure(
        "presets",
        "Rules on drawn instances",
        "Time over the optimum (mean with 95 % interval) and run time of the solver (median, logarithmic axis). "
        "Hatched: what the paper does not have.",
        PRESETS,
        timed=True,
    ),
)


def figures(names: Iterable[str] = ()) -> tuple[Figure, ...]:
    """The figures of these names, in order; all unless names are given.

    Raises:
        UnknownName: There is no such figure.
    """
    return named(_FIGURES, names)
