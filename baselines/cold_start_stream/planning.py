"""The best plan for the present prompt given what is warm, by the cold start's dynamic program, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start.optimal_dp import fill
from baselines.cold_start.pipeline import NEVER, Pipeline, stage_before
from pl_env.cold_start_stream.dynamics import FINISH, LAST, PLACED, PROMPT, START, USED, Memory, Tables, capacity
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


class Prices(NamedTuple):
    """What a plan is charged for besides its time, nanoseconds; all 0 for the plan that is done first."""

    layer: Ints  # (K,) for each layer on a device
    loaded: Ints  # (K,) for each layer that it loads


@compiled
def no_prices(n_devices: int) -> Prices:
    """Time alone."""
    return Prices(np.zeros(n_devices, dtype=np.int64), np.zeros(n_devices, dtype=np.int64))


@compiled
def plan_prompt(t: Tables, m: Memory, warm: Ints, prices: Prices, stages: Ints) -> int:
    """The stages of what is left of the present prompt that take least time and prices.

    Args:
        t: The instance.
        m: How far the prompt is.
        warm: int64 (K, M, L), what is taken to be in memory, as ``m.used_at``; 0 where it is not.
        prices: Of layers and loads.
        stages: int64 (K, 2), out: device and layers.

    Returns:
        How many stages.
    """
    part, devices = _pipeline(t, m.state, warm, prices)
    n, n_layers = len(devices), part.load_sum.shape[1] - 1
    table = np.empty((1 << n, n, n_layers + 1), dtype=np.int64)
    fill(part, False, table)
    return _trace(part, devices, table, stages)


@compiled
def least_time(t: Tables, state: Ints, warm: Ints) -> int:
    """Nanoseconds from its start to when the prompt of a state can be done, if that is in memory."""
    part, devices = _pipeline(t, state, warm, no_prices(len(t.memory_bytes)))
    n, n_layers = len(devices), part.load_sum.shape[1] - 1
    table = np.empty((1 << n, n, n_layers + 1), dtype=np.int64)
    fill(part, False, table)
    best = NEVER
    for some in range(1, len(table)):
        for k in range(n):
            if some >> k & 1:
                best = min(best, table[some, k, n_layers])
    return int(best)


@compiled
def _pipeline(t: Tables, state: Ints, warm: Ints, prices: Prices) -> tuple[Pipeline, Ints]:
    """What is left of the present prompt as the dynamic program takes it, and the devices that can take layers."""
    prompt, done = state[PROMPT], state[PLACED]
    model = t.model[prompt]
    left, n_all = t.n_layers[model] - done, len(t.memory_bytes)
    devices = np.empty(n_all, dtype=np.int64)
    n = 0
    for device in range(n_all):
        if not state[USED] >> device & 1 and capacity(t, prompt, device) > 0:
            devices[n] = device
            n += 1
    devices = devices[:n]
    load, compute = np.zeros((n, left + 1), dtype=np.int64), np.zeros((n, left + 1), dtype=np.int64)
    highest = np.empty((n, left + 1), dtype=np.int64)
    transfer, entry = np.zeros((left, n, n), dtype=np.int64), np.zeros(n, dtype=np.int64)
    for row in range(n):
        k = devices[row]
        most = capacity(t, prompt, k)
        per_layer = t.compute_ns[prompt, k] + prices.layer[k]
        for layer in range(left):
            cold = 1 if warm[k, model, done + layer] == 0 else 0
            load[row, layer + 1] = load[row, layer] + cold * t.load_ns[k, model]
            compute[row, layer + 1] = compute[row, layer] + per_layer + cold * prices.loaded[k]
        for layer in range(left + 1):
            highest[row, layer] = min(left, layer + most)
        for other in range(n):
            p = devices[other]
            transfer[:, other, row] = t.transfer_ns[prompt, p, k]
        if state[LAST] >= 0:
            last = state[LAST]
            entry[row] = t.transfer_ns[prompt, last, k]
    return Pipeline(load, compute, highest, transfer, entry, state[FINISH] - state[START]), devices


@compiled
def _trace(part: Pipeline, devices: Ints, table: Ints, stages: Ints) -> int:
    """Stages of a plan that a filled table values least; of equals always the same, in mid-prompt, too."""
    n, n_layers = len(devices), part.load_sum.shape[1] - 1
    best, held, device = NEVER, 0, 0
    for some in range(1, len(table)):
        for k in range(n):
            if some >> k & 1 and table[some, k, n_layers] < best:
                best, held, device = table[some, k, n_layers], some, k
    found, last = 0, n_layers
    while True:
        rest, before, i = held ^ (1 << device), -1, 0
        if rest != 0:
            for p in range(n):
                if rest >> p & 1:
                    i = stage_before(part, device, p, table[rest, p], last, table[held, device, last])
                    if i > 0:
                        before = p
                        break
        stages[found, 0], stages[found, 1] = devices[device], last - max(0, i)
        found += 1
        if before < 0:
            break
        held, device, last = rest, before, i
    for n in range(found // 2):  # found from the last to the first
        for column in range(2):
            stages[n, column], stages[found - 1 - n, column] = stages[found - 1 - n, column], stages[n, column]
    return found
