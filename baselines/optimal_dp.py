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

import numpy as np
from numpy.typing import NDArray

from baselines.runs import NEVER, Plan, Problem, require_clusters_message
from pl_env.compiling import compiled
from pl_env.errors import UnsupportedInstance

Ints = NDArray[np.int64]


def optimal_dp(problem: Problem) -> Plan:
    """Exact optimum in continuous time for clustered bottom-layer sharing.

    Raises:
        UnsupportedInstance: The sharing is not of that kind, or loading is not affine.
    """
    instance, clusters = problem.instance, problem.instance.table.clusters
    if clusters is None:
        raise UnsupportedInstance(require_clusters_message("optimal-dp"))
    models, counts = _solve_clusters(
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
    return Plan(models, counts, int(counts.sum()))


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
    models, counts = _solve_clusters(
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
    return Plan(models, counts, int(counts.sum()) if proven else instance.n_users)


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
) -> tuple[Ints, Ints]:
    """Runs (models, counts) that serve the most users within the deadline, and among those end first.

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
) -> tuple[Ints, Ints]:
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
    first_cost = np.empty(n_users, dtype=np.int64)
    next_cost = np.empty(n_users, dtype=np.int64)
    total = np.full(n_users + 1, NEVER, dtype=np.int64)
    total[0] = 0
    total_reach = 0
    for g in range(n_groups):
        first, stop = group_start[g], group_start[g + 1]
        if first == stop:
            continue
        least = np.full(row_start[first + 1] - row_start[first], NEVER, dtype=np.int64)
        least[0] = 0
        reach = 0
        for n in range(first, stop):
            i = order[n]
            run = run_ns[first_user[i] : first_user[i + 1]]
            row = choices[row_start[n] : row_start[n + 1]]
            reach = _add_model(
                least, row, reach, first_load[i], next_load[i], run, budget, quantum, first_cost, next_cost
            )
        total_reach = _add_group(total, joins[g], total_reach, least, reach, budget)

    models = np.empty(len(order), dtype=np.int64)
    counts = np.empty(len(order), dtype=np.int64)
    n_runs = 0
    for g in range(n_groups - 1, -1, -1):
        from_group = joins[g, total_reach]
        total_reach -= from_group
        for n in range(group_start[g + 1] - 1, group_start[g] - 1, -1):
            count = choices[row_start[n] + from_group]
            if count > 0:
                models[n_runs] = order[n]
                counts[n_runs] = count
                n_runs += 1
                from_group -= count
    return models[:n_runs][::-1].copy(), counts[:n_runs][::-1].copy()


@compiled
def _add_model(
    least: Ints,  # (U + 1,) in and out: least time to serve u users of the group, NEVER beyond ``reach``
    choice: NDArray[np.int32],  # (U + 1,) out: users of this model in the best way to serve u
    reach: int,
    first_load: int,
    next_load: int,
    run: Ints,  # (k_i,)
    budget: int,
    quantum: int,
    first_cost: Ints,  # (k_i or more,) scratch, as allocating for every model took a third of the time
    next_cost: Ints,  # likewise
) -> int:
    """Let one more model join a group's knapsack; return the most users that fit now."""
    usable = 0
    for k in range(len(run)):
        first_cost[k] = _rounded_up(first_load + run[k], quantum)
        next_cost[k] = _rounded_up(next_load + run[k], quantum)
        if next_cost[k] <= budget:
            usable = k + 1
    new_reach = reach
    for u in range(reach + usable, 0, -1):  # downwards, so that least[u - k] is still without this model
        best, best_k = least[u], 0
        for k in range(max(1, u - reach), min(usable, u) + 1):
            time = first_cost[k - 1] if u == k else least[u - k] + next_cost[k - 1]
            if time < best:
                best, best_k = time, k
        if best_k > 0 and best <= budget:
            least[u] = best
            choice[u] = best_k
            new_reach = max(new_reach, u)
    return new_reach


@compiled
def _add_group(total: Ints, join: NDArray[np.int32], total_reach: int, least: Ints, reach: int, budget: int) -> int:
    """Let one more group join the knapsack over groups; return the most users that fit now."""
    new_reach = total_reach
    for w in range(total_reach + reach, 0, -1):
        best, best_v = total[w], 0
        for v in range(max(1, w - total_reach), min(reach, w) + 1):
            time = total[w - v] + least[v]
            if time < best:
                best, best_v = time, v
        if best_v > 0 and best <= budget:
            total[w] = best
            join[w] = best_v
            new_reach = max(new_reach, w)
    return new_reach


@compiled
def _rounded_up(time: int, quantum: int) -> int:
    return time if quantum == 1 else -(-time // quantum) * quantum
