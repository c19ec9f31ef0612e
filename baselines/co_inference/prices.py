"""Rules that know the present task and what later ones are drawn from. Each makes, for an instance, a chooser.

A price rule takes the level of largest w Q - price · cost, or skips where that is not above 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.co_inference.forecast import (
    PRICES,
    demands,
    expected_demand,
    family_of,
    link_transition,
    menus_at,
    occupancy,
    quality_of,
    stationary_demand,
    sun_transition,
)
from pl_env.co_inference.dynamics import STATIONARY_LINK
from pl_env.co_inference.env import CoInferenceEnv
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.plan import Plan

Floats = NDArray[np.float64]

Chooser = Callable[[int, float, Floats], int]
"""From the task's number, the joules in the battery and the least energy of each level to a level, -1 to skip."""

Rule = Callable[[Instance], Chooser]

PRICE, DECAY = 6.0, 2.0
"""Of `battery_price`: the best on other seeds of the preset "default"."""

BUDGET_PRICE = 2.0
"""Likewise of the preset "budget", where nothing is harvested."""

_EULER = 0.5772156649015329


class RulePolicy:
    """A rule as a policy in `CoInferenceEnv`."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._instance: Instance | None = None

    def act(self, observation: Any, info: dict[str, Any], env: CoInferenceEnv) -> int:
        """The rule's action; the observation is not needed."""
        if env.instance is not self._instance:
            self._instance = env.instance
            self._choose = self._rule(env.instance)
        return 1 + self._choose(env.task, env.battery_j, env.costs)


def play(rule: Rule, instance: Instance) -> Plan:
    """The plan that a rule makes of an instance."""
    choose, battery, levels = rule(instance), instance.battery_j, []
    for task, costs in enumerate(instance.menus):
        level = choose(task, battery, costs)
        levels.append(level)
        paid = float(costs[level]) if level >= 0 else 0.0
        battery = min(instance.capacity_j, battery - paid + float(instance.harvest[task]))
    return Plan.from_levels(instance, levels)


# ---------------------------------------------------------------- prices


def battery_price(price: float | None = None, decay: float | None = None) -> Rule:
    """The price is ``price`` · exp(-``decay`` · battery / capacity).

    Args:
        price: In weighted quality per joule; None for the best where there is harvest, or where there is none.
        decay: Likewise.
    """

    def rule(instance: Instance) -> Chooser:
        harvests = instance.outlook.harvest_j > 0
        highest = (PRICE if harvests else BUDGET_PRICE) if price is None else price
        fall = (DECAY if harvests else 0.0) if decay is None else decay
        buyer = _Buyer(instance)
        return lambda task, battery, costs: buyer.buy(
            task, battery, costs, highest * np.exp(-fall * battery / instance.capacity_j)
        )

    return rule


def fluid_price(instance: Instance) -> Chooser:
    """At the least price at which this task and what is expected of the later ones take no more than there will be."""
    family, n_tasks = family_of(instance), instance.n_tasks
    demand = expected_demand(family)
    visits = occupancy(link_transition(instance.outlook.link_stay), n_tasks)
    sunny = occupancy(sun_transition(instance.outlook.sun_stay), n_tasks)[:, :, 1]
    buyer = _Buyer(instance)

    def choose(task: int, battery: float, costs: Floats) -> int:
        later = n_tasks - 1 - task
        wanted = visits[later, instance.link[task]] @ demand
        harvest = float(instance.harvest[task]) + instance.outlook.harvest_j * sunny[later, instance.sun[task]]
        return buyer.balance(task, battery, costs, wanted, harvest)

    return choose


def mpc_mean(instance: Instance) -> Chooser:
    """As `fluid_price`, with every later task at the mean: log-gain, deadline, weight and harvest."""
    outlook, family = instance.outlook, family_of(instance)
    with np.errstate(divide="ignore"):
        log_gain = np.array(STATIONARY_LINK) @ np.log(outlook.link_gain) - _EULER
    menu = menus_at(family, [sum(outlook.deadline) / 2], [float(np.exp(log_gain))])
    demand = demands(menu, quality_of(instance.levels), outlook.mean_weight, PRICES)
    buyer = _Buyer(instance)

    def choose(task: int, battery: float, costs: Floats) -> int:
        later = instance.n_tasks - 1 - task
        harvest = float(instance.harvest[task]) + later * outlook.harvest_j / 2
        return buyer.balance(task, battery, costs, later * demand, harvest)

    return choose


def const_price(instance: Instance) -> Chooser:
    """One price, at which all tasks are expected to take the battery's joules and the mean harvests."""
    energy = instance.battery_j + instance.n_tasks * instance.outlook.harvest_j / 2
    fits = instance.n_tasks * stationary_demand(family_of(instance)) <= energy
    price = float(PRICES[int(fits.argmax())]) if fits.any() else float(PRICES[-1])
    buyer = _Buyer(instance, counts_overflow=False)
    return lambda task, battery, costs: buyer.buy(task, battery, costs, price)


class _Buyer:
    """Buys the level of largest surplus; energy that is about to overflow is free."""

    def __init__(self, instance: Instance, *, counts_overflow: bool = True) -> None:
        self._instance, self._counts_overflow = instance, counts_overflow
        self._quality = quality_of(instance.levels)

    def _paid(self, task: int, battery: float, costs: Floats) -> Floats:
        """Joules that a level takes from what will be there after the task."""
        overflow = battery + float(self._instance.harvest[task]) - self._instance.capacity_j
        return np.maximum(0.0, costs - overflow) if self._counts_overflow and overflow > 0 else costs

    def buy(self, task: int, battery: float, costs: Floats, price: float) -> int:
        """The level at a price, -1 to skip."""
        legal = int(np.searchsorted(costs, battery, side="right"))
        if legal == 0:
            return -1
        gain = self._instance.weight[task] * self._quality[:legal]
        surplus = gain - price * self._paid(task, battery, costs[:legal])
        best = int(surplus.argmax())
        return best if surplus[best] > 0 else -1

    def balance(self, task: int, battery: float, costs: Floats, wanted: Floats, harvest: float) -> int:
        """The level at the least price at which this and the later tasks take no more than there will be."""
        weight, paid = float(self._instance.weight[task]), self._paid(task, battery, costs)
        own = demands(paid[None], self._quality, weight, PRICES)
        fits = own + wanted <= battery + harvest
        price = PRICES[int(fits.argmax())] if fits.any() else PRICES[-1]
        return self.buy(task, battery, costs, float(price))


# ---------------------------------------------------------------- simple rules


def greedy_min(instance: Instance) -> Chooser:
    """The lowest level, whenever the battery holds its energy."""
    return lambda task, battery, costs: 0 if costs[0] <= battery else -1


def greedy_full(instance: Instance) -> Chooser:
    """The highest level whose energy the battery holds."""
    return lambda task, battery, costs: int(np.searchsorted(costs, battery, side="right")) - 1


def equal(instance: Instance) -> Chooser:
    """The highest level within an equal share of the battery at the start plus the mean harvest."""
    share = instance.battery_j / max(1, instance.n_tasks) + instance.outlook.harvest_j / 2
    return lambda task, battery, costs: int(np.searchsorted(costs, min(battery, share), side="right")) - 1


def at_random(rng: np.random.Generator) -> Rule:
    """Skipping and the levels that the battery allows, all equally likely."""

    def rule(instance: Instance) -> Chooser:
        return lambda task, battery, costs: int(rng.integers(1 + np.searchsorted(costs, battery, side="right"))) - 1

    return rule
