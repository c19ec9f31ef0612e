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

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.runs import Plan, Problem, require_clusters_message, run_timeline, run_times
from pl_env.compiling import compiled, inlined
from pl_env.errors import UnsupportedInstance
from pl_env.partial_loading.dynamics import sort_users
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.schedule import Schedule

Ints = NDArray[np.int64]


def optimal_dp(problem: Problem) -> Plan:
    """Exact optimum in continuous time for clustered bottom-layer sharing.

    Raises:
        UnsupportedInstance: The sharing is not of that kind, or loading is not affine.
    """
    instance, clusters = problem.instance, problem.instance.table.clusters
    if clusters is None:
        raise UnsupportedInstance(require_clusters_message("optimal-dp"))
    models, counts, served = _solve_clusters(
        clusters.members,
        clusters.start,
        clusters.cluster,
        clusters.shared_ns,
        clusters.private_ns,
        instance.load_overhead_ns,
        problem.first_user,
        problem.run_ns,
        instance.resident,
        instance.deadline_ns,
        1,
    )
    return Plan(models, counts, served)


def optimal_dp_at_once(instance: Instance) -> Schedule:
    """The schedule of `optimal_dp` in one compiled call, for optimal bandwidth shares.

    `prepare`, `optimal_dp` and `to_schedule` give the same; at 100 users, handing arrays to each of their kernels takes
    as long as the dynamic program.

    Raises:
        UnsupportedInstance: As `optimal_dp`.
    """
    start = time.perf_counter()
    table = instance.table
    clusters = table.clusters
    if clusters is None:
        raise UnsupportedInstance(require_clusters_message("optimal-dp"))
    history, users, user_upload_ns = _schedule(
        clusters.members,
        clusters.start,
        clusters.cluster,
        clusters.shared_ns,
        clusters.private_ns,
        table.load_overhead_ns,
        table.load_ns,
        table.compute_ns_per_sample,
        table.compute_ns_per_batch,
        table.max_batch,
        instance.requested_model,
        instance.upload_ns,
        instance.resident,
        instance.deadline_ns,
    )
    return Schedule(
        history=history,
        users=users,
        user_upload_ns=user_upload_ns,
        n_users=instance.n_users,
        solver="optimal-dp",
        status="optimal",
        upper_bound=len(users),
        elapsed=time.perf_counter() - start,
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
    max_batch: Ints,
    requested_model: Ints,
    upload_ns: Ints,
    resident: int,
    deadline_ns: int,
) -> tuple[Ints, Ints, Ints]:
    """History, users and their upload times of the optimal schedule."""
    n_users = len(requested_model)
    first_user = np.empty(len(max_batch) + 1, dtype=np.int64)
    users = np.empty(n_users, dtype=np.int64)
    sorted_upload = np.empty(n_users, dtype=np.int64)
    sort_users(requested_model, upload_ns, first_user, users, sorted_upload)
    run_ns = run_times(per_sample, per_batch, max_batch, first_user, sorted_upload, 0)
    models, counts, _ = _solve_clusters(
        members, start, cluster, shared_ns, private_ns, overhead_ns, first_user, run_ns, resident, deadline_ns, 1
    )
    return run_timeline(
        models, counts, first_user, users, sorted_upload, max_batch, load_ns, per_sample, per_batch, resident, 0
    )


def independent(problem: Problem, slotted: bool = False) -> Plan:
    """Optimal schedule when nothing is shared: every model loads in full (Remark 4).

    Optimal where the library shares nothing. A resident model need not load again.

    Args:
        problem: The prepared instance.
        slotted: Round each model's run up to whole slots.
    """
    instance = problem.instance
    each_alone = np.arange(instance.n_models + 1, dtype=np.int64)
    each_alone.setflags(write=False)  # one type for the kernel, one compilation
    models, counts, served = _solve_clusters(
        each_alone[:-1],
        each_alone,
        each_alone[:-1],
        _zeros(instance.n_models),
        instance.load_ns[-1],
        0,  # load_ns has it already
        problem.first_user,
        problem.run_ns,
        instance.resident,
        instance.deadline_ns,
        instance.slot_ns if slotted else 1,
    )
    shares_nothing = instance.table.affine and int(instance.has_block.sum(axis=0).max(initial=0)) <= 1
    proven = shares_nothing and not slotted
    return Plan(models, counts, served if proven else instance.n_users)


