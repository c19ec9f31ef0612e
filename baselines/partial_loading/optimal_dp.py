"""`optimal-dp` and `independent`: exact dynamic programs over "least time to serve u users", in continuous time.

Within a cluster of bottom-layer sharing, a set of models served one after the other loads every private block once
and the shared blocks up to the highest shared level among them, in any order that first climbs and then descends.
Serving the highest first and descending is such an order, and the only one that also saves the fixed cost c0 of the
loads of models without private blocks. So the least time of a cluster is a knapsack over its models in descending
order in which only the first model pays for shared blocks: O(u · k_i) per model, no predecessor in the state.
Clusters share nothing and join in another knapsack.

With a model resident, its shared blocks are there already when its cluster goes first, and the model itself, served
before all others, loads nothing: it is an item of its own.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.frontier import extend_and_choose, extended_reach
from baselines.partial_loading.runs import run_times
from pl_env.compiling import compiled, inlined
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.runs import Times, queue_of, run_timeline, times_of
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.serving_table import Clusters, ServingTable

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]


def optimal_dp(instance: Instance, *, equal_bandwidth_channels: int = 0) -> Schedule:
    """Exact optimum in continuous time for clustered bottom-layer sharing and affine loading.

    Args:
        instance: The instance.
        equal_bandwidth_channels: r > 0 cuts the band into r equal channels.
    """
    start, clusters = time.perf_counter(), instance.table.clusters
    assert clusters is not None, "see needs_clusters"
    overhead_ns = instance.table.load_overhead_ns
    times = times_of(instance, equal_bandwidth_channels)
    history, users, user_upload_ns = _solve(instance, times, clusters, overhead_ns, 1, equal_bandwidth_channels)
    return Schedule(
        history=history,
        users=users,
        user_upload_ns=user_upload_ns,
        n_users=instance.n_users,
        equal_bandwidth_channels=equal_bandwidth_channels,
        solver="optimal-dp",
        status="optimal",
        upper_bound=len(users),
        elapsed=time.perf_counter() - start,
    )


def independent(instance: Instance, *, slotted: bool = False, equal_bandwidth_channels: int = 0) -> Schedule:
    """The most users that can be served where every model loads in full (Remark 4).

    Optimal where the library shares nothing. A resident model need not load again.

    Args:
        instance: The instance.
        slotted: Round each model's run up to whole slots.
        equal_bandwidth_channels: r > 0 cuts the band into r equal channels.
    """
    start, quantum = time.perf_counter(), instance.slot_ns if slotted else 1
    overhead_ns = 0  # it is in the loading times of whole models already
    times = times_of(instance, equal_bandwidth_channels, loads_in_full=True)
    each_alone = _each_alone(instance.table)
    history, users, user_upload_ns = _solve(instance, times, each_alone, overhead_ns, quantum, equal_bandwidth_channels)
    shares_nothing = instance.table.affine and int(instance.has_block.sum(axis=0).max(initial=0)) <= 1
    bound = len(users) if shares_nothing and not slotted else instance.n_users
    return Schedule(
        history=history,
        users=users,
        user_upload_ns=user_upload_ns,
        n_users=instance.n_users,
        equal_bandwidth_channels=equal_bandwidth_channels,
        loads_in_full=True,
        solver="independent",
        status="optimal" if len(users) == bound else "feasible",
        upper_bound=bound,
        elapsed=time.perf_counter() - start,
    )


def _each_alone(table: ServingTable) -> Clusters:
    """Clusters of one model each, whose whole load is its own."""
    start, zeros = np.arange(table.n_models + 1, dtype=np.int64), np.zeros(table.n_models, dtype=np.int64)
    for array in (start, zeros):
        array.setflags(write=False)  # one type for the kernel, one compilation
    return Clusters(start[:-1], start, start[:-1], zeros, table.full_load_ns[-1])


def _solve(
    instance: Instance, times: Times, clusters: Clusters, overhead_ns: int, quantum: int, channels: int
) -> tuple[Ints, Ints, Ints]:
    """History, users and their upload times of the schedule that serves the most, and among those ends first.

    With ``quantum`` above 1 every run is rounded up to multiples of it.
    """
    return _schedule(
        clusters.members,
        clusters.start,
        clusters.cluster,
        clusters.shared_ns,
        clusters.private_ns,
        overhead_ns,
        times.load_ns,
        times.per_sample,
        times.per_batch,
        times.batch_limit,
        instance.requested_model,
        instance.upload_ns,
        instance.resident,
        instance.deadline_ns,
        quantum,
        channels,
    )


@compiled
def _schedule(
    members: Ints,
    start: Ints,
    cluster: Ints,
    shared_ns: Ints,
    private_ns: Ints,
    overhead_ns: int,
    load_ns: Ints,
    per_sample: Ints,
    per_batch: Ints,
    batch_limit: Ints,
    requested_model: Ints,
    upload_ns: Ints,
    resident: int,
    deadline_ns: int,
    quantum: int,
    channels: int,
) -> tuple[Ints, Ints, Ints]:
    """All in one call: at 100 users, handing arrays from kernel to kernel takes as long as the dynamic program.

    Named tuples begin inside, as two of them at the door take a microsecond more than their arrays one by one.
    """
    sharing = _Sharing(members, start, cluster, shared_ns, private_ns, overhead_ns)
    times = Times(load_ns, per_sample, per_batch, batch_limit)
    queue = queue_of(len(batch_limit), requested_model, upload_ns)
    run_ns = run_times(times, queue, channels)
    line = _line_up(sharing, resident)
    models, counts = _knapsacks(line, queue.first_user, run_ns, deadline_ns // quantum * quantum, quantum)
    return run_timeline(times, queue, models, counts, resident, channels)


class _Sharing(NamedTuple):
    """What models load: `Clusters`, and the overhead of a load."""

    members: Ints  # (I,)
    start: Ints  # (C + 1,)
    cluster: Ints  # (I,)
    shared_ns: Ints  # (I,)
    private_ns: Ints  # (I,)
    overhead_ns: int


class _Line(NamedTuple):
    """The models in the order in which a schedule serves them, in groups, and what each loads there.

    Groups: the resident model by itself, then its cluster, then all others; descending within a group.
    """

    models: Ints  # (I,)
    group_start: Ints  # (G + 1,) where each group begins in ``models``
    first_load_ns: Ints  # (I,) by model: what it loads as the first of its group
    next_load_ns: Ints  # (I,) by model: what it loads after a higher one of its cluster


@compiled
def _line_up(sharing: _Sharing, resident: int) -> _Line:
    models, group_start = _serving_order(sharing, resident)
    first_load_ns, next_load_ns = _loads(sharing, resident)
    return _Line(models, group_start, first_load_ns, next_load_ns)


@compiled
def _serving_order(sharing: _Sharing, resident: int) -> tuple[Ints, Ints]:
    """`_Line.models` and `_Line.group_start`."""
    members, start, cluster = sharing[:3]
    n_clusters = len(start) - 1
    order = np.empty(len(members), dtype=np.int64)
    group_start = np.zeros(n_clusters + 2, dtype=np.int64)
    n, n_groups = 0, 0
    if resident >= 0:
        order[0] = resident
        n, n_groups = 1, 1
        group_start[1] = 1
    home = cluster[resident] if resident >= 0 else -1
    for turn in range(-1, n_clusters):
        c = home if turn == -1 else turn
        if c == -1 or (turn == home and home >= 0):
            continue
        for place in range(start[c + 1] - 1, start[c] - 1, -1):
            if members[place] != resident:
                order[n] = members[place]
                n += 1
        n_groups += 1
        group_start[n_groups] = n
    return order, group_start[: n_groups + 1]


@compiled
def _loads(sharing: _Sharing, resident: int) -> tuple[Ints, Ints]:
    """`_Line.first_load_ns` and `_Line.next_load_ns`."""
    _, _, cluster, shared_ns, private_ns, overhead_ns = sharing
    first_load = np.empty(len(cluster), dtype=np.int64)
    next_load = np.empty(len(cluster), dtype=np.int64)
    for i in range(len(cluster)):
        in_memory = shared_ns[resident] if resident >= 0 and cluster[i] == cluster[resident] else 0
        first_load[i] = private_ns[i] + max(0, shared_ns[i] - in_memory)
        next_load[i] = private_ns[i]
        if first_load[i] > 0:
            first_load[i] += overhead_ns
        if next_load[i] > 0:
            next_load[i] += overhead_ns
    if resident >= 0:
        first_load[resident] = 0
        next_load[resident] = 0
    return first_load, next_load


@compiled
def _knapsacks(line: _Line, first_user: Ints, run_ns: Ints, budget: int, quantum: int) -> tuple[Ints, Ints]:
    """Knapsack over the models of each group, knapsack over the groups, and the way back: models and counts."""
    order, group_start, first_load_ns, next_load_ns = line
    n_groups, n_users = len(group_start) - 1, len(run_ns)
    row_start = np.zeros(len(order) + 1, dtype=np.int64)
    for g in range(n_groups):
        group_users = 0
        for i in order[group_start[g] : group_start[g + 1]]:
            group_users += first_user[i + 1] - first_user[i]
        for n in range(group_start[g], group_start[g + 1]):
            row_start[n + 1] = row_start[n] + group_users + 1
    choices = np.zeros(row_start[-1], dtype=np.int32)  # a row per model: its users in the best way to serve u
    joins = np.zeros((n_groups, n_users + 1), dtype=np.int32)  # a row per group: its users in the best way to serve w
    first_cost = np.empty(n_users, dtype=np.int64)  # scratch: allocating for every model took a third of the time
    next_cost = np.empty(n_users, dtype=np.int64)
    before = np.empty(n_users + 1, dtype=np.int64)
    total = np.full(n_users + 1, budget + 1, dtype=np.int64)
    total[0] = 0
    total_reach = 0
    for g in range(n_groups):
        first, stop = group_start[g], group_start[g + 1]
        if first == stop:
            continue
        least = np.full(row_start[first + 1] - row_start[first], budget + 1, dtype=np.int64)
        least[0] = 0
        reach = 0
        for n in range(first, stop):
            i = order[n]
            run = run_ns[first_user[i] : first_user[i + 1]]
            for k in range(len(run)):
                first_cost[k] = first_load_ns[i] + run[k]
                next_cost[k] = next_load_ns[i] + run[k]
            if quantum > 1:
                _round_up(first_cost[: len(run)], quantum)
                _round_up(next_cost[: len(run)], quantum)
            usable = 0
            while usable < len(run) and next_cost[usable] <= budget:
                usable += 1
            row = choices[row_start[n] : row_start[n + 1]]
            reach = _join(least, row, reach, first_cost[:usable], next_cost[:usable], budget, before)
        cost = least[1 : reach + 1]
        total_reach = _join(total, joins[g], total_reach, cost, cost, budget, before)

    models = np.empty(len(order), dtype=np.int64)
    counts = np.empty(len(order), dtype=np.int64)
    n_runs, left = 0, total_reach
    for g in range(n_groups - 1, -1, -1):
        from_group = joins[g, left]
        left -= from_group
        for n in range(group_start[g + 1] - 1, group_start[g] - 1, -1):
            count = choices[row_start[n] + from_group]
            if count > 0:
                models[n_runs] = order[n]
                counts[n_runs] = count
                n_runs += 1
                from_group -= count
    return models[:n_runs][::-1].copy(), counts[:n_runs][::-1].copy()


@inlined
def _join(
    least: Ints,  # (U + 1,) in and out: the frontier; past the budget beyond ``reach``
    choice: SmallInts,  # (U + 1,) out: users of the newcomer in the best way to serve u
    reach: int,
    first_cost: Ints,  # (k,) time of the newcomer's 1 ... k users where nobody else is served
    next_cost: Ints,  # (k,) the same after others
    budget: int,
    before: Ints,  # (reach + 1 or more,) scratch
) -> int:
    """Let a newcomer, a model or a group, join a knapsack; return the most users that fit now."""
    usable = len(next_cost)
    before[: reach + 1] = least[: reach + 1]
    extend_and_choose(least, choice, before, 1, reach, next_cost)
    for k in range(1, usable + 1):  # last, so that of equals the fewest users of the newcomer win
        if first_cost[k - 1] < least[k]:
            least[k], choice[k] = first_cost[k - 1], k
    return extended_reach(least, reach, usable, budget)


@compiled
def _round_up(times: Ints, quantum: int) -> None:
    for k in range(len(times)):
        times[k] = -(-times[k] // quantum) * quantum
