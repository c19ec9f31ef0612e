"""Plots of a training run."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from agents.training import TrainingResult
from baselines.evaluation import Evaluation


def draw_learning_curve(result: TrainingResult[Any], trained_on: str) -> Figure:
    """How the learner does while it trains, over the states that it has learnt from; a panel for each measure.

    Args:
        result: The training.
        trained_on: What it trains on, for the title.
    """
    stages = dict.fromkeys(point["stage"] for point in result.curve)
    curves = [(stage, measure) for stage in stages for measure in result.measures[stage]]
    figure = Figure(figsize=(8, 3 * len(curves)), layout="constrained")
    figure.suptitle(f"training on {trained_on}", wrap=True)
    panels = np.atleast_1d(figure.subplots(len(curves), 1))
    for axes, (stage, measure) in zip(panels, curves, strict=True):
        points = [point for point in result.curve if point["stage"] == stage and measure.name in point]
        axes.plot([point["states"] for point in points], [point[measure.name] for point in points], color="#4477aa")
        axes.set_title(stage)
        axes.set_xlabel("states learnt from")
        axes.set_yscale(measure.scale)
        axes.set_ylabel(measure.label)
    return figure


def draw_objectives(evaluation: Evaluation, objective: str, played: str) -> Figure:
    """What every policy attains with its 95 % interval, the largest on top.

    Args:
        evaluation: Of an agent and others.
        objective: What they attain.
        played: What was played, for the title.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(played, wrap=True)
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
