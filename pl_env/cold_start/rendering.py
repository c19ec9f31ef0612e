"""Pictures: a lane for each device with its loading, waiting, receiving and computing; as text, figures and frames."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan, Stage
from pl_env.figures import FigureViewer, ShownFigure
from pl_env.times import NS_PER_SECOND

_LOAD, _IDLE, _TRANSFER, _COMPUTE = "#4477aa", "#dddddd", "#ee6677", "#228833"
_PHASES = (("loads", _LOAD), ("waits", _IDLE), ("receives", _TRANSFER), ("computes", _COMPUTE))
_MARKS = "░·▒█"
_FIGURE_INCHES = (9.0, 4.0)
_ROW_WIDTH = 60


def spans(stage: Stage) -> tuple[tuple[int, int], ...]:
    """Start and end of loading, waiting, receiving and computing, in nanoseconds."""
    start = max(stage.load_ns, stage.before_ns)
    there = start + stage.transfer_ns
    return (0, stage.load_ns), (stage.load_ns, start), (start, there), (there, stage.finish_ns)


def gantt(plan: Plan, instance: Instance, title: str | None = None) -> Figure:
    """A lane for each device that has layers, in their order.

    Args:
        plan: What to draw.
        instance: The instance it is for.
        title: Title in place of the plan's own summary.

    Returns:
        A figure; ``figure.savefig("plan.png")`` writes it.
    """
    figure = ShownFigure(*_FIGURE_INCHES)
    draw(figure.subplots(), plan, instance, str(plan) if title is None else title)
    add_legend(figure)
    return figure


def draw(axes: Axes, plan: Plan, instance: Instance, title: str, *, until: float | None = None) -> None:
    """Draw the lanes; ``until`` is the end of the axis in seconds, the plan's own unless given."""
    stages = plan.stages(instance)
    for lane, stage in enumerate(stages):
        for (start, end), (_, colour) in zip(spans(stage), _PHASES, strict=True):
            axes.barh(-lane, (end - start) / NS_PER_SECOND, left=start / NS_PER_SECOND, height=0.7, color=colour)
    labels = [f"{instance.names[stage.device]}\n{_layers(stage)}" for stage in stages]
    axes.set_yticks([-lane for lane in range(len(stages))], labels, fontsize=8)
    axes.set_ylim(-max(1, len(stages)) + 0.4, 0.6)
    last = stages[-1].finish_ns / NS_PER_SECOND if stages else 1.0
    axes.set_xlim(0, until or 1.02 * max(last, 1e-9))
    axes.set_xlabel("time (s)")
    axes.set_title(title, fontsize=10)


def add_legend(figure: Figure) -> None:
    """Say below the charts of a figure what the colours mean."""
    handles = [Patch(color=colour, label=label) for label, colour in _PHASES]
    figure.legend(handles=handles, loc="outside lower center", fontsize=8, ncols=4, frameon=False)


def _layers(stage: Stage) -> str:
    last = stage.first + stage.count
    return f"layers {stage.first + 1} to {last}" if stage.count > 1 else f"layer {last}"


def text_gantt(plan: Plan, instance: Instance) -> str:
    """The same as text: ░ loads, · waits for the stage before, ▒ receives, █ computes."""
    stages = plan.stages(instance)
    width = max([6, *(len(instance.names[stage.device]) for stage in stages)])
    head = f"{'device':{width}s}  layers   load s  wait s  recv s  comp s  done s"
    end = max(1, max((stage.finish_ns for stage in stages), default=1))
    lines = [head]
    for stage in stages:
        seconds = (stage.load_ns, stage.idle_ns, stage.transfer_ns, stage.compute_ns, stage.finish_ns)
        numbers = "  ".join(f"{ns / NS_PER_SECOND:6.3f}" for ns in seconds)
        layers = f"{stage.first + 1}-{stage.first + stage.count}"
        lines.append(f"{instance.names[stage.device]:{width}s}  {layers:7s}  {numbers}  {_bar(stage, end)}")
    return "\n".join(lines)


def _bar(stage: Stage, end: int) -> str:
    """The stage over time in characters."""
    cells = [" "] * _ROW_WIDTH
    for (start, stop), mark in zip(spans(stage), _MARKS, strict=True):
        for cell in range(start * _ROW_WIDTH // end, -(-stop * _ROW_WIDTH // end)):
            cells[cell] = mark
    return "".join(cells).rstrip()


class Viewer(FigureViewer):
    """Draws an episode again and again, into an array or into a window."""

    INCHES = _FIGURE_INCHES

    def draw(self, plan: Plan, instance: Instance, about: str) -> NDArray[np.uint8] | None:
        """Draw the present state; the frame as uint8 (height, width, 3), or None in a window."""
        figure = self.cleared()
        draw(figure.subplots(), plan, instance, about)
        add_legend(figure)
        return self.frame()
