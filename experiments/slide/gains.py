"""How many more users are served when devices compute while layers arrive: `static` over `dai`, of the means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure as Picture

from baselines.statistics import mean_and_half_width
from experiments.figures import Panel
from experiments.points import Result
from experiments.slide.figures import DAI, STATIC

SUMMARIES = (40.0, 60.0)
"""Per cent that summaries of the paper give; our constants were chosen such that the preset lies between."""


class Gain(NamedTuple):
    """Per cent, and half the width of the 95 % interval (NaN for a single instance)."""

    percent: float
    half_width: float


def gain(result: Result) -> Gain:
    """Gain of `static` over `dai` at one point."""
    static, dai = (result.objective[result.row(curve.label)] for curve in (STATIC, DAI))
    ratio = static.mean() / dai.mean()
    _, half_width = mean_and_half_width(100 * (static - ratio * dai) / dai.mean())  # the ratio, linearised
    return Gain(float(100 * (ratio - 1)), half_width)


def draw(panels: Sequence[Panel], results: Mapping[str, Sequence[Result]]) -> Picture:
    """The gain over each panel's values, all on one scale."""
    picture = Picture(figsize=(9.8, 2.9), layout="constrained")
    for axes, panel in zip(picture.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        places = [value / panel.unit for value in panel.values]
        gains = [gain(result) for result in results[panel.name]]
        half_widths = np.nan_to_num([one.half_width for one in gains])
        axes.axhspan(*SUMMARIES, color="0.92")
        axes.errorbar(
            places,
            [one.percent for one in gains],
            yerr=half_widths,
            capsize=2,
            marker="o",
            markersize=4,
            color="#4477aa",
        )
        axes.set_xticks(places, [panel.label(value) for value in panel.values])
        axes.set_xlabel(panel.axis)
        axes.grid(color="0.85", linewidth=0.6)
        axes.set_axisbelow(True)
    picture.axes[0].set_ylabel("gain of static over dai (%)")
    picture.axes[0].set_ylim(bottom=0)
    return picture
