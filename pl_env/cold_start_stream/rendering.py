"""Pictures: a lane for each device over all prompts, and what is in its memory; as text, figures and frames."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pl_env.cold_start_stream.dynamics import Memory
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan, Stage
from pl_env.figures import FigureViewer, ShownFigure
from pl_env.times import NS_PER_SECOND

_LOAD, _TRANSFER = "#bbbbbb", "#222222"
_MODELS = ("#228833", "#4477aa", "#ee6677", "#ccbb44", "#66ccee", "#aa3377")
_FIGURE_INCHES = (9.0, 4.0)
_LONGEST_TEXT = 12
"""Stages that the text shows, the last ones."""


def gantt(plan: Plan, instance: Instance, title: str | None = None) -> Figure:
    """A lane for each device; colours are models.

    Args:
        plan: What to draw.
        instance: The instance it is for.
        title: Title in place of the plan's own summary.

    Returns:
        A figure; ``figure.savefig("plan.png")`` writes it.
    """
    figure = ShownFigure(*_FIGURE_INCHES)
    draw(figure.subplots(), plan, instance, str(plan) if title is None else title)
    _add_legend(figure, instance)
    return figure


def draw(axes: Axes, plan: Plan, instance: Instance, title: str) -> None:
    """Draw the lanes: loading, receiving, computing; arrivals as ticks above."""
    last = 1e-9
    for stage in plan.timeline(instance):
        there = stage.finish_ns - stage.compute_ns
        for begin, end, colour in (
            (stage.start_ns, stage.start_ns + stage.load_ns, _LOAD),
            (there - stage.transfer_ns, there, _TRANSFER),
            (there, stage.finish_ns, _colour(stage.model)),
        ):
            left, width = begin / NS_PER_SECOND, (end - begin) / NS_PER_SECOND
            axes.barh(-stage.device, width, left=left, height=0.7, color=colour)
        last = max(last, stage.finish_ns / NS_PER_SECOND)
    for n, arrival in enumerate(instance.arrival_ns.tolist()):
        if arrival / NS_PER_SECOND <= last:
            axes.plot([arrival / NS_PER_SECOND], [0.65], marker="v", color=_colour(int(instance.model[n])))
    axes.set_yticks([-k for k in range(instance.n_devices)], [f"device {k + 1}" for k in range(instance.n_devices)])
    axes.set_ylim(-instance.n_devices + 0.4, 0.9)
    axes.set_xlim(0, 1.02 * last)
    axes.set_xlabel("time (s); triangles: arrivals")
    axes.set_title(title, fontsize=10)


def _colour(model: int) -> str:
    return _MODELS[model % len(_MODELS)]


def _add_legend(figure: Figure, instance: Instance) -> None:
    handles = [Patch(color=_LOAD, label="loads"), Patch(color=_TRANSFER, label="receives")]
    handles += [Patch(color=_colour(q), label=f"computes model {q + 1}") for q in range(instance.n_models)]
    figure.legend(handles=handles, loc="outside lower center", fontsize=8, ncols=6, frameon=False)


def text_memory(instance: Instance, memory: Memory) -> str:
    """What is in memory, a line for each device: layers of each model."""
    lines = []
    for k in range(instance.n_devices):
        held = [
            f"model {q + 1}: {_runs(np.flatnonzero(memory.used_at[k, q]).tolist())}"
            for q in range(instance.n_models)
            if memory.used_at[k, q].any()
        ]
        lines.append(f"device {k + 1} holds {', '.join(held) or 'nothing'}")
    return "\n".join(lines)


def _runs(layers: list[int]) -> str:
    """Layers as runs, counted from 1, such as "1-4 7"."""
    found: list[list[int]] = []
    for layer in layers:
        if found and layer == found[-1][1] + 1:
            found[-1][1] = layer
        else:
            found.append([layer, layer])
    return " ".join(str(a + 1) if a == b else f"{a + 1}-{b + 1}" for a, b in found)


def text_gantt(plan: Plan, instance: Instance) -> str:
    """The last stages as text."""
    stages = plan.timeline(instance)[-_LONGEST_TEXT:]
    lines = ["prompt  model  device  layers    loaded  load s  recv s  comp s    start s     done s"]
    return "\n".join([*lines, *(_line(stage) for stage in stages)])


def _line(stage: Stage) -> str:
    load, receive, compute = (ns / NS_PER_SECOND for ns in (stage.load_ns, stage.transfer_ns, stage.compute_ns))
    start, done = stage.start_ns / NS_PER_SECOND, stage.finish_ns / NS_PER_SECOND
    layers = f"{stage.first + 1}-{stage.first + stage.count}"
    head = f"{stage.prompt + 1:6d}  {stage.model + 1:5d}  {stage.device + 1:6d}  {layers:8s}  {stage.loaded:6d}"
    return f"{head}  {load:6.3f}  {receive:6.3f}  {compute:6.3f}  {start:9.3f}  {done:9.3f}"


class Viewer(FigureViewer):
    """Draws an episode again and again, into an array or into a window."""

    INCHES = _FIGURE_INCHES

    def draw(self, plan: Plan, instance: Instance, about: str) -> NDArray[np.uint8] | None:
        """Draw the present state; the frame as uint8 (height, width, 3), or None in a window."""
        figure = self.cleared()
        draw(figure.subplots(), plan, instance, about)
        _add_legend(figure, instance)
        return self.frame()
