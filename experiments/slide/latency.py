"""Seconds from a request to its result, one task alone on a link: streamed, downloaded first, or from a local disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure as Picture

from pl_env.slide.dynamics import WHOLE_BAND
from pl_env.slide.plan import Plan
from pl_env.slide.scenario import Scenario
from pl_env.times import NS_PER_SECOND

LINK_BPS = 148_330_000
"""Fitted: at this rate the mean of the five cuts is the 32.5 % that summaries of the paper give."""

DISK_BYTES_PER_SECOND = 52.9e6
"""Fitted: at this rate the mean of the five slowdowns is the 1.20 that summaries of the paper give."""

RATES_BPS = tuple(round(float(rate)) for rate in np.geomspace(10e6, 1000e6, 61))

_HOUR_NS, _ENERGY_NJ = 3600 * NS_PER_SECOND, 10**14


@dataclass(frozen=True)
class Latency:
    """Latency of one model's task on the nominal device at its highest frequency.

    Attributes:
        model: Name of the model.
        streamed: Seconds where layers are computed as they arrive.
        download_then_infer: Seconds where they are computed after the whole download.
        from_disk: Seconds where the model is read from a local disk, then run.
    """

    model: str
    streamed: float
    download_then_infer: float
    from_disk: float

    @property
    def cut_percent(self) -> float:
        """By how much of download-then-infer's latency streaming is shorter."""
        return 100 * (1 - self.streamed / self.download_then_infer)

    @property
    def slowdown(self) -> float:
        """How many times as long streaming takes as the local disk."""
        return self.streamed / self.from_disk


def latencies(link_bps: int = LINK_BPS, disk_bytes_per_second: float = DISK_BYTES_PER_SECOND) -> list[Latency]:
    """Latency of each of the five models, by the recursion that plans are checked with."""
    scenario = Scenario.preset("zoo")
    speed = round(1e6 * sum(scenario.flop_per_cycle) / 2)
    rows = []
    for model, name in enumerate(scenario.catalogue.names):
        user = np.array([[link_bps, speed, _HOUR_NS, _ENERGY_NJ, model, 0]])  # time and energy enough
        instance = scenario.instance(user)
        frequency, whole_band = np.array([scenario.max_frequency_hz]), np.array([WHOLE_BAND])
        streamed, after = (
            Plan(np.array([model]), frequency, 1, shares=whole_band, streams=streams).tasks(instance)[0]
            for streams in (True, False)
        )
        reading = float(scenario.catalogue.model_bytes[model]) / disk_bytes_per_second
        rows.append(
            Latency(
                name,
                streamed.finish_ns[-1] / NS_PER_SECOND,
                after.finish_ns[-1] / NS_PER_SECOND,
                reading + sum(streamed.compute_ns) / NS_PER_SECOND,
            )
        )
    return rows


def mean_cut_percent(link_bps: int) -> float:
    """Mean of the five models' cuts on a link."""
    return float(np.mean([row.cut_percent for row in latencies(link_bps)]))


def faster_link_with_the_same_mean_cut() -> int:
    """The bit/s beyond the peak at which the mean cut is that of `LINK_BPS` again, by bisection."""
    cut = mean_cut_percent(LINK_BPS)
    low, high = int(max(RATES_BPS, key=mean_cut_percent)), int(max(RATES_BPS))
    while high - low > 1_000_000:
        middle = (low + high) // 2
        low, high = (middle, high) if mean_cut_percent(middle) > cut else (low, middle)
    return (low + high) // 2


def draw(rows: Sequence[Latency]) -> Picture:
    """Bars of the three latencies of each model; the cut over the rate of the link."""
    picture = Picture(figsize=(9.8, 3.8), layout="constrained")
    bars, curves = picture.subplots(1, 2)
    places = np.arange(len(rows))
    for n, (label, colour, seconds) in enumerate(
        (
            ("streamed", "#4477aa", [row.streamed for row in rows]),
            ("download, then infer", "#ee6677", [row.download_then_infer for row in rows]),
            ("from a local disk (fitted)", "#bbbbbb", [row.from_disk for row in rows]),
        )
    ):
        bars.bar(places + 0.27 * (n - 1), seconds, 0.25, label=label, color=colour)
    for place, row in zip(places, rows, strict=True):
        text = f"−{row.cut_percent:.1f} %"
        bars.annotate(
            text, (place, row.download_then_infer), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8
        )
    bars.set_xticks(places, [row.model for row in rows], fontsize=9)
    bars.margins(y=0.1)
    bars.set_ylabel("latency (s)")
    bars.set_title(f"link of {LINK_BPS / 1e6:.2f} Mbit/s (fitted)", fontsize=10)
    bars.legend(loc="upper left", frameon=False, fontsize=9)
    sweep = [latencies(rate) for rate in RATES_BPS]
    megabits = [rate / 1e6 for rate in RATES_BPS]
    colours = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677")
    for n, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        curves.plot(megabits, [at_rate[n].cut_percent for at_rate in sweep], label=row.model, color=colour)
    mean = [np.mean([row.cut_percent for row in at_rate]) for at_rate in sweep]
    curves.plot(megabits, mean, label="mean", color="black", linewidth=2)
    curves.axvline(LINK_BPS / 1e6, color="0.5", linestyle=":")
    curves.set_ylim(bottom=0)
    curves.set_xscale("log")
    curves.set_xticks((10, 30, 100, 300, 1000), ("10", "30", "100", "300", "1000"))
    curves.set_xlabel("link (Mbit/s)")
    curves.set_ylabel("latency saved by streaming (%)")
    curves.grid(color="0.9", linewidth=0.6)
    curves.legend(frameon=False, fontsize=9)
    return picture
