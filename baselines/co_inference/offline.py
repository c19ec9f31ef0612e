"""All tasks known: a dynamic program over the battery gives a schedule and a bound; labels close the gap.

Costs are real numbers. Rounded up to a grid they give a schedule that the battery can afford, rounded down a bound that
no schedule passes. `exact` then follows every choice that the bound leaves a chance, with the battery as it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.co_inference.instance import Instance, menus_of
from pl_env.co_inference.plan import Plan
from pl_env.compiling import compiled

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRID = 6000
"""Steps of the battery's grid."""

_FINE_LEVELS = 101
_MOST_LABELS = 2_000_000
_ROUNDING = 1e-12
"""Sums of qualities that differ by less count as equal."""


class Menu(NamedTuple):
    """What can be chosen for each of N tasks: K fractions, what they cost and what they count."""

    kept: Floats  # (K,)
    costs: Floats  # (N, K) joules, infinite where the deadline is too short
    values: Floats  # (N, K)
    most: Floats  # (N, K) the most that anything of that cost or more, and less than the next, counts


def menu_of(instance: Instance) -> Menu:
    """The levels; or, where any fraction will do, a fine grid, whose steps count as the next in the bound."""
    if not instance.continuous:
        values = instance.values(instance.levels)
        return Menu(instance.levels, instance.menus, values, values)
    kept = np.linspace(float(instance.levels[0]), 1.0, _FINE_LEVELS)
    values = instance.values(kept)
    most = np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
    return Menu(kept, menus_of(instance.tables._replace(levels=kept), instance.tasks), values, most)


def offline(instance: Instance, *, grid: int = GRID) -> Plan:
    """A schedule, and a bound on all of them.

    Args:
        instance: The instance.
        grid: Steps of the battery's grid.
    """
    menu = menu_of(instance)
    choice, bound, _ = _bracket(instance, menu, grid)
    return _plan(instance, menu, choice, bound)


def exact(instance: Instance, *, grid: int = GRID, labels: int = _MOST_LABELS) -> Plan:
    """The best schedule; levels only.

    Args:
        instance: The instance.
        grid: Steps of the battery's grid, from which the bounds come.
        labels: The bracket alone counts where more partial schedules than that stay in the running.
    """
    menu = menu_of(instance)
    choice, bound, upper = _bracket(instance, menu, grid)
    attained = _value_of(menu, choice)
    if bound - attained > _ROUNDING:
        better = _follow(instance, menu, upper, attained + _ROUNDING, labels)
        if better is None:
            return _plan(instance, menu, choice, bound)
        choice = better if len(better) or instance.n_tasks == 0 else choice
    return _plan(instance, menu, choice, _value_of(menu, choice))


def dual_bound(instance: Instance) -> float:
    """Without harvest: the least over prices of price · E + the sum of max(0, value - price · cost)."""
    menu = menu_of(instance)
    return _dual(menu, instance.battery_j) if not instance.harvest.any() else math.inf


def _plan(instance: Instance, menu: Menu, choice: Ints, bound: float) -> Plan:
    kept = np.where(choice >= 0, menu.kept[choice], 0.0)
    plan = Plan.from_fractions(instance, kept, bound=bound)
    status = "optimal" if bound <= plan.objective + 1e-9 else "feasible"
    return Plan.from_fractions(instance, kept, bound=max(bound, plan.objective), status=status)


def _value_of(menu: Menu, choice: Ints) -> float:
    return float(sum(menu.values[task, level] for task, level in enumerate(choice) if level >= 0))


# ---------------------------------------------------------------- the bracket


def _bracket(instance: Instance, menu: Menu, grid: int) -> tuple[Ints, float, Floats]:
    """A choice for each task, -1 for skipped; a bound; and the bounds from each task and battery on."""
    step = instance.capacity_j / grid if instance.capacity_j > 0 else 1.0
    lower = _values(menu.costs, menu.values, instance.harvest, step, grid, True)
    upper = _values(menu.costs, menu.most, instance.harvest, step, grid, False)
    choice = _schedule(menu, lower, instance.harvest, instance.battery_j, instance.capacity_j, step)
    bound = float(upper[0, min(grid, math.ceil(instance.battery_j / step))])
    if not instance.harvest.any():
        bound = min(bound, _dual(menu, instance.battery_j))
    return choice, bound, upper


