"""The pictures of README and of "the problem in five minutes": ``python -m experiments.introduction``.

They go to docs/images/family.png, a sketch, and docs/images/five-minutes.png, two plans that solvers made.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import baselines
import pl_env
from pl_env.command_line import exit_code
from pl_env.figures import ShownFigure, save_figure

SENT, LOADED, COMPUTED, KEPT, DEADLINE = "#4477aa", "#ee6677", "#228833", "#ccbb44", "#222222"
LEGEND = ((SENT, "sent"), (LOADED, "loaded"), (COMPUTED, "computed"))
MILLISECOND = 1e-3


@dataclass(frozen=True)
class Sketch:
    """One row of the picture of the family.

    Attributes:
        title: The system and its question.
        lanes: Names of the lanes, from the top.
        bars: Lane, start, length, colour and label of each bar; time runs from 0 to 10.
        deadlines: Lane and time of each deadline.
    """

    title: str
    lanes: tuple[str, ...]
    bars: tuple[tuple[int, float, float, str, str], ...]
    deadlines: tuple[tuple[int, float], ...]


FAMILY = (
    Sketch(
        "PartialLoading: which model next, for how many users?",
        ("server",),
        (
            (0, 0.0, 4.0, LOADED, "model A"),
            (0, 4.0, 1.2, COMPUTED, "×3"),
            (0, 5.2, 2.0, LOADED, "rest of B"),
            (0, 7.2, 1.7, COMPUTED, "×5"),
        ),
        ((0, 9.3),),
    ),
    Sketch(
        "PartialLoadingOnline: users arrive; GPU memory is a cache",
        ("server",),
        (
            (0, 0.7, 2.2, LOADED, "A"),
            (0, 2.9, 0.9, COMPUTED, "×2"),
            (0, 4.4, 1.4, LOADED, "B"),
            (0, 5.8, 0.7, COMPUTED, "×1"),
            (0, 7.2, 1.6, COMPUTED, "A again ×3"),
        ),
        ((0, 4.1), (0, 6.8), (0, 9.3)),
    ),
    Sketch(
        "SLIDE: devices compute the layers that have arrived",
        ("link", "device"),
        (
            (0, 0.0, 2.0, SENT, "layer 1"),
            (0, 2.0, 2.2, SENT, "layer 2"),
            (0, 4.2, 2.6, SENT, "layer 3"),
            (1, 2.0, 1.7, COMPUTED, "1"),
            (1, 4.2, 1.7, COMPUTED, "2"),
            (1, 6.8, 1.7, COMPUTED, "3"),
        ),
        ((1, 9.3),),
    ),
    Sketch(
        "Cold start: which device gets which layers?",
        ("phone", "laptop", "desktop"),
        (
            (0, 0.0, 1.6, LOADED, "1–4"),
            (0, 1.6, 1.3, COMPUTED, ""),
            (1, 0.0, 3.1, LOADED, "5–14"),
            (1, 2.9, 0.4, SENT, ""),
            (1, 3.3, 2.1, COMPUTED, ""),
            (2, 0.0, 5.4, LOADED, "15–40"),
            (2, 5.4, 0.4, SENT, ""),
            (2, 5.8, 2.9, COMPUTED, "first prompt"),
        ),
        (),
    ),
    Sketch(
        "Streams: devices stay warm; which layers stay where?",
        ("laptop", "desktop"),
        (
            (0, 0.0, 1.6, LOADED, "A 1–10"),
            (0, 1.6, 0.9, COMPUTED, "A"),
            (0, 4.9, 0.9, COMPUTED, "A again"),
            (1, 0.0, 2.5, LOADED, "A 11–40"),
            (1, 2.5, 1.2, COMPUTED, "A"),
            (1, 5.8, 1.2, COMPUTED, "A again"),
            (0, 7.0, 1.2, LOADED, "B"),
            (0, 8.2, 1.2, COMPUTED, "B"),
        ),
        (),
    ),
    Sketch(
        "Co-inference: how far to prune, where to split, on one battery?",
        ("camera", "link", "server"),
        (
            (0, 0.0, 3.6, COMPUTED, "first blocks"),
            (1, 3.6, 2.4, SENT, "embedding"),
            (2, 6.0, 2.8, COMPUTED, "the rest"),
        ),
        ((2, 9.3),),
    ),
)


def draw_family() -> Figure:
    """The systems, one below the other."""
    figure = ShownFigure(6.6, 8.9)
    rows = figure.subplots(len(FAMILY), 1, height_ratios=[len(sketch.lanes) + 1.1 for sketch in FAMILY])
    for axes, sketch in zip(rows, FAMILY, strict=True):
        _draw_sketch(axes, sketch)
    handles = [Patch(color=colour, label=label) for colour, label in LEGEND]
    handles += rows[0].plot([], [], color=DEADLINE, linewidth=2, label="deadline")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=10, frameon=False)
    return figure


def _draw_sketch(axes: Axes, sketch: Sketch) -> None:
    for lane, start, length, colour, label in sketch.bars:
        _bar(axes, -lane, start, length, colour, label)
    for lane, time in sketch.deadlines:
        axes.plot([time] * 2, [-lane - 0.48, -lane + 0.48], color=DEADLINE, linewidth=2)
    axes.set_title(sketch.title, fontsize=12, loc="left", fontweight="bold")
    axes.set(xlim=(-0.1, 10.0), ylim=(0.5 - len(sketch.lanes), 0.5))
    axes.set_yticks([-lane for lane in range(len(sketch.lanes))], sketch.lanes, fontsize=11)
    _bare(axes)
    axes.set_xticks([])


def draw_five_minutes() -> Figure:
    """The preset ``tiny``: what its models share, its best plan without sharing, and its best plan."""
    instance = pl_env.Scenario.preset("tiny").sample(np.random.default_rng(0))
    figure = ShownFigure(6.6, 6.2)
    blocks, alone, best = figure.subplots(3, 1, height_ratios=(3.4, 1.5, 1.5))
    _draw_blocks(blocks, instance)
    _draw_plan(alone, instance, baselines.solve(instance, "independent"), "Every model loaded in full")
    _draw_plan(best, instance, baselines.solve(instance, "optimal-dp"), "The best plan: model 1 first")
    best.set_xlabel("time (ms)", fontsize=11)
    handles = [Patch(color=LOADED, label="loads"), Patch(color=COMPUTED, label="computes")]
    handles += best.plot([], [], color=DEADLINE, linewidth=2, label="deadline")
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10, frameon=False)
    return figure


def _draw_blocks(axes: Axes, instance: pl_env.Instance) -> None:
    """A bar for each model, a piece for each block; what several models have is yellow."""
    megabytes = instance.block_bytes / 1e6
    shared = instance.has_block.sum(axis=0) > 1
    for model in range(instance.n_models):
        left = 0.0
        for block in np.flatnonzero(instance.has_block[model]):
            _bar(axes, -model, left, megabytes[block], KEPT if shared[block] else LOADED, f"{megabytes[block]:.0f} MB")
            left += megabytes[block]
    users = np.bincount(instance.requested_model, minlength=instance.n_models)
    names = [f"model {model}, {n} {'user' if n == 1 else 'users'}" for model, n in enumerate(users)]
    axes.set_yticks([-model for model in range(instance.n_models)], names, fontsize=11)
    axes.set_title("Three models; the yellow block is one and the same", fontsize=12, loc="left", fontweight="bold")
    axes.set(xlim=(-1, 184), ylim=(0.5 - instance.n_models, 0.5))
    _bare(axes)
    axes.set_xticks([])


def _draw_plan(axes: Axes, instance: pl_env.Instance, plan: pl_env.Schedule, title: str) -> None:
    for batch in plan.batches:
        computing = batch.compute_seconds / MILLISECOND
        start = batch.finish_seconds / MILLISECOND - computing
        loading = batch.load_seconds / MILLISECOND
        if loading > 0:
            label = f"model {batch.model}" if loading > 30 else str(batch.model)
            _bar(axes, 0, start - loading, loading, LOADED, label)
        _bar(axes, 0, start, computing, COMPUTED, f"×{len(batch.users)}")
    deadline = instance.deadline_ns * 1e-6
    axes.plot([deadline] * 2, [-0.5, 0.5], color=DEADLINE, linewidth=2)
    served = f"{plan.served} of {instance.n_users} users"
    axes.set_title(f"{title}: {served}", fontsize=12, loc="left", fontweight="bold")
    axes.set(xlim=(-1, 184), ylim=(-0.5, 0.5), yticks=[])
    axes.tick_params(labelsize=11)
    _bare(axes)


def _bar(axes: Axes, lane: float, start: float, length: float, colour: str, label: str) -> None:
    axes.barh(lane, length, left=start, height=0.78, color=colour, edgecolor="white", linewidth=1.0)
    dark = "black" if colour == KEPT else "white"
    axes.text(start + length / 2, lane, label, ha="center", va="center", fontsize=10, color=dark)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def write(folder: Path = Path("docs/images")) -> None:
    """Draw the pictures of README and of "the problem in five minutes".

    Args:
        folder: Folder to write them to.
    """
    for name, figure in (("family", draw_family()), ("five-minutes", draw_five_minutes())):
        save_figure(figure, folder / f"{name}.png")
        print(f"written: {folder / name}.png")


if __name__ == "__main__":
    sys.exit(exit_code(lambda: tyro.cli(write, prog="python -m experiments.introduction")))
