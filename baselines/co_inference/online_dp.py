"""The online optimum up to a grid: a dynamic program over tasks left, the chains and the battery.

V_m(link, sun, b) is the most weighted quality to expect of m tasks: the mean over quantiles of deadline and fading and
over the weights of the best of skipping and the levels that the battery allows, linear between points of b.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.co_inference.forecast import (
    Family,
    family_of,
    link_transition,
    quality_of,
    quantile_menus,
    sun_transition,
    weights_of,
)
from baselines.co_inference.prices import Chooser
from pl_env.co_inference.dynamics import STATIONARY_LINK
from pl_env.co_inference.instance import Instance
from pl_env.compiling import compiled

Floats = NDArray[np.float64]

POINTS = 400
"""Of the battery."""

_MOST_KEPT = 8
_kept: dict[tuple[Family, float, int], Floats] = {}


def tables(family: Family, capacity_j: float, n_tasks: int, points: int = POINTS) -> Floats:
    """Expected values of m tasks, float64 (n_tasks + 1, 3, 2, points): [m, link, sun, b] before the chains move.

    Args:
        family: What tasks are drawn from.
        capacity_j: Joules that the battery holds.
        n_tasks: As many tasks as there may be.
        points: Points of the battery from 0 to the capacity.
    """
    key = (family, capacity_j, points)
    known = _kept.pop(key, None)
    if known is None or len(known) <= n_tasks:
        outlook = family.outlook
        known = _values(
            quantile_menus(family),
            quality_of(np.array(family.levels)),
            np.array(weights_of(outlook)),
            np.kron(link_transition(outlook.link_stay), sun_transition(outlook.sun_stay)).astype(np.float64),
            outlook.harvest_j,
            capacity_j,
            n_tasks,
            points,
        )
    while len(_kept) >= _MOST_KEPT:
        del _kept[next(iter(_kept))]
    _kept[key] = known
    return known


@compiled
def _values(
    menus: Floats,
    quality: Floats,
    weights: Floats,
    transition: Floats,
    harvest_j: float,
    capacity: float,
    n_tasks: int,
    points: int,
) -> Floats:
    """`tables`.

    Args:
        menus: float64 (3, quantiles, K).
        quality: float64 (K,).
        weights: float64 (2, 2), each with its probability.
        transition: float64 (6, 6) of the chains, link · 2 + sun.
        harvest_j: While the sun is on.
        capacity: Of the battery.
        n_tasks: How many.
        points: Of the battery.
    """
    n_quantiles, n_levels = menus.shape[1], menus.shape[2]
    later = np.zeros((n_tasks + 1, 6, points))
    present = np.empty((6, points))
    step = capacity / (points - 1)
    after = np.empty(n_levels + 1)
    for m in range(1, n_tasks + 1):
        for chain in range(6):
            link, harvest = chain // 2, harvest_j * (chain % 2)
            future = later[m - 1, chain]
            for i in range(points):
                battery, total = i * step, 0.0
                skipped = between(future, min(capacity, battery + harvest) / step)
                for q in range(n_quantiles):
                    menu, n_legal = menus[link, q], 0
                    while n_legal < n_levels and menu[n_legal] <= battery:
                        left = min(capacity, battery - menu[n_legal] + harvest)
                        after[n_legal] = between(future, left / step)
                        n_legal += 1
                    for w in range(2):
                        best = skipped
                        for k in range(n_legal):
                            best = max(best, weights[w, 0] * quality[k] + after[k])
                        total += weights[w, 1] * best
                present[chain, i] = total / n_quantiles
        later[m] = transition @ present
    return later.reshape((n_tasks + 1, 3, 2, points))


@compiled
def between(values: Floats, place: float) -> float:
    """Linear interpolation."""
    low = min(int(place), len(values) - 2)
    share = place - low
    return float(values[low] * (1.0 - share) + values[low + 1] * share)


@compiled
def action_values(
    future: Floats, costs: Floats, quality: Floats, weight: float, battery: float, harvest: float, capacity: float
) -> Floats:
    """What skipping and each level is worth, float64 (1 + K,); minus infinity where the battery does not allow it.

    Args:
        future: float64 (points,), `tables` of the tasks after this one, in this one's state of the chains.
        costs: float64 (K,), the task's menu.
        quality: float64 (K,).
        weight: Of the task.
        battery: Joules.
        harvest: Joules that come after the task.
        capacity: Joules that the battery holds.
    """
    step = capacity / (len(future) - 1)
    worth = np.full(1 + len(costs), -np.inf)
    worth[0] = between(future, min(capacity, battery + harvest) / step)
    for k in range(len(costs)):
        if costs[k] <= battery:
            left = min(capacity, battery - costs[k] + harvest)
            worth[1 + k] = weight * quality[k] + between(future, left / step)
    return worth


def online_dp(instance: Instance) -> Chooser:
    """What is worth most."""
    future = tables(family_of(instance), instance.capacity_j, instance.n_tasks)
    quality = quality_of(instance.levels)

    def choose(task: int, battery: float, costs: Floats) -> int:
        left = instance.n_tasks - 1 - task
        about: Any = float(instance.weight[task]), battery, float(instance.harvest[task]), instance.capacity_j
        worth = action_values(future[left, instance.link[task], instance.sun[task]], costs, quality, *about)
        return int(worth.argmax()) - 1

    return choose


def expected_return(instance: Instance) -> float:
    """What the online optimum is expected to attain before the first task is seen, the chains stationary."""
    future = tables(family_of(instance), instance.capacity_j, instance.n_tasks)
    step = instance.capacity_j / (future.shape[-1] - 1)
    chains = np.kron(np.array(STATIONARY_LINK), [0.5, 0.5])
    at = [between(values, instance.battery_j / step) for values in future[instance.n_tasks].reshape(6, -1)]
    return float(chains @ np.array(at)) / instance.value_scale
