"""`paper-dp`: Algorithms 1 and 2 of the paper, over slots.

A model's run takes a whole number of slots, rounded up; that is the paper's discretisation, no constraint of the
problem. Within a cluster models are served in Corollary 1's order, ascending in what they share. ``e[i][t]`` is the
most users served within t slots with model i last, which keeps in the state what the next load depends on:

    e[i][t] = max( q(none, i)[t],  max over a before i, tau of e[a][t - tau] + q(a, i)[tau], both above 0 )

and ``q(a, i)[tau]`` the most users of i that a run of tau slots after a serves. Clusters join in a knapsack over slots.

The printed recursion (19), kept under ``as_printed``, has only "the first a models" in its state. It takes a for the
model in memory where g[a] differs from g[a - 1], and drops schedules that tie but would reuse more later.

With a model resident, its cluster goes first: the model itself, then ascending those that share at least as much, then
descending those that share less, since whatever is above the next model's level is gone once a lower one has run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.runs import Plan, Problem, require_clusters_message
from pl_env.compiling import compiled
from pl_env.errors import UnsupportedInstance
from pl_env.partial_loading.serving_table import Clusters

Ints = NDArray[np.int64]

MOST_CELLS = 200_000_000
"""Largest table (models × slots) that is attempted."""


def paper_dp(problem: Problem, as_printed: bool = False) -> Plan:
    """Most users in whole slots, clusters and models in the order of Theorem 3 and Corollary 1.

    Args:
        problem: The prepared instance.
        as_printed: Use the recursion as the paper prints it, which is not always optimal.

    Raises:
        UnsupportedInstance: No clustered bottom-layer sharing, non-affine loading, or far too many slots.
    """
    instance, clusters = problem.instance, problem.instance.table.clusters
    if clusters is None:
        raise UnsupportedInstance(require_clusters_message("paper-dp"))
    n_slots = instance.deadline_ns // instance.slot_ns
    if (n_slots + 1) * instance.n_models > MOST_CELLS:
        raise UnsupportedInstance(
            f"paper-dp: {n_slots} slots × {instance.n_models} models are more than {MOST_CELLS} cells; use longer slots"
        )
    order, group_start = cluster_order(clusters, instance.resident)
    models, counts = _solve(
        order,
        group_start,
        instance.load_ns,
        instance.resident,
        problem.first_user,
        problem.run_ns,
        instance.slot_ns,
        n_slots,
        as_printed,
    )
    return Plan(models, counts, instance.n_users)


def cluster_order(clusters: Clusters, resident: int) -> tuple[Ints, Ints]:
    """Models in the order in which `paper_dp` considers them, and where each cluster begins; the resident's first."""
    groups = [clusters.members[a:b] for a, b in zip(clusters.start[:-1], clusters.start[1:], strict=True)]
    if resident >= 0:
        home = groups.pop(int(clusters.cluster[resident]))
        home = home[home != resident]
        level = clusters.shared_ns[home]
        threshold = clusters.shared_ns[resident]
        groups.insert(0, np.concatenate([[resident], home[level >= threshold], home[level < threshold][::-1]]))
    return np.concatenate(groups), np.cumsum([0, *map(len, groups)])


