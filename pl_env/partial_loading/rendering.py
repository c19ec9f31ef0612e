"""Pictures: a Gantt chart of a schedule, frames of an episode, and its description in text."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from pl_env.figures import FigureViewer, ShownFigure
from pl_env.partial_loading.dynamics import COMPUTE, FINISH, LOAD, MODEL, SIZE, UPLOAD
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule

_PHASES = (("upload", UPLOAD, "#4477aa"), ("load", LOAD, "#ee6677"), ("compute", COMPUTE, "#228833"))
_REUSED = "#ccbb44"
_FIGURE_INCHES = (11.0, 5.0)
_NS_PER_MS = 1e6
_BYTES_PER_MB = 1e6


def moved_bytes(schedule: Schedule, instance: Instance) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bytes that each batch loads, and bytes of its model that were already resident, each int64 (N,)."""
    models = schedule.history[:, MODEL]
    before = np.concatenate([[instance.resident], models[:-1]]) if len(models) else models
    held = instance.has_block[models]
    resident = instance.has_block[before] & (before >= 0)[:, None]
    if schedule.loads_in_full:
        resident &= (before == models)[:, None]
    return (held & ~resident) @ instance.block_bytes, (held & resident) @ instance.block_bytes


def gantt(schedule: Schedule, instance: Instance, title: str | None = None) -> Figure:
    """Gantt chart: upload, load and compute of each batch over time, the deadline, and bytes loaded and reused.

    Args:
        schedule: What to draw.
        instance: The instance it is for.
        title: Title in place of the schedule's own summary.

    Returns:
        A figure; ``figure.savefig("gantt.png")`` writes it, and a notebook shows it.
    """
    figure = ShownFigure(*_FIGURE_INCHES)
    _draw_gantt(figure, schedule, instance, title)
    return figure


def _draw_gantt(figure: Figure, schedule: Schedule, instance: Instance, title: str | None) -> None:
    lanes, volume = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    deadline_ms = instance.deadline_ns / _NS_PER_MS
    _draw_lanes(lanes, schedule, deadline_ms)
    _draw_bytes(volume, schedule, instance)
    for axes in (lanes, volume):
        axes.axvline(deadline_ms, color="black", linestyle="--", linewidth=1.2)
    volume.set_xlim(0, max(deadline_ms, 1e-3) * 1.03)
    volume.set_xlabel("time (ms); dashed: deadline")
    lanes.set_title(str(schedule) if title is None else title, fontsize=10)


def _draw_lanes(axes: Axes, schedule: Schedule, deadline_ms: float) -> None:
    """One lane per phase, and above each batch its model and size where there is room for it."""
    label_width = 0.036 * deadline_ms
    free_from = [-label_width] * 4  # where the last label of each row of labels ends
    for row in schedule.history:
        start = (row[FINISH] - row[UPLOAD] - row[LOAD] - row[COMPUTE]) / _NS_PER_MS
        middle = (start + row[FINISH] / _NS_PER_MS) / 2
        for lane, (_, column, colour) in enumerate(_PHASES):
            duration = row[column] / _NS_PER_MS
            axes.barh(-lane, duration, left=start, height=0.7, color=colour)
            start += duration
        axes.axvline(row[FINISH] / _NS_PER_MS, color="0.9", linewidth=0.8, zorder=0)
        level = next((level for level, end in enumerate(free_from) if end <= middle - label_width / 2), None)
        if level is not None:
            free_from[level] = middle + label_width / 2
            label = f"m{row[MODEL]}\n×{row[SIZE]}"
            axes.text(middle, 0.45 + 0.62 * level, label, ha="center", va="bottom", fontsize=7)
    axes.set_yticks([-lane for lane in range(len(_PHASES))], [name for name, _, _ in _PHASES])
    axes.set_ylim(-2.6, 3.0)


def _draw_bytes(axes: Axes, schedule: Schedule, instance: Instance) -> None:
    loaded, reused = (values / _BYTES_PER_MB for values in moved_bytes(schedule, instance))
    finish = schedule.history[:, FINISH] / _NS_PER_MS
    start = np.concatenate([[0.0], finish[:-1]]) if len(finish) else finish
    middle, width = (start + finish) / 2, (finish - start) * 0.85
    axes.bar(middle, loaded, width, color=_PHASES[1][2])
    axes.bar(middle, reused, width, bottom=loaded, color=_REUSED)
    axes.set_ylabel("MB of the model")
    axes.set_ylim(0, 1.35 * max(1.0, float((instance.has_block @ instance.block_bytes).max()) / _BYTES_PER_MB))
    names = [f"loaded, {loaded.sum():.0f} MB in all", f"reused, {reused.sum():.0f} MB"]
    handles = [Patch(color=_PHASES[1][2], label=names[0]), Patch(color=_REUSED, label=names[1])]
    axes.legend(handles=handles, loc="upper left", fontsize=8, ncols=2)


def describe(schedule: Schedule, instance: Instance) -> str:
    """An episode so far in a few lines of text."""
    lines = [
        f"{schedule.finish_seconds * 1e3:.1f} of {instance.deadline_ns / _NS_PER_MS:.1f} ms, "
        f"{schedule.served} of {schedule.n_users} users served",
        "batch  model  users  upload ms  load ms  compute ms  finish ms",
    ]
    for n, row in enumerate(schedule.history):
        times = [row[column] / _NS_PER_MS for column in (UPLOAD, LOAD, COMPUTE, FINISH)]
        lines.append(f"{n:5d}  {row[MODEL]:5d}  {row[SIZE]:5d}  {times[0]:9.2f}  {times[1]:7.2f}  "
                     f"{times[2]:10.2f}  {times[3]:9.2f}")  # fmt: skip
    return "\n".join(lines)


def text_gantt(schedule: Schedule, instance: Instance, width: int = 64) -> str:
    """Gantt chart in characters, a row per batch: ░ upload, █ load, ▒ compute; the frame ends at the deadline."""
    scale = width / max(1, instance.deadline_ns)
    lines = ["model  users  loaded MB  reused MB"]
    loaded, reused = moved_bytes(schedule, instance)
    for n, row in enumerate(schedule.history):
        begin = int(row[FINISH] - row[UPLOAD] - row[LOAD] - row[COMPUTE])
        ends = np.cumsum([begin, row[UPLOAD], row[LOAD], row[COMPUTE]]) * scale
        cells = np.rint(ends).astype(int)
        bar = " " * cells[0] + "".join(
            mark * (stop - start) for mark, start, stop in zip("░█▒", cells[:-1], cells[1:], strict=True)
        )
        megabytes = f"{loaded[n] / _BYTES_PER_MB:9.1f}  {reused[n] / _BYTES_PER_MB:9.1f}"
        lines.append(f"{row[MODEL]:5d}  {row[SIZE]:5d}  {megabytes}  |{bar:<{width}}|")
    lines.append(" " * 36 + f"0{instance.deadline_ns / _NS_PER_MS:>{width - 2}.0f} ms")
    return "\n".join(lines)


class Viewer(FigureViewer):
    """Draws an episode again and again, into an array or into a window."""

    INCHES = _FIGURE_INCHES

    def draw(self, schedule: Schedule, instance: Instance) -> NDArray[np.uint8] | None:
        """Draw an episode so far; the frame as uint8 (height, width, 3), or None in a window."""
        figure = self.cleared()
        title = f"batch {len(schedule)}: {schedule.served} of {schedule.n_users} users served"
        _draw_gantt(figure, schedule, instance, title)
        return self.frame()
