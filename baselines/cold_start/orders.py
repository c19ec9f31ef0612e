"""Plans in a given order of the devices, exactly; and a search over orders."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start.bounds import lower_bound
from baselines.cold_start.pipeline import NEVER, Pipeline, add_behind, add_first, stage_before, usable_part
from pl_env.cold_start.instance import MOST_IN_SETS, Instance
from pl_env.cold_start.plan import Plan
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


@compiled
def value_order(part: Pipeline, order: Ints, table: Ints) -> int:
    """When the best plan is done whose devices are in this order, some left out; `NEVER` where none fits.

    Args:
        part: The devices.
        order: int64 (U,), the order.
        table: int64 (U, L + 1), out: when the first j layers are done, the device in this place being the last.
    """
    best = NEVER
    for place in range(len(order)):
        out = table[place]
        out[:] = NEVER
        add_first(part, order[place], out)
        for before in range(place):
            add_behind(part, order[place], order[before], table[before], 1, 1, out)
        best = min(best, out[-1])
    return int(best)


def _trace(part: Pipeline, order: Ints, table: Ints) -> list[tuple[int, int]]:
    """Devices and counts of the plan that `value_order` valued."""
    place, last = int(table[:, -1].argmin()), table.shape[1] - 1
    stages: list[tuple[int, int]] = []
    while True:
        value, device = int(table[place, last]), int(order[place])
        for before in range(place):
            i = int(stage_before(part, device, int(order[before]), table[before], last, value))
            if i > 0:
                stages.insert(0, (device, last - i))
                place, last = before, i
                break
        else:
            return [(device, last), *stages]


def slow_first(instance: Instance, devices: Ints) -> Ints:
    """Places in ``devices`` by their computation of all layers, the longest first."""
    return np.argsort(-instance.problem.compute_sum[devices, -1], kind="stable").astype(np.int64)


def order_dp(instance: Instance) -> Plan:
    """The best plan whose devices are in the order of slow computation first, some left out."""
    plan = _best_slow_first(instance)
    assert plan is not None
    return plan


def _best_slow_first(instance: Instance) -> Plan | None:
    """`order_dp`; None where no plan fits."""
    part, devices = usable_part(instance)
    if instance.n_layers == 0:
        return Plan.of(instance, [])
    order, table = slow_first(instance, devices), np.empty((len(devices), instance.n_layers + 1), dtype=np.int64)
    return _plan(instance, part, devices, order, table)


def _plan(instance: Instance, part: Pipeline, devices: Ints, order: Ints, table: Ints) -> Plan | None:
    if value_order(part, order, table) >= NEVER:
        return None
    return Plan.of(instance, [(int(devices[device]), count) for device, count in _trace(part, order, table)])


def why_not_order(instance: Instance) -> str | None:
    """Why `order_dp` does not cover an instance; None where it does."""
    reason = instance.why_not_placeable
    if reason is None and not instance.equal_layers and _best_slow_first(instance) is None:
        return "no plan in its order of the devices, slow computation first, fits their memory"
    return reason


# ---------------------------------------------------------------- search


@compiled
def improve(part: Pipeline, order: Ints, most: int, table: Ints) -> tuple[int, int]:
    """Move single devices to other places in the order, as long as one helps.

    Args:
        part: The devices.
        order: int64 (U,), in and out.
        most: Orders that may be valued.
        table: int64 (U, L + 1), room to work.

    Returns:
        When the plan is done, and how many orders were valued.
    """
    n = len(order)
    best, valued = value_order(part, order, table), 1
    moved = np.empty(n, dtype=np.int64)
    improved = True
    while improved:
        improved = False
        for source in range(n):
            for target in range(n):
                if source == target or target == source - 1:  # the same as moving the neighbour
                    continue
                if valued >= most:
                    return best, valued
                device = order[source]
                moved[:] = order
                if source < target:
                    moved[source:target] = order[source + 1 : target + 1]
                else:
                    moved[target + 1 : source + 1] = order[target:source]
                moved[target] = device
                value, valued = value_order(part, moved, table), valued + 1
                if value < best:
                    best, improved = value, True
                    order[:] = moved
    return best, valued


_KICKS = 3
"""Moves that perturb an order."""


def order_search(instance: Instance, *, starts: int = 16, orders: int = 50_000, seed: int = 0) -> Plan:
    """Insertion moves on the order until none helps, from several starts: slow first, then random or the best, moved.

    Args:
        instance: The instance.
        starts: How many.
        orders: Most orders that are valued.
        seed: Seed of the starts.
    """
    part, devices = usable_part(instance)
    bound = lower_bound(instance) if len(devices) > MOST_IN_SETS else 0
    if instance.n_layers == 0:
        return Plan.of(instance, [], bound=instance.ready_ns / 1e9)
    rng, n = np.random.default_rng(seed), len(devices)
    table = np.empty((n, instance.n_layers + 1), dtype=np.int64)
    best, least = _first_order(instance, part, devices, table), NEVER
    assert best is not None
    left = orders
    for start in range(starts):
        order = best.copy() if start % 2 == 0 else rng.permutation(n)
        if start > 0 and start % 2 == 0:
            for source, target in rng.integers(n, size=(_KICKS, 2)):
                order = np.insert(np.delete(order, source), target, order[source])
        value, valued = improve(part, order, max(1, left), table)
        left -= valued
        if value < least:
            best, least = order, value
        if left <= 0:
            break
    plan = _plan(instance, part, devices, best, table)
    assert plan is not None
    return Plan(plan.devices, plan.counts, plan.n_layers, plan.finish_ns, plan.worst_ns, bound=bound / 1e9)


def _first_order(instance: Instance, part: Pipeline, devices: Ints, table: Ints) -> Ints | None:
    """Slow first; where no plan of that fits, as given, or any order of which one does. None where none is found."""
    order = slow_first(instance, devices)
    for candidate in (order, np.arange(len(devices))):
        if value_order(part, candidate, table) < NEVER:
            return candidate
    if instance.n_devices > MOST_IN_SETS:
        return None
    position, found = 0, list[int]()
    left = sum(1 << int(device) for device in devices)
    places = {int(device): place for place, device in enumerate(devices)}
    while position < instance.n_layers:  # next a device such that those that are left can hold what it leaves
        device = next(k for k in places if left >> k & 1 and _holds_until(instance, k, left ^ (1 << k)) <= position)
        left ^= 1 << device
        position = max(position, int(instance.reach[left]))
        found.append(places[device])
    return np.array([*found, *(place for place in order if place not in found)], dtype=np.int64)


def _holds_until(instance: Instance, device: int, others: int) -> int:
    """The first layer that a device holds where a set of others holds as many of the last layers as it can."""
    return int(instance.problem.lowest[device, instance.reach[others]])


def why_not_search(instance: Instance) -> str | None:
    """Why `order_search` does not cover an instance; None where it does."""
    reason = instance.why_not_placeable
    if reason is None and not instance.equal_layers and instance.n_devices > MOST_IN_SETS:
        part, devices = usable_part(instance)
        table = np.empty((len(devices), instance.n_layers + 1), dtype=np.int64)
        if _first_order(instance, part, devices, table) is None:
            return "no order of its devices was found in which the layers fit their memory"
    return reason
