"""Playing an instance from Python: arrays for it, its start, and more room where what is kept of it grows."""

from __future__ import annotations

import numpy as np

from pl_env.online.arrays import (
    ARRIVAL,
    ARRIVED,
    DEADLINE,
    FORGOTTEN,
    FORGOTTEN_BEFORE,
    LAST,
    MODEL,
    N_BATCHES,
    N_BEFORE,
    N_PENDING,
    NOW,
    P_USER,
    READY,
    UPLOAD,
    Episode,
    Ints,
    Tables,
    allocate,
    tables_of,
)
from pl_env.online.instance import Instance
from pl_env.online.stepping import begin_one


def episode_of(instance: Instance) -> tuple[Tables, Episode]:
    """An instance at its first decision, with its history kept; of batches as large as its models allow."""
    tables = tables_of(instance)
    batch_cap = max(1, int(instance.table.max_batch.max()))
    n_before = len(instance.before_ns)
    e = allocate(tables, batch_cap, instance.n_users, n_before=n_before, keeps_history=True)
    place(e, instance)
    begin_one(tables, e, instance.n_users, n_before, instance.resident_blocks, instance.last_used)
    return tables, e


def place(e: Episode, instance: Instance) -> None:
    """Put the users of an instance into row 0."""
    e.users[0, : instance.n_users] = instance.users
    e.before[0, : len(instance.before_ns), MODEL] = instance.before_model
    e.before[0, : len(instance.before_ns), READY] = instance.before_ns


def with_room(e: Episode, n_evicted: int) -> Episode:
    """The episode with room for the blocks that a batch evicts, which may be all, besides those that were evicted."""
    room = e.evicted.shape[1]
    if n_evicted + len(e.keys) <= room:
        return e
    larger = np.zeros((1, 2 * room + len(e.keys)), dtype=np.int64)
    larger[0, :n_evicted] = e.evicted[0, :n_evicted]
    return e._replace(evicted=larger)


def pending_users(e: Episode, n: int = 0) -> Ints:
    """Indices of the users who are there and neither served nor hopeless, ascending, int64."""
    return np.sort(e.pending[n, : int(e.state[n, N_PENDING]), P_USER])


def remaining(instance: Instance, e: Episode, n: int = 0, *, to_come: bool = True) -> Instance:
    """What is left of an episode, as an instance of its own that begins now.

    Args:
        instance: What it plays.
        e: The episodes.
        n: Which of them.
        to_come: With the users who are still to come; else with those who are there alone, as is known now.
    """
    state, users = e.state[n], e.users[min(n, len(e.users) - 1)]
    now, arrived = int(state[NOW]), int(state[ARRIVED])
    kept = pending_users(e, n)
    if to_come:
        kept = np.append(kept, np.arange(arrived, int(state[LAST])))
    left = users[kept]
    gone = np.setdiff1d(np.arange(int(state[FORGOTTEN]), arrived), kept)
    earlier = e.before[min(n, len(e.before) - 1), int(state[FORGOTTEN_BEFORE]) : int(state[N_BEFORE])]
    before = np.concatenate([earlier, users[gone][:, [MODEL, READY]]])
    before = before[np.argsort(before[:, READY], kind="stable")]
    return Instance(
        table=instance.table,
        requested_model=left[:, MODEL],
        arrival_ns=left[:, ARRIVAL] - now,
        deadline_ns=left[:, DEADLINE] - now,
        upload_ns=left[:, UPLOAD],
        cache_bytes=instance.cache_bytes,
        ready_ns=left[:, READY] - now,
        eviction=instance.eviction,
        overlap=instance.overlap,
        resident_blocks=e.resident[n],
        last_used=e.last_used[n] - int(state[N_BATCHES]),
        before_model=before[:, MODEL],
        before_ns=before[:, READY] - now,
    )
