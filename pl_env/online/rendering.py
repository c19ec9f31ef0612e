"""Pictures: the batches and memory over time, frames of an episode, and its description in text."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pl_env.figures import FigureViewer, ShownFigure
from pl_env.online.instance import Instance
from pl_env.online.plan import ROW_COMPUTE, ROW_FINISH, ROW_LOAD, ROW_MODEL, ROW_SIZE, ROW_START, ROW_UPLOAD, Plan
from pl_env.times import NS_PER_SECOND

_PHASES = (("upload", ROW_UPLOAD, "#4477aa"), ("load", ROW_LOAD, "#ee6677"), ("compute", ROW_COMPUTE, "#228833"))
_LIMIT = "#cc3311"
_FIGURE_INCHES = (11.0, 5.0)
_LAST_BATCHES = 12
_NS_PER_MS = 1e6
_BYTES_PER_MB = 1e6


def gantt(plan: Plan, instance: Instance, title: str | None = None) -> Figure:
    """Models over time with upload, load and compute of each batch, and below what memory holds.

    Args:
        plan: What to draw.
        instance: The instance it is for.
        title: Title in place of the plan's own summary.

    Returns:
        A figure; ``figure.savefig("gantt.png")`` writes it, and a notebook shows it.
    """
    figure = ShownFigure(*_FIGURE_INCHES)
    _draw(figure, plan, instance, str(plan) if title is None else title)
    return figure


def _draw(figure: Figure, plan: Plan, instance: Instance, title: str) -> None:
    lanes, memory = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_batches(lanes, plan, instance)
    _draw_memory(memory, plan, instance)
    last = max(int(instance.arrival_ns.max(initial=1)), int(plan.history[:, ROW_FINISH].max(initial=1)))
    memory.set_xlim(0, last / NS_PER_SECOND)
    memory.set_xlabel("time (s)")
    lanes.set_title(title, fontsize=10)


def _draw_batches(axes: Axes, plan: Plan, instance: Instance) -> None:
    """A lane for each model: a dot for each request, a bar for each batch."""
    axes.plot(instance.arrival_ns / NS_PER_SECOND, instance.requested_model, ".", color="0.6", markersize=2, zorder=0)
    for row in plan.history.tolist():
        start = row[ROW_START]
        for _, column, colour in _PHASES:
            axes.barh(row[ROW_MODEL], row[column] / NS_PER_SECOND, left=start / NS_PER_SECOND, height=0.8, color=colour)
            start += row[column]
    axes.set_ylim(-1, instance.n_models)
    axes.set_ylabel("model")
    handles = [Patch(color=colour, label=name) for name, _, colour in _PHASES]
    axes.legend(handles=handles, loc="upper right", fontsize=8, ncols=3)


def _draw_memory(axes: Axes, plan: Plan, instance: Instance) -> None:
    """Bytes in memory over time, and how many there may be."""
    used = [int(instance.block_bytes[instance.resident_blocks].sum())]
    loaded = plan.loaded_bytes(instance).tolist()
    for n in range(len(plan.history)):
        left = plan.evicted[plan.evicted_start[n] : plan.evicted_start[n + 1]]
        used.append(used[-1] + loaded[n] - int(instance.block_bytes[left].sum()))
    times = np.append(0, plan.history[:, ROW_START]) / NS_PER_SECOND
    axes.step(times, np.array(used) / _BYTES_PER_MB, where="post", color=_PHASES[1][2])
    if instance.eviction != "previous":
        axes.axhline(instance.cache_bytes / _BYTES_PER_MB, color=_LIMIT, linestyle="--", linewidth=1.0)
    axes.set_ylim(0, None)
    axes.set_ylabel("memory (MB)")


def describe(plan: Plan, instance: Instance, about: str) -> str:
    """An episode so far in a few lines of text: its last batches."""
    return f"{about}, {plan.served} served\n{_table(plan, instance, max(0, len(plan.history) - _LAST_BATCHES))}"


def text_gantt(plan: Plan, instance: Instance) -> str:
    """The batches of a plan as a table, the first and the last of them where they are many."""
    lines = _table(plan, instance, 0).split("\n")
    if len(lines) <= 2 * _LAST_BATCHES:
        return "\n".join(lines)
    return "\n".join([*lines[: _LAST_BATCHES + 1], "  ...", *lines[-_LAST_BATCHES:]])


def _table(plan: Plan, instance: Instance, first: int) -> str:
    lines = ["batch  model  users    start ms  upload ms  load ms  compute ms   finish ms  loaded MB  evicted"]
    loaded = (plan.loaded_bytes(instance) / _BYTES_PER_MB).tolist()
    n_evicted = np.diff(plan.evicted_start).tolist()
    for n, row in list(enumerate(plan.history.tolist()))[first:]:
        start, upload, load, compute, finish = (value / _NS_PER_MS for value in row[ROW_START:])
        lines.append(
            f"{n:5d}  {row[ROW_MODEL]:5d}  {row[ROW_SIZE]:5d}  {start:10.2f}  {upload:9.2f}  {load:7.2f}  "
            f"{compute:10.2f}  {finish:10.2f}  {loaded[n]:9.1f}  {n_evicted[n]:7d}"
        )
    return "\n".join(lines)


class Viewer(FigureViewer):
    """Draws an episode again and again, into an array or into a window."""

    INCHES = _FIGURE_INCHES

    def draw(self, plan: Plan, instance: Instance, about: str) -> NDArray[np.uint8] | None:
        """Draw an episode so far; the frame as uint8 (height, width, 3), or None in a window."""
        figure = self.cleared()
        _draw(figure, plan, instance, f"{about}, {plan.served} served")
        return self.frame()
