"""Draws any figure from its description and its results: curves with intervals, or bars where run times count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from baselines.statistics import mean_and_half_width
from experiments.figures import Figure, Panel
from experiments.points import Curve, Result

Floats = NDArray[np.float64]


def draw(
    figure: Figure, results: Mapping[str, Sequence[Result]], quantity: str, highest: float, number: str = ".3f"
) -> Picture:
    """A figure of one or several panels; the panels of a figure with run times are bars, the others curves.

    Args:
        figure: The figure.
        results: Results of the points of each panel, by the panel's name.
        quantity: Label of the vertical axis.
        highest: Largest value there can be; the axis of bars ends a little above it.
        number: Format of the values above bars.
    """
    if figure.timed:
        return _draw_bars(figure, results, quantity, highest, number)
    n_columns = min(2, len(figure.panels))
    n_rows = -(-len(figure.panels) // n_columns)
    picture = Picture(figsize=(4.6 * n_columns + 0.6 * (n_columns == 1), 3.3 * n_rows + 0.7), layout="constrained")
    grid = picture.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes, panel in zip(grid.flat, figure.panels, strict=True):
        _draw_curves(axes, panel, results[panel.name])
    for row in grid:
        row[0].set_ylabel(quantity)
    _add_legend(picture, figure.panels)
    return picture


def _draw_curves(axes: Axes, panel: Panel, results: Sequence[Result]) -> None:
    places = [value / panel.unit for value in panel.values]
    for row, curve in enumerate(panel.curves):
        means, half_widths = _intervals([result.objective[row] for result in results])
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
    axes.set_title(panel.title, fontsize=10)
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


def _draw_bars(
    figure: Figure, results: Mapping[str, Sequence[Result]], quantity: str, highest: float, number: str
) -> Picture:
    """The quantity above, run time below, one column per panel."""
    picture = Picture(figsize=(4.6 * len(figure.panels), 5.6), layout="constrained")
    grid = picture.subplots(2, len(figure.panels), squeeze=False, sharex="col", sharey="row")
    for (above, below), panel in zip(grid.T, figure.panels, strict=True):
        (result,) = results[panel.name]
        names = [curve.label for curve in panel.curves]
        means, half_widths = _intervals(result.objective)
        _bars(above, panel.curves, means, number, offset=4)
        _bars(below, panel.curves, np.median(result.seconds, axis=1) * 1e3, ".2g", offset=2)
        above.errorbar(names, means, yerr=half_widths, fmt="none", ecolor="black", capsize=3)
        above.set_title(panel.title, fontsize=10)
        above.set_ylim(0, 1.12 * highest)
        below.set_yscale("log")
        below.margins(y=0.15)
        below.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
    grid[0, 0].set_ylabel(quantity)
    grid[1, 0].set_ylabel("median run time (ms)")
    return picture


def _bars(axes: Axes, curves: Sequence[Curve], heights: Floats, number: str, offset: int) -> None:
    """A bar for each curve, its height written so many points above it."""
    hatches = ["//" if curve.dashed else "" for curve in curves]
    colours = [curve.colour for curve in curves]
    axes.bar([curve.label for curve in curves], heights, color=colours, hatch=hatches, edgecolor="white")
    for place, height in enumerate(heights):
        axes.annotate(
            format(height, number if height < 100 else ".0f"),
            (place, height),
            xytext=(0, offset),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )


def _intervals(rows: Sequence[Floats] | Floats) -> tuple[Floats, Floats]:
    """Means of the rows, and half the widths of their 95 % intervals; 0 where there is none."""
    intervals = [mean_and_half_width(row) for row in rows]
    return np.array([mean for mean, _ in intervals]), np.nan_to_num([half_width for _, half_width in intervals])
