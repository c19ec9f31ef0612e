"""What the environment shows, compiled: which stages can follow, and the observation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start_stream.dynamics import (
    FINISH,
    LAST,
    LRU,
    PLACED,
    PROMPT,
    START,
    USED,
    Memory,
    Tables,
    capacity,
    excess_bytes,
    stage_end,
)
from pl_env.compiling import compiled

Singles = NDArray[np.float32]
Mask = NDArray[np.int8]


def parts(n_devices: int, n_layers: int, n_models: int) -> list[tuple[str, tuple[int, ...], int]]:
    """The arrays of an observation, in the order in which they lie in one array: key, shape, size."""
    k, n, m = n_devices, n_layers, n_models
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(("prompts", "progress", "waited", "elapsed"), (1,)),
        **dict.fromkeys(("model", "queue", "asked"), (m,)),
        **dict.fromkeys(("unused", "last", "capacity", "load_time", "compute_time"), (k,)),
        **{"resident": (k, m), "transfer_time": (k, k), "warm": (k, n), "finish_time": (k, n)},
    }
    return [(key, shape, int(np.prod(shape))) for key, shape in shapes.items()]


@compiled
def unit_ns(t: Tables) -> float:
    """T0, the unit of times: 1 / sum over devices of 1 / the longest load of a whole model."""
    total = 0.0
    for k in range(len(t.memory_bytes)):
        total += 1.0 / max(1, (t.load_ns[k] * t.n_layers).max())
    return float(1.0 / total)


@compiled
def see_actions(t: Tables, m: Memory, mask: Mask) -> None:
    """Which stages can follow, int8 (K, L, M + 1), out: the last axis is what leaves first, nothing chosen being 0.

    A device can take as many of the next layers as fit into it, if the other unused devices can hold the rest. What
    leaves first can be chosen where something must leave, among the models that have layers there that may.
    """
    prompt, placed = m.state[PROMPT], m.state[PLACED]
    if prompt >= len(t.model):
        mask[:] = 1
        return
    mask[:] = 0
    model = t.model[prompt]
    left, free = t.n_layers[model] - placed, 0
    for k in range(len(t.memory_bytes)):
        if not m.state[USED] >> k & 1:
            free += capacity(t, prompt, k)
    for k in range(len(t.memory_bytes)):
        if m.state[USED] >> k & 1:
            continue
        most = capacity(t, prompt, k)
        fewest = max(1, left - (free - most))
        for count in range(fewest, min(left, most) + 1):
            mask[k, count - 1, 0] = 1
            if excess_bytes(t, m, prompt, k, placed, placed + count) > 0:
                for victim in range(len(t.n_layers)):
                    if has_others(m, k, victim, model, placed, placed + count):
                        mask[k, count - 1, victim + 1] = 1


@compiled
def has_others(m: Memory, device: int, victim: int, model: int, first: int, last: int) -> bool:
    """Whether a model has layers on a device besides first .. last - 1 of the model that is placed."""
    for layer in range(m.used_at.shape[2]):
        if m.used_at[device, victim, layer] and not (victim == model and first <= layer < last):
            return True
    return False


@compiled
def legal_victim(t: Tables, m: Memory, device: int, count: int, victim: int) -> int:
    """The model that is to leave first when a device takes the next layers, or `LRU` where it cannot be named."""
    prompt, first = m.state[PROMPT], m.state[PLACED]
    if victim < 0 or excess_bytes(t, m, prompt, device, first, first + count) <= 0:
        return LRU
    return victim if has_others(m, device, victim, t.model[prompt], first, first + count) else LRU


@compiled
def observe(t: Tables, m: Memory, unit: float, mask: Mask, n_models: int, out: Singles) -> None:
    """Fill the observation, float32, see `parts`.

    Args:
        t: The instance.
        m: Where it stands.
        unit: T0 in nanoseconds.
        mask: What `see_actions` filled, (K, L, M + 1); its sizes are those of the observation.
        n_models: M of the observation.
        out: Out.
    """
    most, room = mask.shape[0], mask.shape[1]
    n, ended = len(t.model), m.state[PROMPT] >= len(t.model)
    prompt = min(m.state[PROMPT], n - 1)
    out[:] = 0.0
    out[0] = m.state[PROMPT] / max(1, n)
    if n == 0:
        return
    model, placed = t.model[prompt], m.state[PLACED]
    n_layers, start = t.n_layers[model], m.state[START]
    waited, elapsed = max(0, start - t.arrival_ns[prompt]), m.state[FINISH] - start
    out[1], out[2], out[3] = placed / n_layers, waited / (waited + unit), elapsed / (elapsed + unit)
    at = 4
    out[at + model] = 1.0
    queue = out[at + n_models : at + 2 * n_models]
    asked = out[at + 2 * n_models : at + 3 * n_models]
    for other in range(n):
        if other > prompt and t.arrival_ns[other] <= start:
            queue[t.model[other]] += 1.0
        if other <= prompt:
            asked[t.model[other]] += 1.0 / (prompt + 1.0)
    for q in range(n_models):
        queue[q] = queue[q] / (queue[q] + 1.0)
        asked[q] = min(np.float32(1.0), asked[q])
    _observe_devices(t, m, unit, mask, n_models, ended, out[at + 3 * n_models :], most, room)


@compiled
def _observe_devices(
    t: Tables, m: Memory, unit: float, mask: Mask, n_models: int, ended: bool, out: Singles, most: int, room: int
) -> None:
    prompt, placed, last = min(m.state[PROMPT], len(t.model) - 1), m.state[PLACED], m.state[LAST]
    model = t.model[prompt]
    n_layers = t.n_layers[model]
    resident = out[5 * most : 5 * most + most * n_models].reshape((most, n_models))
    transfers = out[5 * most + most * n_models :][: most * most].reshape((most, most))
    grid = out[5 * most + most * n_models + most * most :]
    warm, ends = grid[: most * room].reshape((most, room)), grid[most * room :].reshape((most, room))
    ends[:] = 1.0
    for k in range(len(t.memory_bytes)):
        load = 0
        for layer in range(n_layers):
            if m.used_at[k, model, layer]:
                warm[k, layer] = 1.0
            elif layer >= placed:
                load += t.load_ns[k, model]
        compute = (n_layers - placed) * t.compute_ns[prompt, k]
        out[k] = 0.0 if m.state[USED] >> k & 1 else 1.0
        out[most + k] = 1.0 if k == last else 0.0
        held = 0 if m.state[USED] >> k & 1 else min(capacity(t, prompt, k), n_layers - placed)
        out[2 * most + k] = held / n_layers
        out[3 * most + k] = load / (load + unit)
        out[4 * most + k] = compute / (compute + unit)
        for q in range(len(t.n_layers)):
            resident[k, q] = (m.used_at[k, q] > 0).sum() / t.n_layers[q]
        for p in range(len(t.memory_bytes)):
            transfer = t.transfer_ns[prompt, p, k]
            transfers[p, k] = transfer / (transfer + unit)
        for count in range(1, n_layers - placed + 1):
            if not ended and mask[k, count - 1, 0]:
                done = stage_end(t, m, k, count) - m.state[START]
                ends[k, count - 1] = done / (done + unit)
