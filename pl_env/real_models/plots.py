"""Pictures of real models: who shares bytes with whom, fits of measured times, and a schedule planned and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pl_env.partial_loading.library import ModelLibrary
from pl_env.real_models.scanning import shared_bytes

if TYPE_CHECKING:
    from pl_env.real_models.measuring import Line, Measurement

_MOST_LABELS = 60
_MOST_NUMBERS = 16
_PHASES = (("upload", "#4477aa"), ("load", "#ee6677"), ("compute", "#228833"))
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def sharing_map(library: ModelLibrary) -> Figure:
    """Heat map of the bytes that every two models share; on the diagonal each model's size."""
    megabytes = shared_bytes(library) / 1e6
    side = float(np.clip(0.45 * library.n_models + 2.5, 5, 16))
    figure = _figure(side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(megabytes, cmap="viridis", vmin=0)
    figure.colorbar(image, ax=axes, label="MB in common", shrink=0.8)
    if library.n_models <= _MOST_LABELS:
        ticks = range(library.n_models)
        axes.set_xticks(ticks, library.model_names, rotation=90, fontsize=7)
        axes.set_yticks(ticks, library.model_names, fontsize=7)
    if library.n_models <= _MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(megabytes):
            colour = "white" if value < megabytes.max() / 2 else "black"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_title(f"bytes in common; sharing: {library.sharing}", fontsize=10)
    return figure


def fit_plot(measurement: Measurement) -> Figure:
    """Measured medians and fitted lines: loading against bytes, computing against samples."""
    figure = _figure(11, 4.5)
    loading, computing = figure.subplots(1, 2)
    lines = [("read, page cache warm", measurement.warm), ("copy to the device", measurement.copy)]
    if measurement.cold is not None:
        lines.insert(0, ("read, page cache cold", measurement.cold))
    _draw_lines(loading, lines, 1e-6)
    loading.set_xlabel("MB")
    _draw_lines(computing, [(name, found.line) for name, found in measurement.compute.items()], 1)
    computing.set_xlabel("samples in the batch")
    for axes in (loading, computing):
        axes.set_ylabel("ms")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    return figure


def _draw_lines(axes: Axes, lines: Sequence[tuple[str, Line]], x_scale: float) -> None:
    for n, (name, line) in enumerate(lines):
        colour = _COLOURS[n % len(_COLOURS)]
        ends = np.array([0, line.x.max()])
        label = f"{name}: R² {line.r_squared:.3f}, largest error {line.largest_error:.0%}"
        axes.plot(line.x * x_scale, line.seconds * 1e3, "o", color=colour, markersize=4)
        axes.plot(ends * x_scale, line.at(ends) * 1e3, "-", color=colour, linewidth=1.2, label=label)


def planned_and_run(
    charts: Sequence[tuple[str, NDArray[np.float64]]], deadline_seconds: float, title: str = ""
) -> Figure:
    """Gantt chart of several timelines, one above the other.

    Args:
        charts: Title of each, and float64 (N, 3), seconds of upload, load and compute of its batches.
        deadline_seconds: Drawn as a dashed line.
        title: Title of the whole.
    """
    figure = _figure(11, 1.2 + 0.9 * len(charts))
    axes = figure.subplots()
    for n, (_, seconds) in enumerate(charts):
        ends = np.cumsum(seconds.reshape(-1)).reshape(-1, 3) * 1e3
        for phase, (_, colour) in enumerate(_PHASES):
            durations = seconds[:, phase] * 1e3
            axes.barh(-n, durations, left=ends[:, phase] - durations, height=0.6, color=colour)
        for end in ends[:, 2]:
            axes.plot([end, end], [-n - 0.38, -n + 0.38], color="black", linewidth=0.7)
    axes.axvline(deadline_seconds * 1e3, color="black", linestyle="--", linewidth=1.2)
    axes.set_yticks([-n for n in range(len(charts))], [name for name, _ in charts])
    axes.set_xlim(left=0)
    axes.set_xlabel("time (ms); dashed: deadline; a line ends each batch")
    axes.set_title(title, fontsize=10)
    handles = [Patch(color=colour, label=name) for name, colour in _PHASES]
    figure.legend(handles=handles, loc="outside upper right", fontsize=8, ncols=3)
    return figure
