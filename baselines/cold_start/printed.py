"""The paper's Algorithm 1 as it is printed, with its three errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start.pipeline import NEVER, Pipeline, usable_part
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


def printed_algorithm(instance: Instance) -> Plan:
    """The plan that the printed algorithm gives; nobody has checked it, and it may break the memory.

    Its base case does not test the memory; line 16 tests that of layers i .. j where i + 1 .. j are meant; line 22
    compares with the state (S, L, d) where (S, j, d) is meant. Loops are taken in the order S, j, d, i, p.
    """
    part, devices = usable_part(instance)
    n_devices, n_layers = len(devices), instance.n_layers
    if n_layers == 0:
        return Plan.of(instance, [])
    table = np.full((1 << n_devices, n_layers + 1, n_devices), NEVER, dtype=np.int64)
    origin = np.full((*table.shape, 2), -1, dtype=np.int64)
    _fill(part, table, origin)
    ends = table[:, n_layers]
    state, device = (int(n) for n in np.unravel_index(ends.argmin(), ends.shape))
    stages: list[tuple[int, int]] = []
    last = n_layers
    while True:
        i, before = (int(n) for n in origin[state, last, device])
        stages.insert(0, (int(devices[device]), last - max(0, i)))
        if i < 0:
            return Plan.of(instance, stages)
        state, last, device = state ^ (1 << device), i, before


@compiled
def _fill(part: Pipeline, table: Ints, origin: Ints) -> None:
    n_devices, n_layers = len(part.load_sum), part.load_sum.shape[1] - 1
    for device in range(n_devices):
        load, compute = part.load_sum[device], part.compute_sum[device]
        for j in range(1, n_layers + 1):  # no test of the memory
            table[1 << device, j, device] = max(load[j], part.ready) + part.entry[device] + compute[j]
    for devices in range(1, 1 << n_devices):
        for j in range(1, n_layers + 1):
            for device in range(n_devices):
                if devices >> device & 1:
                    _value(part, devices, j, device, table, origin)


@compiled
def _value(part: Pipeline, devices: int, j: int, device: int, table: Ints, origin: Ints) -> None:
    load, compute = part.load_sum[device], part.compute_sum[device]
    n_devices, n_layers = len(part.load_sum), part.load_sum.shape[1] - 1
    rest = devices ^ (1 << device)
    for i in range(1, j):
        if part.highest[device, i - 1] < j:  # layers i .. j of the paper, one too many
            continue
        for before in range(n_devices):
            if rest >> before & 1 and table[rest, i, before] < NEVER:
                start = max(load[j] - load[i], table[rest, i, before]) + part.transfer[i, before, device]
                finish = start + compute[j] - compute[i]
                if finish < table[devices, n_layers, device]:  # in place of table[devices, j, device]
                    table[devices, j, device] = finish
                    origin[devices, j, device, 0] = i
                    origin[devices, j, device, 1] = before
