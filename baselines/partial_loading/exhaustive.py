"""`exhaustive`: all orders of models and all numbers of users, for small instances of any sharing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.runs import Plan, Problem, RunTable
from pl_env.compiling import compiled
from pl_env.partial_loading.instance import Instance

Ints = NDArray[np.int64]

MOST_NODES = 2_000_000_000
"""Largest search tree that is attempted; a core visits some 10^8 nodes a second."""


def exhaustive(problem: Problem, slotted: bool = False) -> Plan:
    """Try every order of every set of models with every number of users; among the best the one that ends first.

    Optimal, as Theorem 2 allows to serve a model's users in one run. That rests on a load never being shortened by a
    detour, which affine loading guarantees; with a measured loading matrix the result stands as feasible.

    Args:
        problem: The prepared instance.
        slotted: Round every run up to whole slots, as the paper's planners do. That costs users, so the result stands
            as feasible.
    """
    instance = problem.instance
    models, counts = _search(problem.run_table, instance.slot_ns if slotted else 1)
    served = int(counts.sum())
    return Plan(models, counts, served if instance.table.affine and not slotted else instance.n_users)


def exhaustive_why_not(instance: Instance) -> str | None:
    """The search tree must not be too large."""
    users_of_model = np.bincount(instance.requested_model, minlength=instance.n_models)
    nodes = _count_nodes(users_of_model[(instance.max_batch > 0) & (users_of_model > 0)])
    if nodes <= MOST_NODES:
        return None
    return (
        f"exhaustive: {instance.n_users} users of {instance.n_models} models make {nodes:.1e} schedules; "
        f"at most {MOST_NODES:.0e} are tried"
    )


def _count_nodes(users_of_model: Ints) -> float:
    """Sequences of distinct models with a number of users each: sum over d of d! · e_d(k), e_d elementary symmetric."""
    symmetric = np.zeros(len(users_of_model) + 1)
    symmetric[0] = 1.0
    with np.errstate(over="ignore"):
        for users in users_of_model:
            symmetric[1:] += users * symmetric[:-1]
    nodes, factorial = 0.0, 1.0
    for d, value in enumerate(symmetric.tolist()):
        factorial *= max(1, d)
        nodes += factorial * value
        if nodes > 1e300:
            break
    return nodes


@compiled
def _search(table: RunTable, quantum: int) -> tuple[Ints, Ints]:
    """Depth-first search with an explicit stack: at depth d, ``count[d]`` users of ``model[d]``."""
    load_ns, first_user, run_ns, resident, deadline_ns = table
    n_models = len(first_user) - 1
    model = np.zeros(n_models + 1, dtype=np.int64)
    count = np.zeros(n_models + 1, dtype=np.int64)
    start = np.zeros(n_models + 1, dtype=np.int64)
    served = np.zeros(n_models + 1, dtype=np.int64)
    in_use = np.zeros(n_models, dtype=np.bool_)
    best_depth, best_served, best_finish = 0, 0, 0
    best_model = np.zeros(n_models, dtype=np.int64)
    best_count = np.zeros(n_models, dtype=np.int64)
    d = 0
    while d >= 0:
        i = model[d]
        if i == n_models:
            d -= 1
            if d >= 0:
                in_use[model[d]] = False
            continue
        count[d] += 1
        k = count[d]
        finish = deadline_ns + 1
        if not in_use[i] and k <= first_user[i + 1] - first_user[i]:
            before = model[d - 1] if d > 0 else resident
            time = load_ns[before, i] + run_ns[first_user[i] + k - 1]
            finish = start[d] + (time if quantum == 1 else -(-time // quantum) * quantum)
        if finish > deadline_ns:  # nor would more users fit
            model[d] += 1
            count[d] = 0
            continue
        now_served = served[d] + k
        if now_served > best_served or (now_served == best_served and finish < best_finish):
            best_depth, best_served, best_finish = d + 1, now_served, finish
            best_model[: d + 1] = model[: d + 1]
            best_count[: d + 1] = count[: d + 1]
        in_use[i] = True
        d += 1
        model[d] = 0
        count[d] = 0
        start[d] = finish
        served[d] = now_served
    return best_model[:best_depth].copy(), best_count[:best_depth].copy()
