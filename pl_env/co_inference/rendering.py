"""Pictures: the battery, the link and what is made of the tasks, one after another; and the same in text."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pl_env.co_inference.instance import Floats, Instance
from pl_env.co_inference.plan import Plan
from pl_env.figures import FigureViewer, ShownFigure

_FIGURE_INCHES = (9.0, 6.0)
_BATTERY, _SUN, _SKIPPED = "#228833", "#eedd88", "#bbbbbb"
_SPLITS = ("#4477aa", "#ee6677", "#aa3377", "#66ccee", "#ccbb44")
_LINK_NAMES = ("good", "middling", "bad")
_ROW_WIDTH = 24


def battery_after(plan: Plan, instance: Instance) -> Floats:
    """Joules in the battery before the first task and after each decision, float64 (n + 1,)."""
    battery = [instance.battery_j]
    for energy, harvest in zip(plan.energy_j, instance.harvest, strict=False):
        battery.append(min(instance.capacity_j, max(0.0, battery[-1] - energy) + harvest))
    return np.array(battery)


def timeline(plan: Plan, instance: Instance, title: str | None = None) -> Figure:
    """Battery and sun above, the channel in the middle, what is kept of the model below; tasks from left to right.

    Args:
        plan: What to draw.
        instance: The instance it is for.
        title: Title in place of the plan's own summary.

    Returns:
        A figure; ``figure.savefig("plan.png")`` writes it.
    """
    figure = ShownFigure(*_FIGURE_INCHES)
    _draw(figure, plan, instance, str(plan) if title is None else title)
    return figure


def _draw(figure: Any, plan: Plan, instance: Instance, title: str) -> None:
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1, 2))
    above.set_title(title, fontsize=10)
    _draw_battery(above, plan, instance)
    places = np.arange(instance.n_tasks)
    with np.errstate(divide="ignore"):
        middle.plot(places, 10 * np.log10(instance.gain), color="0.3", marker=".", linewidth=0.8)
    middle.set_ylabel("channel gain (dB)")
    _draw_tasks(below, plan, instance)
    below.set_xlabel("task")
    below.set_xlim(-0.6, max(0.6, instance.n_tasks - 0.4))


def _draw_battery(axes: Axes, plan: Plan, instance: Instance) -> None:
    for task in np.flatnonzero(instance.harvest > 0):
        axes.axvspan(task - 0.5, task + 0.5, color=_SUN, linewidth=0)
    joules = battery_after(plan, instance)
    axes.step(np.arange(len(joules)) - 0.5, joules, where="mid", color=_BATTERY, marker=".", label="battery")
    axes.set_ylim(0, 1.05 * max(instance.capacity_j, 1e-9))
    axes.set_ylabel("battery (J)")
    axes.plot([], [], color=_SUN, linewidth=6, label="sun is on")
    axes.legend(loc="upper right", fontsize=8, ncols=2)


def _draw_tasks(axes: Axes, plan: Plan, instance: Instance) -> None:
    """A bar as high as the kept fraction, as wide as the weight, its colour the split."""
    widths = 0.35 + 0.5 * instance.weight / max(1e-9, float(instance.weight.max(initial=0)))
    skipped = np.flatnonzero(plan.split < 0)
    axes.bar(skipped, 0.03, width=widths[skipped], color=_SKIPPED, label="skipped")
    for row, split in enumerate(instance.useful_splits.tolist()):
        chosen = np.flatnonzero(plan.split == split)
        if len(chosen):
            label = "all on the device" if split == instance.model.n_splits - 1 else f"split after block {split}"
            colour = _SPLITS[row % len(_SPLITS)]
            axes.bar(chosen, plan.kept[chosen], width=widths[chosen], color=colour, label=label)
    axes.set_ylim(0, 1.45)
    axes.set_ylabel("kept fraction (width: weight)")
    axes.legend(loc="upper right", fontsize=8, ncols=3)


def describe(plan: Plan, instance: Instance) -> str:
    """The present state of an episode in text, a line for each task that is decided on."""
    joules = battery_after(plan, instance)
    held = f"battery {joules[-1]:.3f} of {instance.capacity_j:g} J"
    lines = [f"task {len(plan)} of {instance.n_tasks}, {held}, {plan.served} served, {plan.objective:.4f}"]
    lines.append("task  weight  deadline s  link      sun  split  kept  energy J  battery J")
    for task in range(len(plan)):
        about = f"{task:4d}  {instance.weight[task]:6g}  {instance.deadline[task]:10.3f}"
        link, sun = _LINK_NAMES[instance.link[task]], "on" if instance.sun[task] else "off"
        left = f"{joules[task + 1]:9.3f}  {_bar(float(joules[task + 1]), instance.capacity_j)}"
        served = "    –     –         –" if plan.split[task] < 0 else _served(plan, task)
        lines.append(f"{about}  {link:8s}  {sun:3s}  {served}  {left}".rstrip())
    return "\n".join(lines)


def _served(plan: Plan, task: int) -> str:
    return f"{plan.split[task]:5d}  {plan.kept[task]:.2f}  {plan.energy_j[task]:8.3f}"


def _bar(joules: float, capacity: float) -> str:
    return "█" * round(_ROW_WIDTH * joules / capacity) if capacity > 0 else ""


class Viewer(FigureViewer):
    """Draws an episode again and again, into an array or into a window."""

    INCHES = _FIGURE_INCHES

    def draw(self, plan: Plan, instance: Instance) -> NDArray[np.uint8] | None:
        """Draw the present state; the frame as uint8 (height, width, 3), or None in a window."""
        figure = self.cleared()
        title = f"task {len(plan)} of {instance.n_tasks}: mean weighted quality {plan.objective:.4f} so far"
        _draw(figure, plan, instance, title)
        return self.frame()
