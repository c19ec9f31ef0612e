"""The physics, compiled: what is in whose memory, what a stage loads and evicts, and when it ends.

All times are int64 nanoseconds. Equations (17) to (24) of arXiv 2508.11287 hold for every prompt; loading counts only
layers that a device does not have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled

Ints = NDArray[np.int64]

# Entries of the state: the prompt that is served, its layers placed, when it began, when its last stage is done, the
# last device or -1, the devices used (a bit each), stages of all prompts so far, and the number of the first prompt.
PROMPT, PLACED, START, FINISH, LAST, USED, N_STAGES, STAMP = range(8)
STATE_ENTRIES = 8

LRU = -1
"""Whose layers leave first where nobody chose: of the model that was used longest ago."""


class Tables(NamedTuple):
    """An instance of K devices, M models and N prompts; all layers of a model are alike."""

    load_ns: Ints  # (K, M) of a layer
    n_layers: Ints  # (M,)
    weight_bytes: Ints  # (M,) of a layer
    memory_bytes: Ints  # (K,)
    compute_ns: Ints  # (N, K) of a layer
    transfer_ns: Ints  # (N, K, K) from, to, at every cut
    activation_bytes: Ints  # (N,)
    model: Ints  # (N,)
    arrival_ns: Ints  # (N,) ascending


class Memory(NamedTuple):
    """What changes from stage to stage."""

    used_at: Ints  # (K, M, L): the number of the last prompt that used a layer there; 0 where it is not in memory
    state: Ints  # (8,)
    stages: Ints  # (N min(K, L), 3) device, layers, model evicted first or `LRU`
    finish_ns: Ints  # (N,)


def new_memory(n_prompts: int, used_at: Ints) -> Memory:
    """Room for an episode, with what is in memory when it begins."""
    most = n_prompts * min(len(used_at), used_at.shape[2])
    state, stages = np.zeros(STATE_ENTRIES, dtype=np.int64), np.zeros((most, 3), dtype=np.int64)
    return Memory(used_at.copy(), state, stages, np.zeros(n_prompts, dtype=np.int64))


@compiled
def begin(t: Tables, start_ns: int, placed: int, previous: int, ready_ns: int, used: int, stamp: int,
          m: Memory) -> None:  # fmt: skip
    """Start an episode; its first prompt may be under way.

    Args:
        t: The instance.
        start_ns: When the first prompt begins; before its arrival it does not.
        placed: Layers of the first prompt that are placed.
        previous: The device that has the last of them, or -1.
        ready_ns: When that is done.
        used: Devices that have some of them, a bit each.
        stamp: Number of the first prompt, by which layers remember their last use.
        m: Out, but for ``used_at``.
    """
    m.state[:] = 0
    m.state[START] = start_ns
    if len(t.model) and placed == 0:
        m.state[START] = max(start_ns, t.arrival_ns[0])
    m.state[FINISH] = ready_ns if placed else m.state[START]
    m.state[PLACED], m.state[LAST], m.state[USED], m.state[STAMP] = placed, previous, used, stamp


@compiled
def capacity(t: Tables, prompt: int, device: int) -> int:
    """Most layers of a prompt's model that a device can hold: all weights and an activation, equation (22)."""
    model = t.model[prompt]
    room = t.memory_bytes[device] - t.activation_bytes[prompt]
    return int(min(t.n_layers[model], max(0, room) // t.weight_bytes[model]))


@compiled
def missing(t: Tables, m: Memory, prompt: int, device: int, first: int, last: int) -> int:
    """How many of layers first .. last - 1 of a prompt's model a device does not have."""
    count = 0
    for layer in range(first, last):
        if m.used_at[device, t.model[prompt], layer] == 0:
            count += 1
    return count


@compiled
def excess_bytes(t: Tables, m: Memory, prompt: int, device: int, first: int, last: int) -> int:
    """Bytes that must leave before layers first .. last - 1 and their activation are there; 0 or less: none."""
    held = t.activation_bytes[prompt] - t.memory_bytes[device]
    for model in range(len(t.n_layers)):
        for layer in range(t.n_layers[model]):
            if m.used_at[device, model, layer] or (model == t.model[prompt] and first <= layer < last):
                held += t.weight_bytes[model]
    return int(held)


@compiled
def evict(t: Tables, m: Memory, prompt: int, device: int, first: int, last: int, victim: int) -> None:
    """Let layers leave until there is room: those of the victim first, then those whose last use is longest ago.

    Of equals the lower model's, and of a model the highest. Layers first .. last - 1 of the prompt's model stay.
    """
    excess = excess_bytes(t, m, prompt, device, first, last)
    while excess > 0:
        oldest, model_out, layer_out = np.iinfo(np.int64).max, -1, -1
        for model in range(len(t.n_layers)):
            for layer in range(t.n_layers[model] - 1, -1, -1):
                stamp = m.used_at[device, model, layer]
                if stamp == 0 or (model == t.model[prompt] and first <= layer < last):
                    continue
                age = stamp - (np.int64(1) << 60) if model == victim else stamp
                if age < oldest:
                    oldest, model_out, layer_out = age, model, layer
        m.used_at[device, model_out, layer_out] = 0
        excess -= t.weight_bytes[model_out]


@compiled
def stage_end(t: Tables, m: Memory, device: int, count: int) -> int:
    """When a device is done with the next layers of the present prompt, equations (17) and (18)."""
    prompt, first, previous = m.state[PROMPT], m.state[PLACED], m.state[LAST]
    load = t.load_ns[device, t.model[prompt]] * missing(t, m, prompt, device, first, first + count)
    transfer = t.transfer_ns[prompt, previous, device] if previous >= 0 else 0
    loaded = m.state[START] + load
    return int(max(loaded, m.state[FINISH]) + transfer + count * t.compute_ns[prompt, device])


@compiled
def place(t: Tables, m: Memory, device: int, count: int, victim: int) -> None:
    """Give a device the next layers of the present prompt; that this is allowed is up to the caller.

    The next prompt begins when this one is done, and it has arrived.
    """
    prompt, first = m.state[PROMPT], m.state[PLACED]
    last, model = first + count, t.model[prompt]
    m.state[FINISH] = stage_end(t, m, device, count)
    evict(t, m, prompt, device, first, last, victim)
    m.used_at[device, model, first:last] = m.state[STAMP] + prompt
    stage = m.state[N_STAGES]
    m.stages[stage, 0], m.stages[stage, 1], m.stages[stage, 2] = device, count, victim
    m.state[N_STAGES] += 1
    m.state[PLACED], m.state[LAST] = last, device
    m.state[USED] |= 1 << device
    if last == t.n_layers[model]:
        m.finish_ns[prompt] = m.state[FINISH]
        m.state[PROMPT] += 1
        if prompt + 1 < len(t.model):
            m.state[PLACED], m.state[LAST], m.state[USED] = 0, -1, 0
            m.state[START] = m.state[FINISH] = max(m.state[FINISH], t.arrival_ns[prompt + 1])
