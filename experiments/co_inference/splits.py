"""Distortion at every split of a model, on a few channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure as Picture

from pl_env.co_inference.dynamics import quality
from pl_env.co_inference.least_energy import largest_fraction
from pl_env.co_inference.scenario import Scenario

GAINS = (5e-12, 5e-13, 5e-14)
_COLOURS = ("#228833", "#4477aa", "#ee6677")


class SplitRow(NamedTuple):
    """One split on one channel."""

    gain: float
    split: int
    kept: float
    distortion: float
    useful: bool


def rows(gains: Sequence[float] = GAINS) -> list[SplitRow]:
    """Every split of the preset "static" on every channel; distortion 1 where nothing is feasible."""
    scenario = Scenario.preset("static")
    instance = scenario.nothing
    everything = np.arange(instance.model.n_splits)
    tables, useful = instance.tables_at(everything), set(instance.useful_splits.tolist())
    found = []
    for gain in gains:
        for split in everything.tolist():
            limits = scenario.deadline[0], scenario.battery_j
            kept = float(largest_fraction(tables.splits[split], tables.hardware, gain, *limits))
            found.append(SplitRow(gain, split, kept, 1 - quality(kept), split in useful))
    return found


def draw(found: Sequence[SplitRow]) -> Picture:
    """Distortion over the split, a curve for each channel."""
    picture = Picture(figsize=(7.4, 3.6), layout="constrained")
    axes = picture.subplots()
    gains = list(dict.fromkeys(row.gain for row in found))
    for gain, colour in zip(gains, _COLOURS, strict=False):
        of_gain = [row for row in found if row.gain == gain]
        label = f"g = {10 * np.log10(gain):.0f} dB"
        places = [row.split for row in of_gain]
        axes.plot(places, [row.distortion for row in of_gain], color=colour, linewidth=1.2, label=label)
        useful = [row for row in of_gain if row.useful]
        axes.plot([row.split for row in useful], [row.distortion for row in useful], "o", color=colour, markersize=5)
    axes.set_xlabel("split s: blocks on the device (39 of vision, the Q-Former, 32 of text)")
    axes.set_ylabel("distortion λ·D")
    axes.set_ylim(-0.02, 1.05)
    axes.grid(color="0.9", linewidth=0.6)
    axes.legend(fontsize=9)
    return picture
