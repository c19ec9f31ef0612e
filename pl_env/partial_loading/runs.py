"""Runs: a model, and how many of its cheapest pending users it serves, in as few batches as fit.

By Theorem 2 a schedule need not be anything else than a sequence of runs. A planner chooses them; how they are cut into
batches, and when each batch ends, is here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.partial_loading.dynamics import sort_users, timeline
from pl_env.partial_loading.instance import Instance

Ints = NDArray[np.int64]


class Times(NamedTuple):
    """What a batch takes, and how large it may be."""

    load_ns: Ints  # (I + 1, I) row = resident model, last row = empty GPU
    per_sample: Ints  # (I,) compute nanoseconds
    per_batch: Ints  # (I,) compute nanoseconds
    batch_limit: Ints  # (I,) largest batch


class Queue(NamedTuple):
    """Users by model, then upload time, ties by index."""

    first_user: Ints  # (I + 1,) where each model's users begin in the two that follow
    users: Ints  # (K,)
    sorted_upload: Ints  # (K,) their upload times


def times_of(instance: Instance, equal_bandwidth_channels: int = 0, loads_in_full: bool = False) -> Times:
    """The times of an instance; where the band is cut into r equal channels, no batch has more than r users."""
    table, limit = instance.table, instance.table.max_batch
    if equal_bandwidth_channels:
        limit = np.minimum(limit, equal_bandwidth_channels)
        limit.setflags(write=False)  # one type for the kernels, one compilation
    load_ns = table.full_load_ns if loads_in_full else table.load_ns
    return Times(load_ns, table.compute_ns_per_sample, table.compute_ns_per_batch, limit)


@compiled
def queue_of(n_models: int, requested_model: Ints, upload_ns: Ints) -> Queue:
    """Sort users."""
    n_users = len(requested_model)
    first_user = np.empty(n_models + 1, dtype=np.int64)
    users = np.empty(n_users, dtype=np.int64)
    sorted_upload = np.empty(n_users, dtype=np.int64)
    sort_users(requested_model, upload_ns, first_user, users, sorted_upload)
    return Queue(first_user, users, sorted_upload)


@compiled
def run_timeline(
    times: Times, queue: Queue, models: Ints, counts: Ints, resident: int, channels: int
) -> tuple[Ints, Ints, Ints]:
    """What a `Schedule` of runs holds: its history, its users in the order of service, and their upload times.

    Args:
        times: What batches take.
        queue: The users.
        models: int64 (R,), model of each run, one that fits into memory.
        counts: int64 (R,), users that each run serves; no model's add up to more than it has.
        resident: Model in GPU memory before, or -1.
        channels: r where the band is cut into r equal channels, else 0.
    """
    batch_models, batch_start, places = _batches(models, counts, queue.first_user, times.batch_limit, channels > 0)
    user_upload_ns = queue.sorted_upload[places]
    load_ns, per_sample, per_batch, _ = times
    if channels == 0:  # as a constant it takes half of the time
        history = timeline(load_ns, per_sample, per_batch, resident, batch_models, batch_start, user_upload_ns, 0)
    else:
        history = timeline(
            load_ns, per_sample, per_batch, resident, batch_models, batch_start, user_upload_ns, channels
        )
    return history, queue.users[places], user_upload_ns


@compiled
def _batches(
    run_models: Ints, run_counts: Ints, first_user: Ints, batch_limit: Ints, partial_first: bool
) -> tuple[Ints, Ints, Ints]:
    """Cut runs into batches: the model of each, where it begins, and the places of its users in the queue.

    As in Theorem 2 all batches of a run are full but the last. For equal channels, where a batch takes as long as its
    slowest user, it is the first that is not (``partial_first``): that is quickest.
    """
    n_batches = 0
    for model, count in zip(run_models, run_counts):  # noqa: B905 - numba has no strict
        n_batches += -(-count // batch_limit[model])
    models = np.empty(n_batches, dtype=np.int64)
    batch_start = np.zeros(n_batches + 1, dtype=np.int64)
    places = np.empty(run_counts.sum(), dtype=np.int64)
    next_user = first_user[:-1].copy()
    n, place = 0, 0
    for model, count in zip(run_models, run_counts):  # noqa: B905
        limit = batch_limit[model]
        for k in range(count):
            places[place + k] = next_user[model] + k
        next_user[model] += count
        left = count
        while left > 0:
            partial = left % limit
            size = partial if partial_first and partial > 0 else min(limit, left)
            models[n] = model
            place += size
            left -= size
            n += 1
            batch_start[n] = place
    return models, batch_start, places
