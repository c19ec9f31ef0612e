"""Shares that vary over time, the earliest due layer first: greedily, and exactly for download-then-infer."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.slide.dynamics import ARRIVAL, COMPUTE, DAI_SHARE, DOWNLOAD, N_STEPS, SHARE
from pl_env.slide.edf import DUE, REST, drain, fits, merge
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan

Ints = NDArray[np.int64]


def edf_greedy(instance: Instance) -> Plan:
    """Each user's model of least download, ascending, kept if all fit."""
    pairs, steps = instance.pairs_and_steps()
    bound = float((pairs[:, :, SHARE] > 0).any(axis=1).mean()) if instance.n_users else 0.0
    models = least_downloads(pairs, SHARE)
    admitted = admit_in_order(instance, pairs, steps, models, _by_download(pairs, models))
    return Plan.from_models(instance, admitted, bound=bound)


def moore_hodgson(instance: Instance) -> Plan:
    """Most users who compute after the whole download, each with the model of least download (Moore, 1968).

    Users are taken by due time; whenever one would be late, the longest download so far is dropped.
    """
    pairs = instance.pairs()
    models = least_downloads(pairs, DAI_SHARE)
    chosen = pairs[np.arange(len(models)), models]
    due = instance.deadline_ns - chosen[:, COMPUTE]
    kept: list[tuple[int, int]] = []
    total = 0
    for user in np.argsort(due, kind="stable"):
        if models[user] < 0:
            continue
        heapq.heappush(kept, (-int(chosen[user, DOWNLOAD]), int(user)))
        total += int(chosen[user, DOWNLOAD])
        if total > due[user]:
            total += heapq.heappop(kept)[0]
    is_kept = np.isin(np.arange(len(models)), [user for _, user in kept])
    return Plan.from_models(instance, np.where(is_kept, models, -1), streams=False)


def least_downloads(pairs: Ints, column: int) -> Ints:
    """Each user's model of least download among those whose share in a column is not 0, int64 (K,); -1 for none."""
    download = np.where(pairs[:, :, column] > 0, pairs[:, :, DOWNLOAD], np.iinfo(np.int64).max)
    return np.where((pairs[:, :, column] > 0).any(axis=1), download.argmin(axis=1), -1)


def _by_download(pairs: Ints, models: Ints) -> Ints:
    """Users with a model, by its download, ascending."""
    download = pairs[np.arange(len(models)), models, DOWNLOAD]
    order = np.argsort(download, kind="stable")
    return np.asarray(order[models[order] >= 0])


def admit_in_order(instance: Instance, pairs: Ints, steps: Ints, models: Ints, order: Ints) -> Ints:
    """Admit users in an order, each if all who were admitted before are still in time.

    Args:
        instance: The instance.
        pairs: Of `Instance.pairs_and_steps`.
        steps: Likewise.
        models: int64 (K,), the model that each user would have.
        order: int64, users.

    Returns:
        int64 (K,), models of those admitted, -1 for the others.
    """
    admitted = np.full(instance.n_users, -1, dtype=np.int64)
    n_committed = len(instance.committed_due_ns)
    queue = np.empty((3, n_committed + instance.n_users * steps.shape[3]), dtype=np.int64)
    committed = np.stack([instance.committed_due_ns, instance.committed_rest_ns])
    _admit_in_order(instance.users, pairs, steps, models, order, committed, queue, instance.all_present, admitted)
    return admitted


@compiled
def _admit_in_order(
    users: Ints,
    pairs: Ints,
    steps: Ints,
    models: Ints,
    order: Ints,
    committed: Ints,
    queue: Ints,
    all_present: bool,
    admitted: Ints,
) -> None:
    """Where all are present, the order in which they are queued does not matter; else each time from the start."""
    tail = committed.shape[1]
    queue[DUE, :tail], queue[REST, :tail] = committed[0], committed[1]
    for k in order:
        if all_present:
            step, n_steps = steps[k, models[k]], pairs[k, models[k], N_STEPS]
            if fits(queue, 0, tail, 0, step, n_steps):
                tail = merge(queue, 0, tail, step, n_steps, k)
                admitted[k] = models[k]
        else:
            admitted[k] = models[k]
            if not _is_servable(users, pairs, steps, admitted, committed, queue):
                admitted[k] = -1


@compiled
def _is_servable(users: Ints, pairs: Ints, steps: Ints, models: Ints, committed: Ints, queue: Ints) -> bool:
    """Whether all who are to be served are in time."""
    head, tail, now = 0, committed.shape[1], 0
    queue[DUE, :tail], queue[REST, :tail] = committed[0], committed[1]
    for k in range(len(users)):
        if models[k] < 0:
            continue
        head = drain(queue, head, tail, now, users[k, ARRIVAL])
        now = users[k, ARRIVAL]
        step, n_steps = steps[k, models[k]], pairs[k, models[k], N_STEPS]
        if not fits(queue, head, tail, now, step, n_steps):
            return False
        tail = merge(queue, head, tail, step, n_steps, k)
    return True
