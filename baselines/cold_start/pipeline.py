"""What the dynamic programs of this room share: the devices that can take layers, and one stage behind another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start.instance import Instance
from pl_env.compiling import compiled

Ints = NDArray[np.int64]

NEVER = 2**61
"""Past any time."""


class Pipeline(NamedTuple):
    """An instance of the U devices that can take layers, L of them."""

    load_sum: Ints  # (U, L + 1) nanoseconds of the first layers
    compute_sum: Ints  # (U, L + 1)
    highest: Ints  # (U, L + 1): the largest j such that layers i .. j - 1 fit into the device
    transfer: Ints  # (L, U, U) before layer l
    entry: Ints  # (U,) before the first layer, from what went before
    ready: int  # when that is done


def usable_part(instance: Instance) -> tuple[Pipeline, Ints]:
    """The devices that can take layers, int64 (U,), and the instance of these alone."""
    devices, problem = instance.usable, instance.problem
    edges = np.arange(instance.n_layers + 1)
    highest = np.stack([np.searchsorted(row, edges, side="right") - 1 for row in problem.lowest[devices]] or [edges])
    entry = np.zeros(len(devices), dtype=np.int64)
    if instance.previous >= 0 and instance.n_layers:
        entry = instance.transfer_ns[0, instance.previous, devices]
    transfer = np.ascontiguousarray(instance.transfer_ns[:, devices[:, None], devices])
    part = Pipeline(
        problem.load_sum[devices], problem.compute_sum[devices], highest, transfer, entry, int(instance.ready_ns)
    )
    return part, devices


@compiled
def add_first(part: Pipeline, device: int, out: Ints) -> None:
    """When layers 0 .. j - 1 are done on a device that is the first, for all j, into ``out`` (L + 1,); smaller wins."""
    load, compute = part.load_sum[device], part.compute_sum[device]
    for j in range(1, part.highest[device, 0] + 1):
        out[j] = min(out[j], max(load[j], part.ready) + part.entry[device] + compute[j])


@compiled
def add_behind(part: Pipeline, device: int, before: int, finish: Ints, first: int, least: int, out: Ints) -> None:
    """When layers i .. j - 1 are done on a device behind another, for i >= first and j >= least; smaller wins.

    Args:
        part: The devices.
        device: The device.
        before: The one before it.
        finish: int64 (L + 1,), when layers 0 .. i - 1 are done there.
        first: Least i, at least 1.
        least: Least j.
        out: int64 (L + 1,).
    """
    load, compute, highest = part.load_sum[device], part.compute_sum[device], part.highest[device]
    for i in range(first, len(out) - 1):
        done = finish[i]
        if done < NEVER:
            shift = part.transfer[i, before, device] - compute[i]
            loaded = load[i]
            for j in range(max(i + 1, least), highest[i] + 1):
                out[j] = min(out[j], max(load[j] - loaded, done) + shift + compute[j])


@compiled
def stage_before(part: Pipeline, device: int, before: int, finish: Ints, j: int, value: int) -> int:
    """The i for which layers i .. j - 1, behind a device that is done with the others, are done at ``value``; or -1."""
    load, compute = part.load_sum[device], part.compute_sum[device]
    for i in range(j - 1, 0, -1):
        if part.highest[device, i] < j:
            break
        start = max(load[j] - load[i], finish[i]) + part.transfer[i, before, device]
        if finish[i] < NEVER and start + compute[j] - compute[i] == value:
            return i
    return -1
