"""What tasks to come will cost, given what they are drawn from: menus at quantiles, demand at a price, the chains."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.co_inference.dynamics import DEADLINE, GAIN, LINK_STATES, STATIONARY_LINK, TASK_COLUMNS
from pl_env.co_inference.instance import Hardware, Instance, Outlook, menus_of, tables_of
from pl_env.co_inference.split_tables import SplitTable
from pl_env.compiling import compiled

Floats = NDArray[np.float64]

DEADLINES, FADINGS = 20, 28
"""Midpoint quantiles of deadline and fading."""

PRICES = np.append(0.0, np.geomspace(0.01, 100.0, 400))
"""Prices of a joule, in weighted quality."""


class Family(NamedTuple):
    """What decides the distribution of menus."""

    model: SplitTable
    hardware: Hardware
    outlook: Outlook
    levels: tuple[float, ...]


def family_of(instance: Instance) -> Family:
    """The family that an instance belongs to."""
    return Family(instance.model, instance.hardware, instance.outlook, tuple(instance.levels.tolist()))


def menus_at(family: Family, deadline: Any, gain: Any) -> Floats:
    """Least energies of tasks, float64 (n, K)."""
    model, hardware = family.model, family.hardware
    splits = model.smaller_embeddings() if hardware.server_is_better else range(model.n_splits)
    tables = tables_of(model, hardware, np.array(family.levels), np.array(splits))
    tasks = np.zeros((len(deadline), TASK_COLUMNS))
    tasks[:, DEADLINE], tasks[:, GAIN] = deadline, gain
    return menus_of(tables, tasks)


@lru_cache(maxsize=32)
def quantile_menus(family: Family) -> Floats:
    """Menus in each state of the link, float64 (3, 20 · 28, K), all quantiles equally likely."""
    low, high = family.outlook.deadline
    deadlines = low + (high - low) * (np.arange(DEADLINES) + 0.5) / DEADLINES
    fadings = -np.log1p(-(np.arange(FADINGS) + 0.5) / FADINGS)
    deadline, fading = (grid.ravel() for grid in np.meshgrid(deadlines, fadings, indexing="ij"))
    return np.stack([menus_at(family, deadline, gain * fading) for gain in family.outlook.link_gain])


def weights_of(outlook: Outlook) -> tuple[tuple[float, float], ...]:
    """Each weight with its probability."""
    return (outlook.weight, 1 - outlook.high_probability), (outlook.high_weight, outlook.high_probability)


@compiled
def demands(costs: Floats, quality: Floats, weight: float, prices: Floats) -> Floats:
    """Joules that tasks take in the mean at each price, float64 (prices,).

    Args:
        costs: float64 (n, K), ascending over the levels.
        quality: float64 (K,).
        weight: Of the tasks.
        prices: float64 (prices,).
    """
    taken = np.zeros(len(prices))
    for menu in costs:
        for place, price in enumerate(prices):
            best, joules = 0.0, 0.0
            for k in range(len(menu)):
                if menu[k] == np.inf:
                    break
                surplus = weight * quality[k] - price * menu[k]
                if surplus > best:
                    best, joules = surplus, menu[k]
            taken[place] += joules
    return taken / len(costs)


@lru_cache(maxsize=32)
def expected_demand(family: Family) -> Floats:
    """Expected joules of a task in each state of the link at each of `PRICES`, float64 (3, prices)."""
    quality = quality_of(np.array(family.levels))
    total = np.zeros((LINK_STATES, len(PRICES)))
    for weight, probability in weights_of(family.outlook):
        for link, menus in enumerate(quantile_menus(family)):
            total[link] += probability * demands(menus, quality, weight, PRICES)
    return total


def quality_of(kept: Floats) -> Floats:
    """Q(r)."""
    return np.asarray(kept * (1.0 - np.log(kept)))


def link_transition(stay: float) -> Floats:
    """Probabilities from each state of the link to each, float64 (3, 3)."""
    leave = 1.0 - stay
    return np.array([[stay, leave, 0.0], [leave / 2, stay, leave / 2], [0.0, leave, stay]])


def sun_transition(stay: float) -> Floats:
    """Probabilities from sun off and on to each, float64 (2, 2)."""
    return np.array([[stay, 1.0 - stay], [1.0 - stay, stay]])


def occupancy(transition: Floats, n_steps: int) -> Floats:
    """Expected visits within the next m steps, float64 (n_steps + 1, states, states): [m, from, in]."""
    visits = np.zeros((n_steps + 1, *transition.shape))
    power = np.eye(len(transition))
    for m in range(n_steps):
        power = power @ transition
        visits[m + 1] = visits[m] + power
    return visits


def stationary_demand(family: Family) -> Floats:
    """Expected joules of a task at each of `PRICES`, the link stationary."""
    return np.asarray(np.array(STATIONARY_LINK) @ expected_demand(family))
