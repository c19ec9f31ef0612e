"""What no plan is better than, for any number of devices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start.instance import Instance

Ints = NDArray[np.int64]

_HEIGHTS = 48
"""Values of h / T that are tried."""


def lower_bound(instance: Instance) -> int:
    """Nanoseconds before which no plan is done; `docs/cold-start.md` says why. Not above the end of what went before.

    Where all layers are alike: for any h, devices that load until h or longer compute one after the other after h.
    Else: each device takes a run of layers that it can load and compute in time, and these runs must cover all.
    """
    if instance.n_layers == 0:
        return int(instance.ready_ns)
    holds = _Equal(instance) if instance.equal_layers else _Any(instance)
    low, high = int(instance.ready_ns) - 1, int(instance.ready_ns + instance.worst_ns)
    while high - low > 1:  # low is too short, high is not
        middle = (low + high) // 2
        low, high = (low, middle) if holds.enough(middle) else (middle, high)
    return high


class _Equal:
    """All layers alike: l and c per layer, w the least transfer into a device."""

    def __init__(self, instance: Instance) -> None:
        devices = instance.usable
        self._layers = instance.n_layers
        self._load = instance.problem.load_sum[devices, 1].astype(np.float64)
        self._compute = instance.problem.compute_sum[devices, 1].astype(np.float64)
        self._capacity = instance.capacity[devices]
        self._transfer = _least_transfer(instance)[devices].astype(np.float64)

    def enough(self, time: int) -> bool:
        """Whether the devices may hold all layers within a time."""
        per_layer = self._load + self._compute
        in_time = np.where(per_layer > 0, time // np.maximum(per_layer, 1), self._layers)
        most = np.minimum(self._capacity, in_time.astype(np.int64))
        if most.sum() < self._layers:
            return False
        return all(self._enough_from(time * step / _HEIGHTS, time, most) for step in range(_HEIGHTS))

    def _enough_from(self, h: float, time: int, most: Ints) -> bool:
        """Likewise where those that load until h or longer compute one after the other after h."""
        count = np.maximum(1, np.ceil(h / np.maximum(self._load, 1e-9)))  # of layers that load until h
        free = np.minimum(most, count - 1)
        dear = most - free
        cost = np.where(dear > 0, (most * self._compute + self._transfer) / np.maximum(dear, 1), 0.0)
        budget = time - h + self._transfer.max(initial=0.0)
        order = np.argsort(cost, kind="stable")
        spent = np.cumsum((cost * dear)[order])
        whole = int(np.searchsorted(spent, budget, side="right"))
        held = float(free.sum() + dear[order][:whole].sum())
        if whole < len(order):
            before = spent[whole - 1] if whole else 0.0
            held += (budget - before) / cost[order[whole]]
        return held >= self._layers - 1e-6


class _Any:
    """Any layers: the longest run of each device, wherever it begins."""

    def __init__(self, instance: Instance) -> None:
        devices = instance.usable
        self._layers = instance.n_layers
        self._sum = (instance.problem.load_sum + instance.problem.compute_sum)[devices]
        self._lowest = instance.problem.lowest[devices]

    def enough(self, time: int) -> bool:
        """Whether the devices may hold all layers within a time."""
        held = 0
        for total, lowest in zip(self._sum, self._lowest, strict=True):
            in_time = np.searchsorted(total, total - time)
            held += int((np.arange(len(total)) - np.maximum(in_time, lowest)).max())
        return held >= self._layers


def _least_transfer(instance: Instance) -> Ints:
    """The least time (K,) that anything takes to come to a device; 0 where it comes from nobody."""
    n = instance.n_devices
    cut = 0 if instance.previous >= 0 else 1
    if n == 1 or instance.n_layers <= cut:
        return np.zeros(n, dtype=np.int64)
    transfer = instance.transfer_ns[cut:].min(axis=0)
    return np.asarray(np.where(np.eye(n, dtype=bool), transfer.max(), transfer).min(axis=0))
