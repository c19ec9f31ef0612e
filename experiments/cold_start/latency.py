"""The paper's devices and model: latency over prompt lengths, and the plans of its charts, beside what it published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from baselines.registry import solve
from pl_env.cold_start.devices import MB, MIB, paper_devices
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan
from pl_env.cold_start.rendering import add_legend
from pl_env.cold_start.rendering import draw as draw_plan
from pl_env.cold_start.scenario import Scenario
from pl_env.times import NS_PER_SECOND

PUBLISHED = {256: 2.50, 512: 2.63, 1024: 2.83, 2048: 3.35, 4096: 4.51, 8192: 7.21}
"""Seconds by tokens, read off the paper's figure."""

PUBLISHED_GAIN = 17.43
"""Per cent, of the paper's text: the mean over these prompts of what is gained over the best of the others."""

CHARTS = {256: "3:7 4:5 2:11 1:17", 2048: "4:3 3:6 2:11 1:20", 8192: "3:3 2:9 1:28"}
"""Plans of the paper's Gantt charts, by tokens."""

UNITS = {"MiB": MIB, "MB": MB}
"""What a "MB" of the read rates is, in bytes."""

_CURVES = (
    ("optimal-dp", "#4477aa"),
    ("harmonic", "#ee6677"),
    ("even", "#ccbb44"),
    ("single device", "#bbbbbb"),
)


def paper_instance(tokens: int, unit: str = "MiB") -> Instance:
    """The paper's instance with a prompt of so many tokens."""
    scenario = Scenario.preset("paper", prompt_tokens=tokens, devices=paper_devices(UNITS[unit]))
    return scenario.sample(np.random.default_rng(0))


@dataclass(frozen=True)
class Latency:
    """Seconds at one prompt length.

    Attributes:
        tokens: Length of the prompt.
        unit: What a "MB" is, of `UNITS`.
        best: The optimal plan.
        seconds: By the name of the curve; that of a single device ignores its memory.
    """

    tokens: int
    unit: str
    best: Plan
    seconds: dict[str, float]

    @property
    def published(self) -> float:
        """What the paper's figure shows."""
        return PUBLISHED[self.tokens]

    @property
    def gain_percent(self) -> float:
        """By how much the optimum is below the best of the other curves."""
        others = min(seconds for name, seconds in self.seconds.items() if name != "optimal-dp")
        return 100 * (1 - self.seconds["optimal-dp"] / others)


def latencies(unit: str) -> list[Latency]:
    """All prompt lengths in one of the units."""
    return [_latency(tokens, unit) for tokens in PUBLISHED]


def _latency(tokens: int, unit: str) -> Latency:
    instance = paper_instance(tokens, unit)
    plans: dict[str, Plan] = {name: solve(instance, name) for name in ("optimal-dp", "harmonic", "even")}
    seconds = {name: plan.finish_seconds for name, plan in plans.items()}
    alone = int((instance.problem.load_sum[:, -1] + instance.problem.compute_sum[:, -1]).min())
    return Latency(tokens, unit, plans["optimal-dp"], seconds | {"single device": alone / NS_PER_SECOND})


def mean_gain(rows: Sequence[Latency]) -> float:
    """Mean gain in per cent."""
    return float(np.mean([row.gain_percent for row in rows]))


def draw() -> Picture:
    """Seconds over tokens, in both units."""
    picture = Picture(figsize=(9.8, 3.8), layout="constrained")
    for axes, unit in zip(picture.subplots(1, 2, sharey=True), UNITS, strict=True):
        _draw_curves(axes, latencies(unit))
        axes.set_title(f"a MB is {UNITS[unit]:,} bytes", fontsize=10)
    picture.axes[0].set_ylabel("latency (s)")
    picture.axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    return picture


def _draw_curves(axes: Axes, rows: Sequence[Latency]) -> None:
    tokens = [row.tokens for row in rows]
    for name, colour in _CURVES:
        axes.plot(tokens, [row.seconds[name] for row in rows], label=name, color=colour, marker="o", markersize=4)
    axes.plot(tokens, [row.published for row in rows], "kx", label="paper's figure", markersize=7, zorder=5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(tokens, [f"{n:,}" for n in tokens], fontsize=8)
    axes.set_xlabel("prompt (tokens)")
    axes.set_ylim(bottom=0)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


@dataclass(frozen=True)
class Chart:
    """A plan of the paper's charts beside the optimal ones.

    Attributes:
        tokens: Length of the prompt.
        published: The chart's plan, on the table with MiB.
        optimal: By the unit.
    """

    tokens: int
    published: Plan
    optimal: dict[str, Plan]


def charts() -> list[Chart]:
    """The three of the paper."""
    return [
        Chart(
            tokens,
            Plan.parse(text, paper_instance(tokens), solver="paper's chart"),
            {unit: solve(paper_instance(tokens, unit)) for unit in UNITS},
        )
        for tokens, text in CHARTS.items()
    ]


def draw_charts() -> Picture:
    """A row for each prompt length, a column for each plan."""
    found = charts()
    picture = Picture(figsize=(13.0, 7.6), layout="constrained")
    grid = picture.subplots(len(found), 3, squeeze=False, sharex="row")
    for row, chart in zip(grid, found, strict=True):
        plans = [(chart.published, "MiB"), *((plan, unit) for unit, plan in chart.optimal.items())]
        until = 1.02 * max(plan.finish_seconds for plan, _ in plans)
        for axes, (plan, unit) in zip(row, plans, strict=True):
            title = f"{plan.solver}, {unit}, {chart.tokens:,} tokens: {plan.finish_seconds:.3f} s"
            draw_plan(axes, plan, paper_instance(chart.tokens, unit), title, until=until)
    add_legend(picture)
    return picture
