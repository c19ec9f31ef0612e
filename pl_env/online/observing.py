"""What an episode shows, compiled: the observation and the action mask of the present decision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined
from pl_env.low_level import borrowed
from pl_env.online.arrays import (
    ARRIVED,
    CHOICES,
    COUNT,
    FIRST,
    HEAD,
    LARGEST_LOAD,
    LAST,
    LAST_END,
    LEGAL,
    LONGEST_DEADLINE,
    MISSING_BYTES,
    MISSING_NS,
    NOW,
    OVERHEAD,
    OVERLAPS,
    P_DEADLINE,
    PER_BATCH,
    PER_SAMPLE,
    RECENT,
    SHOWN,
    UPLOADS,
    Episode,
    Tables,
)
from pl_env.online.dynamics import batch_ns, load_ns
from pl_env.online.instance import MEMORY_NS

HALF_FULL = 8.0
"""So many users are shown as a half."""

OF_MODELS = ("waiting", "slack", "load_time", "resident", "demand", "age")
OF_BATCHES = ("upload_time", "batch_time", "margin")
KEYS = ("waiting", "slack", "upload_time", "batch_time", "margin", "load_time", "resident", "demand", "age")


def observation_shapes(n_models: int, batch_cap: int, n_blocks: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of an observation, by its key, in the order in which they lie in one array.

    Args:
        n_models: Models I.
        batch_cap: Largest batch b_cap.
        n_blocks: Blocks J that are shown; 0 for none.
    """
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(OF_MODELS, (n_models,))
    shapes |= dict.fromkeys(OF_BATCHES, (n_models, batch_cap))
    return shapes | ({"blocks": (n_blocks,)} if n_blocks else {})


def views(observation: NDArray[np.float32], shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The parts of observations (N, F) by their keys, in the order of the documents, each with a leading axis N."""
    parts, start = {}, 0
    for key, shape in shapes.items():
        size = int(np.prod(shape))
        parts[key] = observation[:, start : start + size].reshape(len(observation), *shape)
        start += size
    return {key: parts[key] for key in (*KEYS, "blocks") if key in parts}


@compiled
def show_nothing(e: Episode, n: int) -> None:
    """Write what a state without any legal batch shows, so that `observe` need write only what there is."""
    e = borrowed(e)
    n_models, batch_cap = e.models.shape[2], e.cap[0]
    cells, size = len(OF_MODELS) * n_models, n_models * batch_cap
    for c in range(cells, cells + 2 * size):
        e.observation[n, c] = 1.0
    for c in range(cells + 2 * size, cells + 3 * size):
        e.observation[n, c] = 0.0
    for c in range(size + 1):
        e.mask[n, c] = 0
    for i in range(n_models):
        e.models[n, SHOWN, i] = 0


@compiled
def observe(t: Tables, e: Episode, n: int) -> None:
    """Write the observation and the mask; of batches only those that are legal, or were when it last wrote.

    Each loop over all models is simple enough for vector instructions.
    """
    t, e = borrowed(t), borrowed(e)
    observe_inlined(t, e, n)


@inlined
def observe_inlined(t: Tables, e: Episode, n: int) -> None:
    """`observe`, as a part of another kernel."""
    n_models, batch_cap, now = e.models.shape[2], e.cap[0], e.state[n, NOW]
    longest, largest_load = np.float32(1.0 / t.scales[LONGEST_DEADLINE]), np.float32(1.0 / t.scales[LARGEST_LOAD])
    memory, one, nothing = np.float32(1.0 / MEMORY_NS), np.float32(1.0), np.float32(0.0)
    overhead, overlaps = t.options[OVERHEAD], t.options[OVERLAPS]
    for i in range(n_models):
        e.observation[n, i] = _share_of_eight(e.models[n, COUNT, i])
        e.observation[n, 4 * n_models + i] = _share_of_eight(e.models[n, RECENT, i])
    for i in range(n_models):
        missing = e.models[n, MISSING_NS, i]
        load = np.float32(missing + (overhead if missing > 0 else 0)) * largest_load
        e.observation[n, 2 * n_models + i] = load if load < one else one
        there = one - np.float32(e.models[n, MISSING_BYTES, i]) * t.per_byte[i]
        e.observation[n, 3 * n_models + i] = there if there > nothing else nothing
        age = np.float32(now - e.models[n, LAST_END, i]) * memory
        e.observation[n, 5 * n_models + i] = age if age < one else one
    cells, size = len(OF_MODELS) * n_models, n_models * batch_cap
    for i in range(n_models):
        legal, shown, head = e.models[n, LEGAL, i], e.models[n, SHOWN, i], e.models[n, HEAD, i]
        slack = one
        if e.models[n, COUNT, i] > 0:
            slack = min(one, np.float32(e.pending[n, head, P_DEADLINE] - now) * longest)
        e.observation[n, n_models + i] = slack
        if legal == 0 and shown == 0:
            continue
        load_time, cell = load_ns(e.models[n, MISSING_NS, i], overhead), cells + i * batch_cap
        compute, per_sample = t.models[PER_BATCH, i], t.models[PER_SAMPLE, i]
        for b in range(legal):
            upload = e.windows[n, head + b, UPLOADS]
            compute += per_sample
            time = batch_ns(upload, load_time, compute, overlaps)
            margin = e.pending[n, e.windows[n, head + b, FIRST], P_DEADLINE] - now - time
            e.observation[n, cell + b] = min(one, np.float32(upload) * longest)
            e.observation[n, cell + size + b] = min(one, np.float32(time) * longest)
            e.observation[n, cell + 2 * size + b] = min(one, np.float32(margin) * longest)
            e.mask[n, i * batch_cap + b] = 1
        for b in range(legal, shown):
            e.observation[n, cell + b] = one
            e.observation[n, cell + size + b] = one
            e.observation[n, cell + 2 * size + b] = nothing
            e.mask[n, i * batch_cap + b] = 0
        e.models[n, SHOWN, i] = legal
    for j in range(e.observation.shape[1] - cells - 3 * size):
        e.observation[n, cells + 3 * size + j] = e.resident[n, j]
    e.mask[n, size] = e.state[n, ARRIVED] < e.state[n, LAST]
    if e.state[n, CHOICES] == 0:
        for c in range(size + 1):
            e.mask[n, c] = 1


_TABLE = (np.arange(256) / (np.arange(256) + HALF_FULL)).astype(np.float32)


@inlined
def _share_of_eight(count: int) -> np.float32:
    """X / (x + 8), looked up where x is small: a division takes as long as everything else of a model."""
    return _TABLE[count] if count < len(_TABLE) else np.float32(count / (count + HALF_FULL))