@compiled
def _solve(
    order: Ints,
    group_start: Ints,
    load_ns: Ints,
    resident: int,
    first_user: Ints,
    run_ns: Ints,
    slot_ns: int,
    n_slots: int,
    as_printed: bool,
) -> tuple[Ints, Ints]:
    """Runs (models, counts) that serve the most users within ``n_slots`` slots."""
    n_groups = len(group_start) - 1
    shape = (len(order), n_slots + 1)
    served = np.zeros(shape, dtype=np.int32)
    source = np.full(shape, -1, dtype=np.int32)
    count = np.zeros(shape, dtype=np.int32)
    total = np.zeros((n_groups + 1, n_slots + 1), dtype=np.int32)
    from_group = np.zeros((n_groups, n_slots + 1), dtype=np.int32)
    for g in range(n_groups):
        for n in range(group_start[g], group_start[g + 1]):
            if as_printed and n > group_start[g]:
                served[n] = served[n - 1]
            for a in range(group_start[g] - 1, n):
                before = a if a >= group_start[g] else -1
                loaded = order[before] if before >= 0 else resident
                _extend(
                    n, before, group_start[g], load_ns[loaded, order[n]],
                    run_ns[first_user[order[n]] : first_user[order[n] + 1]],
                    slot_ns, as_printed, served, source, count,
                )  # fmt: skip
        best = _best_of_group(served, group_start[g], group_start[g + 1], as_printed)
        _join_group(best, total[g], total[g + 1], from_group[g])

    models = np.empty(len(order), dtype=np.int64)
    counts = np.empty(len(order), dtype=np.int64)
    n_runs = 0
    time = n_slots
    for g in range(n_groups - 1, -1, -1):
        time_after = time - from_group[g, time]
        t = from_group[g, time]
        n = _last_position(served, group_start[g], group_start[g + 1], t, as_printed)
        while n >= group_start[g]:
            k = count[n, t]
            if k == 0:  # only the printed recursion hands a value on from the model before
                n = n - 1 if as_printed else -1
                continue
            models[n_runs] = order[n]
            counts[n_runs] = k
            n_runs += 1
            before = source[n, t]
            loaded = order[before] if before >= 0 else resident
            t -= _slots(load_ns[loaded, order[n]] + run_ns[first_user[order[n]] + k - 1], slot_ns)
            n = before
        time = time_after
    return models[:n_runs][::-1].copy(), counts[:n_runs][::-1].copy()


@compiled
def _slots(time_ns: int, slot_ns: int) -> int:
    return -(-time_ns // slot_ns)


@compiled
def _extend(
    n: int,
    before: int,
    group_first: int,
    load: int,
    run: Ints,
    slot_ns: int,
    as_printed: bool,
    served: NDArray[np.int32],
    source: NDArray[np.int32],
    count: NDArray[np.int32],
) -> None:
    """Let the n-th model follow ``before`` (-1: nothing of this cluster), for every number of its users and slots."""
    n_slots = served.shape[1] - 1
    for k in range(1, len(run) + 1):
        slots = _slots(load + run[k - 1], slot_ns)
        if slots > n_slots:
            break
        for t in range(slots, n_slots + 1):
            base = 0
            if before >= 0:
                base = served[before, t - slots]
                if as_printed:
                    without = served[before - 1, t - slots] if before > group_first else 0
                    if base == without:  # the guard of (19)
                        continue
                elif base == 0:
                    continue
            if base + k > served[n, t]:
                served[n, t] = base + k
                source[n, t] = before
                count[n, t] = k


@compiled
def _last_position(served: NDArray[np.int32], first: int, stop: int, t: int, as_printed: bool) -> int:
    """Position of the model that ends the best schedule of a cluster within t slots."""
    best = stop - 1
    if not as_printed:
        for n in range(first, stop):
            if served[n, t] > served[best, t]:
                best = n
    return best


@compiled
def _best_of_group(served: NDArray[np.int32], first: int, stop: int, as_printed: bool) -> Ints:
    """Least slots in which a cluster serves v users, for v = 0, 1, … as far as it gets."""
    n_slots = served.shape[1] - 1
    most = served[_last_position(served, first, stop, n_slots, as_printed), n_slots]
    needed = np.zeros(most + 1, dtype=np.int64)
    v = 1
    for t in range(n_slots + 1):
        within = served[_last_position(served, first, stop, t, as_printed), t]
        while v <= within:
            needed[v] = t
            v += 1
    return needed


@compiled
def _join_group(
    needed: Ints, total: NDArray[np.int32], joined: NDArray[np.int32], from_group: NDArray[np.int32]
) -> None:
    """Knapsack over clusters: give this one some of the slots."""
    joined[:] = total
    for v in range(1, len(needed)):
        for t in range(needed[v], len(total)):
            if total[t - needed[v]] + v > joined[t]:
                joined[t] = total[t - needed[v]] + v
                from_group[t] = needed[v]
