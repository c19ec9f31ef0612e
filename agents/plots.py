"""Plots of a training run."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from agents.evaluation import Evaluation


def draw_learning_curve(curve: Sequence[dict[str, float]], evaluation: Evaluation) -> Figure:
    """Served ratio in training over environment steps, with each policy's evaluated level beside it."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    steps = [point["timesteps"] for point in curve]
    axes.plot(steps, [point["served_ratio"] for point in curve], color="#4477aa", label="agent, while exploring")
    label_at = -1.0
    for name in sorted(evaluation, key=lambda name: evaluation[name].mean):
        mean = evaluation[name].mean
        axes.axhline(mean, linestyle="-" if name == "agent" else ":", color="0.5", linewidth=1)
        label_at = max(mean, label_at + 0.022)  # side by side they could not be read
        axes.annotate(
            f"{name} {mean:.3f}", (1.01, label_at), xycoords=("axes fraction", "data"), va="center", fontsize=8
        )
    axes.set_xlabel("environment steps")
    axes.set_ylabel("served user ratio")
    axes.legend(loc="lower right")
    return figure


def draw_served_ratios(evaluation: Evaluation) -> Figure:
    """Served ratio of every policy with its 95 % interval, best first."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    ranking = sorted(evaluation, key=lambda name: evaluation[name].mean)
    means = [evaluation[name].mean for name in ranking]
    colours = ["#ee6677" if name == "agent" else "#4477aa" for name in ranking]
    axes.barh(ranking, means, xerr=[evaluation[name].half_width for name in ranking], color=colours, capsize=3)
    for place, mean in enumerate(means):
        axes.text(0.005, place, f"{mean:.3f}", va="center", color="white", fontsize=9)
    episodes = len(evaluation[ranking[0]].served_ratio)
    axes.set_xlabel(f"served user ratio, mean of {episodes} episodes with 95 % interval")
    return figure
