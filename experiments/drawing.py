"""Draws any figure from its description and its results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import NullLocator

from experiments.partial_loading.figures import Figure, Panel
from experiments.partial_loading.latency import BATCH, Latency
from experiments.partial_loading.targets import Results
from experiments.points import Result, mean_and_half_width


def draw(figure: Figure, results: Results) -> Picture:
    """A figure of one or several panels; the panels of a figure with run times are bars, the others curves."""
    if figure.timed:
        return _draw_bars(figure, results)
    n_columns = min(2, len(figure.panels))
    n_rows = -(-len(figure.panels) // n_columns)
    picture = Picture(figsize=(4.6 * n_columns + 0.6 * (n_columns == 1), 3.3 * n_rows + 0.7), layout="constrained")
    grid = picture.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, figure.panels, strict=True):
        _draw_curves(axes, panel, results[panel.name])
    for row in grid:
        row[0].set_ylabel("served user ratio")
    _add_legend(picture, figure.panels)
    return picture


def _draw_curves(axes: Axes, panel: Panel, results: Sequence[Result]) -> None:
    places = [value / panel.unit for value in panel.values]
    for row, curve in enumerate(panel.curves):
        intervals = [mean_and_half_width(result.served_ratio[row]) for result in results]
        means = np.array([mean for mean, _ in intervals])
        half_widths = np.nan_to_num([half_width for _, half_width in intervals])
        axes.errorbar(
            places,
            means,
            yerr=half_widths,
            capsize=2,
            label=curve.label,
            color=curve.colour,
            linestyle="--" if curve.dashed else "-",
            linewidth=1.3,
            marker="o",
            markersize=4,
            markerfacecolor="white" if curve.dashed else curve.colour,
        )
    if panel.logarithmic:
        axes.set_xscale("log")
    axes.set_xticks(places, [panel.label(value) for value in panel.values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(panel.axis)
    axes.set_title(f"({panel.name}) {panel.title}" if panel.name[0].isdigit() else panel.title, fontsize=10)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def _add_legend(picture: Picture, panels: Sequence[Panel]) -> None:
    """One legend below all panels, with the curves of the panel that shows most."""
    most = max(range(len(panels)), key=lambda n: len({curve.label for curve in panels[n].curves}))
    handles, labels = picture.axes[most].get_legend_handles_labels()
    for n in range(len(panels)):
        for handle, label in zip(*picture.axes[n].get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    n_columns = 2 if len(panels) == 1 else 3 if len(labels) <= 6 else 4
    picture.legend(handles, labels, loc="outside lower center", ncols=n_columns, fontsize=9, frameon=False)


def _draw_bars(figure: Figure, results: Results) -> Picture:
    """Served ratio above, run time below, one column per panel."""
    picture = Picture(figsize=(4.6 * len(figure.panels), 5.6), layout="constrained")
    grid = picture.subplots(2, len(figure.panels), squeeze=False, sharex="col", sharey="row")
    for (above, below), panel in zip(grid.T, figure.panels, strict=True):
        (result,) = results[panel.name]
        names = [curve.label for curve in panel.curves]
        intervals = [mean_and_half_width(row) for row in result.served_ratio]
        means = np.array([mean for mean, _ in intervals])
        half_widths = np.nan_to_num([half_width for _, half_width in intervals])
        milliseconds = np.median(result.seconds, axis=1) * 1e3
        for axes, heights, offset in ((above, means, 4), (below, milliseconds, 2)):
            hatches = ["//" if curve.dashed else "" for curve in panel.curves]
            axes.bar(names, heights, color=[c.colour for c in panel.curves], hatch=hatches, edgecolor="white")
            for place, height in enumerate(heights):
                text = f"{height:.3f}" if axes is above else f"{height:.2g}"
                axes.annotate(
                    text, (place, height), xytext=(0, offset), textcoords="offset points", ha="center", fontsize=8
                )
        above.errorbar(names, means, yerr=half_widths, fmt="none", ecolor="black", capsize=3)
        above.set_title(f"({panel.name}) {panel.title}", fontsize=10)
        above.set_ylim(0, 1.12)
        below.set_yscale("log")
        below.margins(y=0.15)
        below.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
    grid[0, 0].set_ylabel("served user ratio")
    grid[1, 0].set_ylabel("median run time (ms)")
    return picture


def draw_latencies(rows: Sequence[Latency]) -> Picture:
    """Stacked bars of figure 1."""
    picture = Picture(figsize=(5.2, 3.6), layout="constrained")
    axes = picture.subplots()
    names = [row.architecture for row in rows]
    load = [row.load_seconds * 1e3 for row in rows]
    compute = [row.compute_seconds * 1e3 for row in rows]
    axes.bar(names, load, color="#ee6677", width=0.55, label="loading")
    axes.bar(names, compute, bottom=load, color="#228833", width=0.55, label="compute")
    for place, (below, above) in enumerate(zip(load, compute, strict=True)):
        text = f"{100 * below / (below + above):.1f} % loading"
        axes.annotate(text, (place, below + above), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=9)
    axes.margins(y=0.12)
    axes.set_ylabel(f"time at batch {BATCH} (ms)")
    axes.legend(loc="upper left", frameon=False)
    return picture