@compiled
def _values(costs: Floats, values: Floats, harvest: Floats, step: float, grid: int, safe: bool) -> Floats:
    """Most that tasks n, n + 1, ... count from each point of the grid on, float64 (N + 1, grid + 1).

    Args:
        costs: float64 (N, K).
        values: float64 (N, K).
        harvest: float64 (N,).
        step: Joules between two points.
        grid: Number of steps.
        safe: Round costs up and harvest down; else the reverse.
    """
    n_tasks, n_levels = costs.shape
    total = np.zeros((n_tasks + 1, grid + 1))
    for n in range(n_tasks - 1, -1, -1):
        more = harvest[n] / step
        charged = int(math.floor(more) if safe else min(math.ceil(more), float(grid)))
        after = total[n + 1]
        for i in range(grid + 1):
            total[n, i] = after[min(grid, i + charged)]
        for k in range(n_levels):
            exactly = costs[n, k] / step
            if not exactly <= grid + 1:
                continue
            cost = int(math.ceil(exactly) if safe else math.floor(exactly))
            for i in range(cost, grid + 1):
                total[n, i] = max(total[n, i], values[n, k] + after[min(grid, i - cost + charged)])
    return total


@compiled
def _schedule(menu: Menu, lower: Floats, harvest: Floats, battery: float, capacity: float, step: float) -> Ints:
    """What is best for each task by the values of the grid, with the battery as it is."""
    n_tasks, n_levels = menu.costs.shape
    choice = np.full(n_tasks, -1, dtype=np.int64)
    grid = lower.shape[1] - 1
    for n in range(n_tasks):
        left = min(capacity, battery + harvest[n])
        best = lower[n + 1, min(grid, int(left / step))]
        paid = 0.0
        for k in range(n_levels):
            if menu.costs[n, k] <= battery:
                left = min(capacity, battery - menu.costs[n, k] + harvest[n])
                value = menu.values[n, k] + lower[n + 1, min(grid, int(left / step))]
                if value > best:
                    best, paid, choice[n] = value, menu.costs[n, k], k
        battery = min(capacity, battery - paid + harvest[n])
    return choice


def _dual(menu: Menu, energy: float) -> float:
    """Lagrange's dual bound, by a ternary search on the price, in which it is convex."""
    finite = np.isfinite(menu.costs)
    costs, most = np.where(finite, menu.costs, 0.0), np.where(finite, menu.most, 0.0)

    def bound(price: float) -> float:
        if costs.shape[0] == 0:
            return price * energy
        return price * energy + float(np.maximum(0.0, (most - price * costs).max(axis=1)).sum())

    low, high = 0.0, 1.0
    while bound(2 * high) < bound(high):
        high *= 2
    high *= 2
    for _ in range(100):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, second) if bound(first) < bound(second) else (first, high)
    return bound(0.5 * (low + high))


# ---------------------------------------------------------------- labels


def _follow(instance: Instance, menu: Menu, upper: Floats, incumbent: float, most: int) -> Ints | None:
    """The best choice that counts more than the incumbent, empty where there is none; None where labels are too many.

    A label is a battery and what counts so far. One with no more of either than another is dropped, and one that
    cannot pass the incumbent by the bound.
    """
    grid = upper.shape[1] - 1
    step = instance.capacity_j / grid
    battery, value = np.array([instance.battery_j]), np.zeros(1)
    steps: list[tuple[Ints, Ints]] = []
    for n in range(instance.n_tasks):
        costs, values = np.append(0.0, menu.costs[n]), np.append(0.0, menu.values[n])
        parent, level = np.nonzero(costs <= battery[:, None])
        left = np.minimum(instance.capacity_j, battery[parent] - costs[level] + instance.harvest[n])
        total = value[parent] + values[level]
        place = np.minimum(grid, np.ceil(left / step)).astype(np.int64)
        promising = np.flatnonzero(total + upper[n + 1, place] > incumbent)
        order = promising[np.lexsort((-total[promising], -left[promising]))]
        before = np.append(-np.inf, np.maximum.accumulate(total[order])[:-1])
        kept = order[total[order] > before]
        if len(kept) > most:
            return None
        steps.append((parent[kept], level[kept] - 1))
        battery, value = left[kept], total[kept]
    if len(value) == 0:
        return np.empty(0, dtype=np.int64)
    place, choice = int(value.argmax()), []
    for parent, level in reversed(steps):
        choice.append(int(level[place]))
        place = int(parent[place])
    return np.array(choice[::-1], dtype=np.int64)
