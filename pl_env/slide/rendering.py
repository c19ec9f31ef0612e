"""Pictures: each user's download and computation over time, frames of an episode, and its description in text."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pl_env.figures import FigureViewer, ShownFigure
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan, Task
from pl_env.times import NS_PER_SECOND

_DOWNLOAD, _SENT, _COMPUTE, _LATEST = "#bbccee", "#4477aa", "#228833", "#cc3311"
_FIGURE_INCHES = (9.0, 6.0)
_ROW_WIDTH = 48


def gantt(plan: Plan, instance: Instance, title: str | None = None, now_seconds: float | None = None) -> Figure:
    """A lane for each user who is served: download above, computation below, and the deadline.

    The download is pale while it waits for the band, dark while it has the band; with constant shares it is as dark as
    the share is large.

    Args:
        plan: What to draw.
        instance: The instance it is for.
        title: Title in place of the plan's own summary.
        now_seconds: Draws a line at that time.

    Returns:
        A figure; ``figure.savefig("plan.png")`` writes it.
    """
    figure = ShownFigure(*_FIGURE_INCHES)
    _draw(figure.subplots(), plan, instance, str(plan) if title is None else title, now_seconds)
    return figure


def _draw(axes: Axes, plan: Plan, instance: Instance, title: str, now_seconds: float | None) -> None:
    tasks = plan.tasks(instance)
    for lane, task in enumerate(tasks):
        _draw_task(axes, -lane, task, plan)
    if now_seconds is not None:
        axes.axvline(now_seconds, color="black", linewidth=1.0, linestyle=":")
    axes.set_yticks([-lane for lane in range(len(tasks))], [_label(task, instance) for task in tasks], fontsize=7)
    axes.set_ylim(-max(1, len(tasks)), 1)
    last = int((instance.arrival_ns + instance.deadline_ns).max(initial=1)) / NS_PER_SECOND
    axes.set_xlim(0, 1.02 * last)
    axes.set_xlabel("time (s)")
    axes.set_title(title, fontsize=10)
    handles = [
        *(Patch(color=colour, label=label) for colour, label in ((_SENT, "has the band"), (_DOWNLOAD, "waits for it"))),
        *(Patch(color=colour, label=label) for colour, label in ((_COMPUTE, "computes"), (_LATEST, "deadline"))),
    ]
    axes.legend(handles=handles, loc="lower right", fontsize=8, ncols=4)


def _label(task: Task, instance: Instance) -> str:
    return f"{task.user}: {instance.library.names[task.model]}"


def _draw_task(axes: Axes, lane: int, task: Task, plan: Plan) -> None:
    arrival, received = task.arrival_ns / NS_PER_SECOND, task.received_ns[-1] / NS_PER_SECOND
    axes.barh(lane + 0.2, received - arrival, left=arrival, height=0.34, color=_DOWNLOAD)
    if plan.slices is not None:
        own = plan.slices[plan.slices[:, 0] == task.user, 1:] / NS_PER_SECOND
        axes.broken_barh([(start, end - start) for start, end in own], (lane + 0.03, 0.34), color=_SENT)
    elif plan.shares is not None:
        alpha = min(1.0, 0.15 + 3 * int(plan.shares[task.user]) / 1e6)
        axes.barh(lane + 0.2, received - arrival, left=arrival, height=0.34, color=_SENT, alpha=alpha)
    bars = [
        ((finish - duration) / NS_PER_SECOND, duration / NS_PER_SECOND)
        for finish, duration in zip(task.finish_ns, task.compute_ns, strict=True)
    ]
    axes.broken_barh(bars, (lane - 0.37, 0.34), color=_COMPUTE)
    axes.plot([task.due_ns / NS_PER_SECOND] * 2, [lane - 0.4, lane + 0.4], color=_LATEST, linewidth=1.5)


def describe(plan: Plan, instance: Instance, about: str) -> str:
    """The present state of an episode in text: ░ arrived and waiting or receiving, █ computing, | the deadline."""
    lines = [f"{about}, {plan.served} served", "user  model          MHz  received s  finish s  due s"]
    end = int((instance.arrival_ns + instance.deadline_ns).max(initial=1))
    for task in plan.tasks(instance):
        received, finish, due = (
            time / NS_PER_SECOND for time in (task.received_ns[-1], task.finish_ns[-1], task.due_ns)
        )
        megahertz = int(plan.frequency_hz[task.user]) / 1e6
        name = instance.library.names[task.model]
        numbers = f"{megahertz:5.0f}  {received:10.3f}  {finish:8.3f}  {due:5.3f}"
        lines.append(f"{task.user:4d}  {name:13s}{numbers}  {_bar(task, end)}")
    return "\n".join(lines)


def _bar(task: Task, end: int) -> str:
    """The task over time in characters."""
    cells = [" "] * (_ROW_WIDTH + 1)
    computing = [(finish - duration, finish) for finish, duration in zip(task.finish_ns, task.compute_ns, strict=True)]
    marked = [("░", [(task.arrival_ns, task.received_ns[-1])]), ("█", computing)]
    for mark, spans in marked:
        for start, stop in spans:
            for cell in range(start * _ROW_WIDTH // end, -(-stop * _ROW_WIDTH // end)):
                cells[cell] = mark
    cells[task.due_ns * _ROW_WIDTH // end] = "|"
    return "".join(cells).rstrip()


class Viewer(FigureViewer):
    """Draws an episode again and again, into an array or into a window."""

    INCHES = _FIGURE_INCHES

    def draw(self, plan: Plan, instance: Instance, about: str, now_seconds: float) -> NDArray[np.uint8] | None:
        """Draw the present state; the frame as uint8 (height, width, 3), or None in a window."""
        figure = self.cleared()
        _draw(figure.subplots(), plan, instance, f"{about}, {plan.served} served", now_seconds)
        return self.frame()