def _zeros(length: int) -> Ints:
    zeros = np.zeros(length, dtype=np.int64)
    zeros.setflags(write=False)
    return zeros


@compiled
def _solve_clusters(
    members: Ints,
    start: Ints,
    cluster: Ints,
    shared_ns: Ints,
    private_ns: Ints,
    overhead_ns: int,
    first_user: Ints,
    run_ns: Ints,
    resident: int,
    deadline_ns: int,
    quantum: int,
) -> tuple[Ints, Ints, int]:
    """Runs (models, counts) that serve the most users within the deadline, and among those end first; their number.

    With ``quantum`` above 1 every run is rounded up to multiples of it.
    """
    order, group_start = _serving_order(members, start, cluster, resident)
    first_load, next_load = _loads(cluster, shared_ns, private_ns, overhead_ns, resident)
    return _knapsacks(
        order, group_start, first_load, next_load, first_user, run_ns, deadline_ns // quantum * quantum, quantum
    )


@compiled
def _serving_order(members: Ints, start: Ints, cluster: Ints, resident: int) -> tuple[Ints, Ints]:
    """Models in the order in which a schedule serves them, and where each group of them begins.

    Groups: the resident model by itself, then its cluster, then all others; descending within a group.
    """
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
def _loads(cluster: Ints, shared_ns: Ints, private_ns: Ints, overhead_ns: int, resident: int) -> tuple[Ints, Ints]:
    """What each model loads as the first of its group, and what it loads after a higher one of its cluster."""
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
def _knapsacks(
    order: Ints,
    group_start: Ints,
    first_load: Ints,
    next_load: Ints,
    first_user: Ints,
    run_ns: Ints,
    budget: int,
    quantum: int,
) -> tuple[Ints, Ints, int]:
    """Knapsack over the models of each group, knapsack over the groups, and the way back."""
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
            usable = 0
            for k in range(len(run)):
                first_cost[k] = _rounded_up(first_load[i] + run[k], quantum)
                next_cost[k] = _rounded_up(next_load[i] + run[k], quantum)
                if next_cost[k] <= budget:
                    usable = k + 1
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
    return models[:n_runs][::-1].copy(), counts[:n_runs][::-1].copy(), total_reach


@inlined
def _join(
    least: Ints,  # (U + 1,) in and out: least time to serve u users; past the budget beyond ``reach``
    choice: NDArray[np.int32],  # (U + 1,) out: users of the newcomer in the best way to serve u
    reach: int,
    first_cost: Ints,  # (k,) time of the newcomer's 1 ... k users where nobody else is served
    next_cost: Ints,  # (k,) the same after others
    budget: int,
    before: Ints,  # (reach + 1 or more,) scratch
) -> int:
    """Let a newcomer, a model or a group, join a knapsack; return the most users that fit now.

    The inner loop runs over what the others serve, without a branch: the compiler makes vector instructions of it.
    """
    usable = len(next_cost)
    before[: reach + 1] = least[: reach + 1]
    for k in range(1, usable + 1):
        if first_cost[k - 1] < least[k]:
            least[k], choice[k] = first_cost[k - 1], k
        cost, others = next_cost[k - 1], before[1 : reach + 1]
        times, chosen = least[k + 1 : k + reach + 1], choice[k + 1 : k + reach + 1]
        for v in range(reach):
            time = others[v] + cost
            better = time < times[v]
            times[v] = time if better else times[v]
            chosen[v] = k if better else chosen[v]
    new_reach = reach
    for u in range(reach + 1, reach + usable + 1):
        if least[u] <= budget:
            new_reach = u
    return new_reach


@compiled
def _rounded_up(time: int, quantum: int) -> int:
    return time if quantum == 1 else -(-time // quantum) * quantum
