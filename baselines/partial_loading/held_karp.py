"""The frontier of a small cluster of any sharing: the least time to serve u of its users, for every u.

Which order a set of models is served in decides what is loaded, and how many users of each decides the rest; the two
do not meet. So the dynamic program of Held and Karp ("A dynamic programming approach to sequencing problems", 1962)
gives every set its cheapest order, a knapsack gives every set the least upload and compute time for u users, and the
frontier is the least sum of both over all sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.frontier import extend
from baselines.partial_loading.runs import NEVER, RunTable
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


@compiled
def cluster_frontier(table: RunTable, members: Ints) -> tuple[Ints, Ints]:
    """Least time for u users of a cluster, and the set of models that attains it.

    Args:
        table: The instance.
        members: int64 (M,), the models of the cluster that have users; all sets of them are looked at.

    Returns:
        Nanoseconds int64 (U + 1,) for 0 … U users, U all users of the cluster, `NEVER` past the deadline; and the sets,
        bit n for ``members[n]``.
    """
    first_user, run_ns = table.first_user, table.run_ns
    path_ns = _cheapest_paths(members, table.load_ns, table.resident)
    n_members = len(members)
    n_users = 0
    for i in members:
        n_users += first_user[i + 1] - first_user[i]
    least = np.full(n_users + 1, NEVER, dtype=np.int64)
    attained_by = np.zeros(n_users + 1, dtype=np.int64)
    least[0] = 0
    # All sets, depth first, so that only the knapsacks of the sets on the way are in memory: row d belongs to the set
    # of the d members chosen so far, in ascending order, each with at least one user.
    knapsack = np.full((n_members + 1, n_users + 1), NEVER, dtype=np.int64)
    knapsack[0, 0] = 0
    chosen = np.full(n_members + 1, -1, dtype=np.int64)
    reach = np.zeros(n_members + 1, dtype=np.int64)
    members_set = np.zeros(n_members + 1, dtype=np.int64)
    depth = 1
    while depth > 0:
        chosen[depth] += 1
        n = chosen[depth]
        if n == n_members:
            depth -= 1
            continue
        members_set[depth] = members_set[depth - 1] | (1 << n)
        loading = path_ns[members_set[depth]].min()
        i = members[n]
        reach[depth] = _serve_one_more(
            knapsack[depth - 1],
            knapsack[depth],
            depth - 1,
            reach[depth - 1],
            run_ns[first_user[i] : first_user[i + 1]],
            table.deadline_ns - loading,
        )
        if reach[depth] < depth:
            continue  # not even one user of each model in time; nor would it be with more models
        for u in range(depth, reach[depth] + 1):
            if knapsack[depth, u] + loading < least[u]:
                least[u] = knapsack[depth, u] + loading
                attained_by[u] = members_set[depth]
        if depth < n_members:
            depth += 1
            chosen[depth] = n
    return least, attained_by


@compiled
def _cheapest_paths(members: Ints, load_ns: Ints, resident: int) -> Ints:
    """Held-Karp: int64 (2^M, M), least loading time of a set of members served in an order that ends with the last."""
    n_members = len(members)
    path_ns = np.full((1 << n_members, n_members), NEVER, dtype=np.int64)
    for n in range(n_members):
        path_ns[1 << n, n] = load_ns[resident, members[n]]
    for served in range(1, 1 << n_members):
        for last in range(n_members):
            so_far = path_ns[served, last]
            if so_far >= NEVER:
                continue
            for n in range(n_members):
                if not served >> n & 1:
                    time = so_far + load_ns[members[last], members[n]]
                    path_ns[served | 1 << n, n] = min(path_ns[served | 1 << n, n], time)
    return path_ns


@compiled
def _serve_one_more(before: Ints, after: Ints, fewest: int, reach: int, run: Ints, budget: int) -> int:
    """One model more in a knapsack, with at least one user: a frontier without the entries of too few users.

    ``before`` holds ``fewest`` to ``reach`` users. Returns the most users within the budget; 0 if there are none.
    """
    after[:] = budget + 1
    usable = 0
    while usable < len(run) and before[fewest] + run[usable] <= budget:
        usable += 1
    extend(after, before, fewest, reach, run[:usable])
    most = 0
    for u in range(fewest + 1, reach + usable + 1):
        if after[u] <= budget:
            most = u
    return most


@compiled
def cluster_plan(table: RunTable, members: Ints, served_set: int, n_users: int) -> tuple[Ints, Ints]:
    """The runs (models, counts) with which a set of members serves ``n_users`` in the least time."""
    first_user, run_ns = table.first_user, table.run_ns
    chosen = np.array([members[n] for n in range(len(members)) if served_set >> n & 1])
    order = _cheapest_order(chosen, table.load_ns, table.resident)
    n_chosen = len(order)
    most = 0
    for i in order:
        most += first_user[i + 1] - first_user[i]
    knapsack = np.full((n_chosen + 1, most + 1), NEVER, dtype=np.int64)
    knapsack[0, 0] = 0
    reach = 0
    for d in range(n_chosen):
        run = run_ns[first_user[order[d]] : first_user[order[d] + 1]]
        reach = _serve_one_more(knapsack[d], knapsack[d + 1], d, reach, run, NEVER - 1)
    counts = np.zeros(n_chosen, dtype=np.int64)
    left = n_users
    for d in range(n_chosen - 1, -1, -1):
        k = 1
        while knapsack[d, left - k] + run_ns[first_user[order[d]] + k - 1] != knapsack[d + 1, left]:
            k += 1
        counts[d] = k
        left -= k
    return order, counts


@compiled
def _cheapest_order(chosen: Ints, load_ns: Ints, resident: int) -> Ints:
    """The order of all the given models that loads least."""
    path_ns = _cheapest_paths(chosen, load_ns, resident)
    order = np.empty(len(chosen), dtype=np.int64)
    served = (1 << len(chosen)) - 1
    last = path_ns[served].argmin()
    for place in range(len(chosen) - 1, -1, -1):
        order[place] = chosen[last]
        before = served & ~(1 << last)
        for n in range(len(chosen)):
            loaded = path_ns[before, n] + load_ns[chosen[n], chosen[last]] == path_ns[served, last]
            if before >> n & 1 and loaded:
                last = n
                break
        served = before
    return order
