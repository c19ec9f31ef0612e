"""The environment's step, compiled: place a stage, see which ones can follow, observe."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start.dynamics import Draws, Problem, Tables, draw, prepare, reach, stage_end
from pl_env.compiling import compiled

Ints = NDArray[np.int64]

# Entries of the state; the last stage's load, transfer, computation and waiting, and whether a device is before any.
POSITION, FINISH, LAST, USED, N_STAGES, N_DEVICES, N_LAYERS, READY, LOAD, TRANSFER, COMPUTE, IDLE = range(12)
STATE_ENTRIES = 12


class Episode(NamedTuple):
    """What a step reads and writes; there is room for K devices and L layers, times are nanoseconds."""

    load_sum: Ints  # (K, L + 1) these four as in `dynamics.Problem`
    compute_sum: Ints  # (K, L + 1)
    lowest: Ints  # (K, L + 1)
    transfer_ns: Ints  # (L, K, K)
    reach: NDArray[np.int32]  # (2^K,) as in `dynamics.reach`
    unit: NDArray[np.float64]  # (1,) T0
    state: Ints  # (12,)
    stages: Ints  # (K, 2) device, layers
    observation: NDArray[np.float32]  # (2 + 5 K + K² + K L,), see `parts`
    mask: NDArray[np.int8]  # (K L,)


def allocate(n_devices: int, n_layers: int, transfer_ns: Ints) -> Episode:
    """Room for so many devices and layers."""
    load, compute, lowest = (np.zeros((n_devices, n_layers + 1), dtype=np.int64) for _ in range(3))
    return Episode(
        load,
        compute,
        lowest,
        transfer_ns,
        reach=np.zeros(1 << n_devices, dtype=np.int32),
        unit=np.ones(1),
        state=np.zeros(STATE_ENTRIES, dtype=np.int64),
        stages=np.zeros((n_devices, 2), dtype=np.int64),
        observation=np.zeros(sum(size for _, _, size in parts(n_devices, n_layers)), dtype=np.float32),
        mask=np.zeros(n_devices * n_layers, dtype=np.int8),
    )


def parts(n_devices: int, n_layers: int) -> list[tuple[str, tuple[int, ...], int]]:
    """The arrays of an observation, in the order in which they lie in one array: key, shape, size."""
    k = n_devices
    shapes = {
        **{"progress": (1,), "finish": (1,)},
        **dict.fromkeys(("unused", "last", "capacity", "load_time", "compute_time"), (k,)),
        **{"transfer_time": (k, k), "finish_time": (k, n_layers)},
    }
    return [(key, shape, int(np.prod(shape))) for key, shape in shapes.items()]


@compiled
def begin_drawn(uniforms: NDArray[np.float64], draws: Draws, devices: NDArray[np.float64], tables: Tables,
                e: Episode) -> None:  # fmt: skip
    """Draw an instance and start its episode."""
    n_devices, _ = draw(uniforms, draws, devices, tables)
    begin(tables, n_devices, len(draws.weight_bytes), -1, 0, e)


@compiled
def begin(tables: Tables, n_devices: int, n_layers: int, previous: int, ready: int, e: Episode) -> None:
    """Start the episode of an instance; devices without memory count as used."""
    problem = Problem(e.load_sum, e.compute_sum, e.lowest, e.transfer_ns)
    prepare(tables, n_devices, n_layers, problem)
    reach(problem, n_devices, n_layers, e.reach)
    e.state[:] = 0
    e.state[FINISH] = e.state[READY] = ready
    e.state[LAST] = previous
    e.state[N_DEVICES], e.state[N_LAYERS] = n_devices, n_layers
    total = 0.0
    for k in range(n_devices):
        total += 1.0 / max(1, e.load_sum[k, n_layers] + e.compute_sum[k, n_layers])
        if tables.memory_bytes[k] == 0:
            e.state[USED] |= 1 << k
    e.unit[0] = 1.0 / total
    e.observation[:] = 0.0
    _observe(e)


@compiled
def place(e: Episode, action: int) -> bool:
    """Give a device the next layers: device · L + layers − 1, L being what there is room for.

    Returns:
        Whether the action was legal; if not, nothing has changed.
    """
    state = e.state
    position, n_layers = state[POSITION], state[N_LAYERS]
    if position >= n_layers or not 0 <= action < len(e.mask) or not e.mask[action]:
        return False
    room = e.load_sum.shape[1] - 1
    device, last = action // room, position + action % room + 1
    problem = Problem(e.load_sum, e.compute_sum, e.lowest, e.transfer_ns)
    before = state[FINISH]
    state[LOAD] = e.load_sum[device, last] - e.load_sum[device, position]
    state[TRANSFER] = e.transfer_ns[position, state[LAST], device] if state[LAST] >= 0 else 0
    state[COMPUTE] = e.compute_sum[device, last] - e.compute_sum[device, position]
    state[IDLE] = max(0, before - state[LOAD])
    state[FINISH] = stage_end(problem, device, position, last, state[LAST], before)
    e.stages[state[N_STAGES], 0] = device
    e.stages[state[N_STAGES], 1] = last - position
    state[N_STAGES] += 1
    state[POSITION], state[LAST] = last, device
    state[USED] |= 1 << device
    _observe(e)
    return True


@compiled
def _observe(e: Episode) -> None:
    """Fill the observation and the mask."""
    most, room = e.load_sum.shape[0], e.load_sum.shape[1] - 1
    position, finish, last, used = e.state[POSITION], e.state[FINISH], e.state[LAST], e.state[USED]
    n_devices, n_layers, unit = e.state[N_DEVICES], e.state[N_LAYERS], e.unit[0]
    out, per_layer = e.observation, max(1, n_layers)
    out[0] = position / per_layer if n_layers else 1.0
    out[1] = finish / (finish + unit)
    unused_at, last_at, capacity_at = 2, 2 + most, 2 + 2 * most
    load_at, compute_at, transfer_at = 2 + 3 * most, 2 + 4 * most, 2 + 5 * most
    for k in range(n_devices):
        load = e.load_sum[k, n_layers] - e.load_sum[k, position]
        compute = e.compute_sum[k, n_layers] - e.compute_sum[k, position]
        out[unused_at + k] = 0.0 if used >> k & 1 else 1.0
        out[last_at + k] = 1.0 if k == last else 0.0
        out[capacity_at + k] = 0.0
        out[load_at + k] = load / (load + unit)
        out[compute_at + k] = compute / (compute + unit)
    between = n_layers > position and last >= 0
    for p in range(n_devices):
        for k in range(n_devices):
            transfer = e.transfer_ns[position, p, k] if between else 0
            out[transfer_at + p * most + k] = transfer / (transfer + unit)
    _see_actions(e, out[transfer_at + most * most :].reshape((most, room)), out[capacity_at : capacity_at + most])


@compiled
def _see_actions(e: Episode, ends: NDArray[np.float32], capacity: NDArray[np.float32]) -> None:
    """Which stages can follow, and when each would be done."""
    position, finish, last, used = e.state[POSITION], e.state[FINISH], e.state[LAST], e.state[USED]
    n_devices, n_layers, unit, room = e.state[N_DEVICES], e.state[N_LAYERS], e.unit[0], ends.shape[1]
    ends[:] = 1.0
    if position >= n_layers:
        e.mask[:] = 1
        return
    e.mask[:] = 0
    free = ((1 << n_devices) - 1) & ~used
    for k in range(n_devices):
        if used >> k & 1:
            continue
        rest = e.reach[free ^ (1 << k)]
        transfer = e.transfer_ns[position, last, k] if last >= 0 else 0
        end = position
        while end < n_layers and e.lowest[k, end + 1] <= position:
            end += 1
            if rest <= end:
                load = e.load_sum[k, end] - e.load_sum[k, position]
                compute = e.compute_sum[k, end] - e.compute_sum[k, position]
                done = max(load, finish) + transfer + compute
                e.mask[k * room + end - position - 1] = 1
                ends[k, end - position - 1] = done / (done + unit)
        capacity[k] = (end - position) / n_layers
