"""`paper-dp`: Algorithms 1 and 2 of the paper, over slots.

A model's run takes a whole number of slots, rounded up; that is the paper's discretisation, no constraint of the
problem. Within a cluster models are served in Corollary 1's order, ascending in what they share. ``e[i][t]`` is the
most users served within t slots with model i last, which keeps in the state what the next load depends on:

    e[i][t] = max( q(none, i)[t],  max over a before i, tau of e[a][t - tau] + q(a, i)[tau], both above 0 )

and ``q(a, i)[tau]`` the most users of i that a run of tau slots after a serves. Clusters join by the least slots that
each needs for so many users.

The printed recursion (19), kept under ``as_printed``, has only "the first a models" in its state. It takes a for the
model in memory where g[a] differs from g[a - 1], and drops schedules that tie but would reuse more later.

With a model resident, its cluster goes first: the model itself, then ascending those that share at least as much, then
descending those that share less, since whatever is above the next model's level is gone once a lower one has run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.frontier import Frontiers, join_all, split
from baselines.partial_loading.runs import Plan, Problem, RunTable, needs_clusters
from pl_env.compiling import compiled
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.serving_table import Clusters

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]

MOST_CELLS = 200_000_000
"""Largest table (models × slots) that is attempted."""


def paper_dp(problem: Problem, as_printed: bool = False) -> Plan:
    """Most users in whole slots, clusters and models in the order of Theorem 3 and Corollary 1.

    Args:
        problem: The prepared instance.
        as_printed: Use the recursion as the paper prints it, which is not always optimal.
    """
    instance, clusters = problem.instance, problem.instance.table.clusters
    assert clusters is not None, "see paper_dp_why_not"
    order, group_start = cluster_order(clusters, instance.resident)
    models, counts = _solve(problem.run_table, order, group_start, instance.slot_ns, as_printed)
    return Plan(models, counts, instance.n_users)


def paper_dp_why_not(instance: Instance) -> str | None:
    """It needs clusters, and not too many slots."""
    n_slots = instance.deadline_ns // instance.slot_ns
    if instance.table.clusters is not None and (n_slots + 1) * instance.n_models > MOST_CELLS:
        return (
            f"paper-dp: {n_slots} slots × {instance.n_models} models are more than {MOST_CELLS} cells; use longer slots"
        )
    return needs_clusters("paper-dp", instance)


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


class _Tables(NamedTuple):
    """The recursion, by position n of the last model and slots t."""

    served: SmallInts  # (I, n_slots + 1) most users
    before: SmallInts  # (I, n_slots + 1) position of the model before, or -1
    last: SmallInts  # (I, n_slots + 1) users of the last model


@compiled
def _solve(table: RunTable, order: Ints, group_start: Ints, slot_ns: int, as_printed: bool) -> tuple[Ints, Ints]:
    """Runs (models, counts) that serve the most users within the deadline's slots."""
    n_slots = table.deadline_ns // slot_ns
    n_groups, n_users = len(group_start) - 1, len(table.run_ns)
    shape = (len(order), n_slots + 1)
    tables = _Tables(
        np.zeros(shape, dtype=np.int32), np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    )
    needed = Frontiers(np.zeros(n_users + n_groups, dtype=np.int64), np.zeros(n_groups + 1, dtype=np.int64))
    for g in range(n_groups):
        first, stop = group_start[g], group_start[g + 1]
        for n in range(first, stop):
            if as_printed and n > first:
                tables.served[n] = tables.served[n - 1]
            for a in range(first - 1, n):
                _extend(table, order, n, a if a >= first else -1, first, slot_ns, as_printed, tables)
        most = _slots_needed(tables.served, first, stop, as_printed, needed.least[needed.start[g] :])
        needed.start[g + 1] = needed.start[g] + most + 1
    joined = np.empty((n_groups + 1, n_users + 1), dtype=np.int64)
    from_group = np.zeros(n_groups, dtype=np.int64)
    split(needed, joined, join_all(needed, n_slots, joined), n_slots, from_group)

    models = np.empty(len(order), dtype=np.int64)
    counts = np.empty(len(order), dtype=np.int64)
    n_runs = 0
    for g in range(n_groups - 1, -1, -1):
        first = group_start[g]
        t = needed.least[needed.start[g] + from_group[g]]
        n = _last_position(tables.served, first, group_start[g + 1], t, as_printed)
        while n >= first:
            k = tables.last[n, t]
            if k == 0:  # only the printed recursion hands a value on from the model before
                n = n - 1 if as_printed else -1
                continue
            models[n_runs] = order[n]
            counts[n_runs] = k
            n_runs += 1
            before = tables.before[n, t]
            t -= _slots(table, order, n, before, k, slot_ns)
            n = before
    return models[:n_runs][::-1].copy(), counts[:n_runs][::-1].copy()


@compiled
def _slots(table: RunTable, order: Ints, n: int, before: int, count: int, slot_ns: int) -> int:
    """Slots in which the n-th model serves so many users after the one at ``before`` (-1: nothing of its cluster)."""
    model, loaded = order[n], order[before] if before >= 0 else table.resident
    time_ns = table.load_ns[loaded, model] + table.run_ns[table.first_user[model] + count - 1]
    return int(-(-time_ns // slot_ns))


@compiled
def _extend(
    table: RunTable,
    order: Ints,
    n: int,
    before: int,
    group_first: int,
    slot_ns: int,
    as_printed: bool,
    tables: _Tables,
) -> None:
    """Let the n-th model follow ``before`` (-1: nothing of this cluster), for every number of its users and slots."""
    served, source, count = tables
    n_slots = served.shape[1] - 1
    for k in range(1, table.first_user[order[n] + 1] - table.first_user[order[n]] + 1):
        slots = _slots(table, order, n, before, k, slot_ns)
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
def _last_position(served: SmallInts, first: int, stop: int, t: int, as_printed: bool) -> int:
    """Position of the model that ends the best schedule of a cluster within t slots."""
    best = stop - 1
    if not as_printed:
        for n in range(first, stop):
            if served[n, t] > served[best, t]:
                best = n
    return best


@compiled
def _slots_needed(served: SmallInts, first: int, stop: int, as_printed: bool, needed: Ints) -> int:
    """Write the least slots in which a cluster serves 0, 1, … users; return how many users it gets to.

    That is how many it serves in all slots. By the printed recursion it may serve more in fewer, which do not count.
    """
    n_slots = served.shape[1] - 1
    most = served[_last_position(served, first, stop, n_slots, as_printed), n_slots]
    v = 1
    for t in range(n_slots + 1):
        within = min(most, served[_last_position(served, first, stop, t, as_printed), t])
        while v <= within:
            needed[v] = t
            v += 1
    return int(most)
