"""What every action is worth: when the whole is done if it is taken and all that follows is optimal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start.optimal_dp import fill
from baselines.cold_start.pipeline import NEVER, Pipeline, usable_part
from pl_env.cold_start.instance import Instance
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


def action_values(instance: Instance) -> Ints:
    """Nanoseconds, int64 (K, L): when all is done if a device takes the next n layers, n − 1 being the column.

    Args:
        instance: What is left of an episode, as of ``env.remaining()``; at most 17 devices that can take layers.

    Returns:
        `NEVER` where that cannot be, or leaves layers that fit nowhere.
    """
    part, devices = usable_part(instance)
    values = np.full((instance.n_devices, instance.n_layers), NEVER, dtype=np.int64)
    found = np.full((len(devices), instance.n_layers), NEVER, dtype=np.int64)
    if instance.n_layers:
        _value_all(part, found)
    values[devices] = found
    return values


@compiled
def _value_all(part: Pipeline, values: Ints) -> None:
    n_devices, n_layers = values.shape
    rest = max(1, n_devices - 1)
    room = np.empty((1 << rest) * rest * (n_layers + 1), dtype=np.int64)
    for device in range(n_devices):
        load, compute = part.load_sum[device], part.compute_sum[device]
        others = np.array([other for other in range(n_devices) if other != device], dtype=np.int64)
        for count in range(1, part.highest[device, 0] + 1):
            finish = max(load[count], part.ready) + part.entry[device] + compute[count]
            if count == n_layers:
                values[device, count - 1] = finish
            elif n_devices > 1:
                left = behind(part, device, others, count, finish)
                n_left = n_layers + 1 - count
                table = room[: (1 << rest) * rest * n_left].reshape((1 << rest, rest, n_left))
                fill(left, False, table)
                values[device, count - 1] = _least(table)


@compiled
def behind(part: Pipeline, device: int, others: Ints, count: int, finish: int) -> Pipeline:
    """What is left for the others when a device has the first layers and is done with them."""
    n, n_left = len(others), part.load_sum.shape[1] - count
    load, compute = np.empty((n, n_left), dtype=np.int64), np.empty((n, n_left), dtype=np.int64)
    highest = np.empty((n, n_left), dtype=np.int64)
    transfer, entry = np.empty((n_left - 1, n, n), dtype=np.int64), np.empty(n, dtype=np.int64)
    for row in range(n):
        other = others[row]
        load[row] = part.load_sum[other, count:] - part.load_sum[other, count]
        compute[row] = part.compute_sum[other, count:] - part.compute_sum[other, count]
        highest[row] = part.highest[other, count:] - count
        entry[row] = part.transfer[count, device, other]
        for column in range(n):
            transfer[:, row, column] = part.transfer[count:, other, others[column]]
    return Pipeline(load, compute, highest, transfer, entry, finish)


@compiled
def _least(table: Ints) -> int:
    """When the best plan is done that a filled table tells of."""
    best = NEVER
    for devices in range(1, len(table)):
        for device in range(table.shape[1]):
            if devices >> device & 1:
                best = min(best, table[devices, device, -1])
    return int(best)
