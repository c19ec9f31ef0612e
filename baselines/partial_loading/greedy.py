"""`greedy` and `paper-greedy` (Algorithm 3), and `max-overlap`: heuristics that build a schedule run by run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.runs import Plan, Problem, RunTable
from pl_env.compiling import compiled

Ints = NDArray[np.int64]


def greedy(problem: Problem) -> Plan:
    """Algorithm 3 in continuous time: again and again the run with the most users per nanosecond."""
    return _plan_greedily(problem, 1)


def paper_greedy(problem: Problem) -> Plan:
    """Algorithm 3 as in the paper: each run takes whole slots."""
    return _plan_greedily(problem, problem.instance.slot_ns)


def _plan_greedily(problem: Problem, quantum: int) -> Plan:
    models, counts = _greedy(problem.run_table, quantum)
    return Plan(models, counts, problem.instance.n_users)


@compiled
def _greedy(table: RunTable, quantum: int) -> tuple[Ints, Ints]:
    """Take the largest k / time over models left and k that still fit; ties to larger k, then smaller model index."""
    load_ns, first_user, run_ns, resident, deadline_ns = table
    budget = deadline_ns // quantum
    n_models = len(first_user) - 1
    is_left = np.ones(n_models, dtype=np.bool_)
    models = np.empty(n_models, dtype=np.int64)
    counts = np.empty(n_models, dtype=np.int64)
    n_runs = 0
    while True:
        best_model, best_k, best_time = -1, 0, 1
        for i in range(n_models):
            if not is_left[i]:
                continue
            for k in range(1, first_user[i + 1] - first_user[i] + 1):
                time = -(-(load_ns[resident, i] + run_ns[first_user[i] + k - 1]) // quantum)
                if time > budget:
                    break
                # k / time against best_k / best_time, without rounding
                ahead, behind = k * best_time, best_k * time
                if ahead > behind or (ahead == behind and k > best_k):
                    best_model, best_k, best_time = i, k, time
        if best_model < 0:
            return models[:n_runs].copy(), counts[:n_runs].copy()
        models[n_runs] = best_model
        counts[n_runs] = best_k
        n_runs += 1
        is_left[best_model] = False
        budget -= best_time
        resident = best_model


def max_overlap(problem: Problem) -> Plan:
    """Next the model with the most bytes shared with the resident one, all its users that fit (Gemel, NSDI 2023).

    Ties, and the first model on an empty GPU: the most users asking for it, then the smaller index.
    """
    instance = problem.instance
    held_bytes = instance.has_block * instance.block_bytes
    models, counts = _max_overlap(problem.run_table, held_bytes @ instance.has_block.T)
    return Plan(models, counts, instance.n_users)


@compiled
def _max_overlap(table: RunTable, shared_bytes: Ints) -> tuple[Ints, Ints]:
    load_ns, first_user, run_ns, resident, budget = table
    n_models = len(first_user) - 1
    is_left = np.ones(n_models, dtype=np.bool_)
    models = np.empty(n_models, dtype=np.int64)
    counts = np.empty(n_models, dtype=np.int64)
    n_runs = 0
    while True:
        best, best_overlap, best_asking = -1, -1, 0
        for i in range(n_models):
            asking = first_user[i + 1] - first_user[i]
            if not is_left[i] or asking == 0 or load_ns[resident, i] + run_ns[first_user[i]] > budget:
                continue
            overlap = shared_bytes[resident, i] if resident >= 0 else 0
            if overlap > best_overlap or (overlap == best_overlap and asking > best_asking):
                best, best_overlap, best_asking = i, overlap, asking
        if best < 0:
            return models[:n_runs].copy(), counts[:n_runs].copy()
        k = best_asking
        while load_ns[resident, best] + run_ns[first_user[best] + k - 1] > budget:
            k -= 1
        budget -= load_ns[resident, best] + run_ns[first_user[best] + k - 1]
        models[n_runs] = best
        counts[n_runs] = k
        n_runs += 1
        is_left[best] = False
        resident = best
