"""What no plan of a stream is better than; `docs/cold-start-stream.md` proves it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.cold_start_stream.planning import least_time
from pl_env.cold_start_stream.dynamics import LAST, PROMPT, Tables
from pl_env.cold_start_stream.instance import Instance
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


def lower_bound(instance: Instance) -> int:
    """Nanoseconds that all prompts take from arrival to finish, in sum, at least."""
    t, begun = instance.tables, instance.begun()
    service = np.zeros(instance.n_prompts, dtype=np.int64)
    least_services(t, begun.used_at, begun.state, service)
    latency, done = 0, instance.start_ns
    for n, (arrival, least) in enumerate(zip(instance.arrival_ns.tolist(), service.tolist(), strict=True)):
        start = instance.start_ns if n == 0 and instance.placed else max(done, arrival)
        done = start + least
        latency += done - arrival
    return latency


@compiled
def least_services(t: Tables, used_at: Ints, begun: Ints, service: Ints) -> None:
    """Nanoseconds that each prompt takes at least from its start, int64 (N,), out.

    A model's first prompt finds no more of its layers than the stream began with. A later one may find all of them
    anywhere, but no more than the others' layers left room for in between.
    """
    everything, state = np.ones_like(used_at), np.zeros_like(begun)
    state[:] = begun
    total = t.memory_bytes.sum()
    last = np.full(len(t.n_layers), -1, dtype=np.int64)
    for n in range(len(t.model)):
        if n > 0:
            state[:] = 0
            state[PROMPT], state[LAST] = n, -1
        model = t.model[n]
        before = last[model]
        service[n] = least_time(t, state, used_at if before < 0 else everything)
        if before >= 0:
            largest = 0
            for other in range(before + 1, n):
                q = t.model[other]
                largest = max(largest, t.n_layers[q] * t.weight_bytes[q])
            warm = min(t.n_layers[model], (total - largest) // t.weight_bytes[model])
            service[n] = max(service[n], _least_load(t, n, t.n_layers[model] - warm))
        last[model] = n


@compiled
def _least_load(t: Tables, prompt: int, layers: int) -> int:
    """Least time in which the devices can load and compute so many layers, all side by side."""
    model = t.model[prompt]
    low, high = -1, 0  # too short; long enough
    for k in range(len(t.memory_bytes)):
        high = max(high, t.n_layers[model] * (t.load_ns[k, model] + t.compute_ns[prompt, k]))
    while high - low > 1:
        middle = (low + high) // 2
        held = 0
        for k in range(len(t.memory_bytes)):
            each = t.load_ns[k, model] + t.compute_ns[prompt, k]
            room = max(0, t.memory_bytes[k] - t.activation_bytes[prompt]) // t.weight_bytes[model]
            held += min(room, t.n_layers[model] if each == 0 else middle // each)
        if held >= layers:
            high = middle
        else:
            low = middle
    return int(high)
