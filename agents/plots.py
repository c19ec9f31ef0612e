"""Plots of a training run."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.training import TrainingResult
from baselines.evaluation import Evaluation


def draw_learning_curve(result: TrainingResult[Any]) -> Figure:
    """How the learner does while it trains, over the states that it has learnt from; a panel for each stage."""
    stages = list(dict.fromkeys(point["stage"] for point in result.curve))
    figure = Figure(figsize=(8, 3 * len(stages)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(stages), 1))
    for axes, stage in zip(panels, stages, strict=True):
        measure = result.measures[stage]
        points = [point for point in result.curve if point["stage"] == stage and measure.name in point]
        axes.plot([point["states"] for point in points], [point[measure.name] for point in points], color="#4477aa")
        axes.set_title(stage)
        axes.set_xlabel("states learnt from")
        axes.set_yscale(measure.scale)
        axes.set_ylabel(measure.label)
    return figure


def draw_objectives(evaluation: Evaluation, objective: str) -> Figure:
    """What every policy attains with its 95 % interval, the largest on top; `objective` names it."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    ranking = sorted(evaluation, key=lambda name: evaluation[name].mean)
    means = [evaluation[name].mean for name in ranking]
    colours = ["#ee6677" if name == "agent" else "#4477aa" for name in ranking]
    errors = [
        [evaluation[name].mean - evaluation[name].low for name in ranking],
        [evaluation[name].high - evaluation[name].mean for name in ranking],
    ]
    axes.barh(ranking, means, xerr=errors, color=colours, capsize=3)
    for place, mean in enumerate(means):
        axes.text(0.005, place, f"{mean:.3f}", va="center", color="white", fontsize=9)
    episodes = len(evaluation[ranking[0]].objective)
    axes.set_xlabel(f"{objective}, mean of {episodes} episodes with its 95 % interval")
    return figure
