"""What an episode shows, compiled: the observation and the action mask of the present decision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.online.arrays import (
    ARRIVED,
    BYTES,
    CHOICES,
    DEADLINE,
    FIRST,
    HEAD,
    LARGEST_LOAD,
    LAST,
    LAST_END,
    LEGAL,
    LONGEST_DEADLINE,
    MISSING_BYTES,
    NOW,
    RECENT,
    SHOWN,
    TAIL,
    UPLOADS,
    Episode,
    Tables,
)
from pl_env.online.dynamics import NEVER, batch_ns, load_ns
from pl_env.online.instance import MEMORY_NS

HALF_FULL = 8.0
"""So many users are shown as a half."""

PER_MODEL = ("waiting", "slack", "load_time", "resident", "demand", "age")
PER_BATCH = ("upload_time", "batch_time", "margin")
KEYS = ("waiting", "slack", "upload_time", "batch_time", "margin", "load_time", "resident", "demand", "age")


def observation_shapes(n_models: int, batch_cap: int, n_blocks: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of an observation, by its key, in the order in which they lie in one array.

    Args:
        n_models: Models I.
        batch_cap: Largest batch b_cap.
        n_blocks: Blocks J that are shown; 0 for none.
    """
    shapes: dict[str, tuple[int, ...]] = {key: (n_models,) for key in PER_MODEL}
    shapes |= {key: (n_models, batch_cap) for key in PER_BATCH}
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
    n_models, batch_cap = e.models.shape[1], e.windows.shape[2]
    cells = 6 * n_models
    size = n_models * batch_cap
    e.observation[n, cells : cells + 2 * size] = 1.0
    e.observation[n, cells + 2 * size : cells + 3 * size] = 0.0
    e.mask[n] = 0
    for i in range(n_models):
        e.models[n, i, SHOWN] = 0


@compiled
def observe(t: Tables, e: Episode, n: int) -> None:
    """Write the observation and the mask; of batches only those that are legal, or were when it last wrote."""
    n_models, batch_cap = e.models.shape[1], e.windows.shape[2]
    out, mask, now = e.observation[n], e.mask[n], e.state[n, NOW]
    longest, largest_load = np.float32(1.0 / t.scales[LONGEST_DEADLINE]), np.float32(1.0 / t.scales[LARGEST_LOAD])
    memory, one = np.float32(1.0 / MEMORY_NS), np.float32(1.0)
    row = min(n, len(e.users) - 1)
    ended = e.state[n, CHOICES] == 0
    for i in range(n_models):
        model = e.models[n, i]
        waiting, recent, size = model[TAIL] - model[HEAD], model[RECENT], t.models[i, BYTES]
        out[i] = waiting / (waiting + HALF_FULL)
        slack = one
        if waiting > 0:
            slack = np.float32(e.users[row, e.queue[n, model[HEAD]], DEADLINE] - now) * longest
        out[n_models + i] = min(one, slack)
        out[2 * n_models + i] = min(one, np.float32(load_ns(t, e, n, i)) * largest_load)
        out[3 * n_models + i] = one - np.float32(model[MISSING_BYTES]) / np.float32(max(1, size))
        out[4 * n_models + i] = recent / (recent + HALF_FULL)
        age = one if model[LAST_END] == NEVER else np.float32(now - model[LAST_END]) * memory
        out[5 * n_models + i] = min(one, age)
    cells, size = 6 * n_models, n_models * batch_cap
    for i in range(n_models):
        legal, shown = e.models[n, i, LEGAL], e.models[n, i, SHOWN]
        if legal == 0 and shown == 0:
            continue
        load, cell = load_ns(t, e, n, i), cells + i * batch_cap
        for b in range(legal):
            upload = e.windows[n, i, b, UPLOADS]
            time = batch_ns(t, i, b + 1, upload, load)
            margin = e.users[row, e.queue[n, e.windows[n, i, b, FIRST]], DEADLINE] - now - time
            out[cell + b] = min(one, np.float32(upload) * longest)
            out[cell + size + b] = min(one, np.float32(time) * longest)
            out[cell + 2 * size + b] = min(one, np.float32(margin) * longest)
            mask[i * batch_cap + b] = 1
        for b in range(legal, shown):
            out[cell + b] = one
            out[cell + size + b] = one
            out[cell + 2 * size + b] = 0
            mask[i * batch_cap + b] = 0
        e.models[n, i, SHOWN] = legal
    for j in range(len(out) - cells - 3 * size):
        out[cells + 3 * size + j] = e.resident[n, j]
    mask[n_models * batch_cap] = e.state[n, ARRIVED] < e.state[n, LAST]
    if ended:
        mask[:] = 1
