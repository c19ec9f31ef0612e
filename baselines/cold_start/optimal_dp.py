"""Exact by dynamic programming over sets of devices: Algorithm 1 of arXiv 2508.11287, corrected.

F(S, j, d) is when the first j layers are done on the devices of S, d being the last of them: the least over the device
p before and its last layer i of max(load_d, F(S without d, i, p)) + transfer + compute_d. A later finish of p never
makes d's earlier, so the least finish of every state is enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start.pipeline import NEVER, Pipeline, add_behind, add_first, stage_before, usable_part
from baselines.cold_start.printed import printed_algorithm
from pl_env.cold_start.instance import MOST_IN_SETS, Instance
from pl_env.cold_start.plan import Plan
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


def why_not_sets(instance: Instance) -> str | None:
    """Why the dynamic program does not cover an instance; None where it does."""
    n_usable = len(instance.usable)
    if n_usable > MOST_IN_SETS:
        return f"{n_usable} devices can take layers; it covers at most {MOST_IN_SETS}"
    return instance.why_not_placeable


def optimal_dp(instance: Instance, *, as_printed: bool = False) -> Plan:
    """The plan that is done first.

    Args:
        instance: The instance.
        as_printed: The paper's Algorithm 1 as it is printed, errors included; its plan may break the memory.
    """
    if as_printed:
        return printed_algorithm(instance)
    part, devices = usable_part(instance)
    n_layers = instance.n_layers
    if n_layers == 0:
        return Plan.of(instance, [], status="optimal", bound=instance.ready_ns / 1e9)
    table = np.empty((1 << len(devices), len(devices), n_layers + 1), dtype=np.int64)
    capacity = part.highest - np.arange(n_layers + 1)
    is_wide = instance.equal_layers and 2 * capacity.max(axis=1).mean() > n_layers
    fill(part, is_wide, table)
    stages = [(int(devices[device]), count) for device, count in _trace(part, table)]
    plan = Plan.of(instance, stages)
    return Plan.of(instance, stages, status="optimal", bound=plan.finish_ns / 1e9)


@compiled
def fill(part: Pipeline, in_windows: bool, table: Ints) -> None:
    """Fill F, int64 (2^U, U, L + 1); what cannot be is `NEVER`, and so is what leaves more than the others can hold.

    Args:
        part: The devices.
        in_windows: All layers are alike, and long runs of them fit: O(K² L 2^K). Else O(K² L² 2^K), which is quicker
            where runs are short, as a processor does several of its additions at once.
        table: Out.
    """
    n_devices, n_layers = len(part.load_sum), part.load_sum.shape[1] - 1
    everybody = (1 << n_devices) - 1
    reach = _reach(part)
    window = np.empty(n_layers + 1, dtype=np.int64)
    for devices in range(1, 1 << n_devices):
        least = reach[everybody ^ devices]
        for device in range(n_devices):
            if not devices >> device & 1:
                continue
            out = table[devices, device]
            out[:] = NEVER
            rest = devices ^ (1 << device)
            if rest == 0:
                add_first(part, device, out)
                continue
            first = max(1, reach[everybody ^ rest])
            for before in range(n_devices):
                if rest >> before & 1:
                    finish = table[rest, before]
                    if in_windows:
                        _add_behind_in_windows(part, device, before, finish, first, least, window, out)
                    else:
                        add_behind(part, device, before, finish, first, least, out)


@compiled
def _reach(part: Pipeline) -> Ints:
    """For each set of devices the least i such that they can hold layers i .. L - 1, int64 (2^U,)."""
    n_devices, n_layers = len(part.load_sum), part.load_sum.shape[1] - 1
    reach = np.full(1 << n_devices, n_layers, dtype=np.int64)
    for devices in range(1, 1 << n_devices):
        for device in range(n_devices):
            if devices >> device & 1:
                last = reach[devices ^ (1 << device)]
                first = reach[devices]
                while first > 0 and part.highest[device, first - 1] >= last:
                    first -= 1
                reach[devices] = first
    return reach


@compiled
def _add_behind_in_windows(
    part: Pipeline, device: int, before: int, finish: Ints, first: int, least: int, window: Ints, out: Ints
) -> None:
    """`add_behind` where all layers are alike, in O(L).

    ``finish`` rises with i then. For j fixed, the i up to some turn wait for the load, and of these the last is best;
    those after it wait for the device before, and of these the least finish[i] - c i is best. The turn moves with j,
    so a window that slides over i keeps the minimum: ``window`` holds the i that can still be it, ascending.
    """
    n_layers = len(out) - 1
    load, compute = part.load_sum[device, 1], part.compute_sum[device, 1]
    capacity = part.highest[device, 0]
    transfer = part.transfer[1, before, device] if n_layers > 1 else 0
    while first < n_layers and finish[first] >= NEVER:
        first += 1
    head, tail, turn = 0, 0, first - 1  # of the window; the last i that waits for the load
    for j in range(first + 1, n_layers + 1):
        new = finish[j - 1]
        if new < NEVER:
            value = new - compute * (j - 1)
            while tail > head and finish[window[tail - 1]] - compute * window[tail - 1] >= value:
                tail -= 1
            window[tail] = j - 1
            tail += 1
        while turn + 1 < j and finish[turn + 1] + load * (turn + 1) <= load * j:
            turn += 1
        lowest = max(first, j - capacity)
        while head < tail and window[head] < max(lowest, turn + 1):
            head += 1
        best = NEVER
        if turn >= lowest:
            best = (load + compute) * (j - turn)
        if head < tail:
            best = min(best, finish[window[head]] + compute * (j - window[head]))
        if best < NEVER and j >= least:
            out[j] = min(out[j], best + transfer)


def _trace(part: Pipeline, table: Ints) -> list[tuple[int, int]]:
    """Devices and counts of a plan that is done first."""
    n_layers = table.shape[2] - 1
    sets = np.arange(len(table))
    ends = np.where(sets[:, None] >> np.arange(table.shape[1]) & 1, table[:, :, n_layers], NEVER)
    devices, device = (int(n) for n in np.unravel_index(ends.argmin(), ends.shape))
    stages: list[tuple[int, int]] = []
    last = n_layers
    while True:
        rest = devices ^ (1 << device)
        if rest == 0:
            return [(device, last), *stages]
        for before in range(table.shape[1]):
            if rest >> before & 1:
                i = int(stage_before(part, device, before, table[rest, before], last, table[devices, device, last]))
                if i > 0:
                    break
        stages.insert(0, (device, last - i))
        devices, device, last = rest, before, i
