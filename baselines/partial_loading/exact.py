"""`exact`: certified optima for models that share blocks in any way.

Models that share a block, directly or through other models, form a cluster. Clusters share nothing, so by the triangle
inequality of affine loading an optimum serves one after the other, the resident model's first. Small clusters give
their frontier, the least time to serve u users, by Held-Karp, and their frontiers join in a knapsack. Larger clusters
go to CP-SAT, together with the joined frontier of the small ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.bounds import label_clusters, upper_bound
from baselines.partial_loading.circuits import search
from baselines.partial_loading.held_karp import cluster_frontier, cluster_plan
from baselines.partial_loading.local_search import local_search
from baselines.partial_loading.runs import NEVER, Plan, Problem, usable_users
from pl_env.errors import UnsupportedInstance

Ints = NDArray[np.int64]
Runs = tuple[Ints, Ints]
"""Models and counts, in the order of service."""

HELD_KARP_MODELS = 16
"""Largest cluster for Held-Karp. Two models more take it four times as long; CP-SAT is the faster one from here on."""


def exact(problem: Problem, time_limit: float = 60.0, workers: int = 8, gap: float = 0.0, seed: int = 0) -> Plan:
    """A proven optimum, or the best plan found with an upper bound.

    With the same seed a proven optimum serves the same number of users in every run; which of several optimal plans
    it is may depend on the timing of CP-SAT's threads.

    Args:
        problem: The prepared instance.
        time_limit: Seconds for CP-SAT.
        workers: Threads of CP-SAT; its portfolio of 8 is faster than a smaller one whatever the number of cores.
        gap: Stop when the bound is at most this fraction above the plan; 0 asks for a proof.
        seed: Seed of CP-SAT and of the heuristic that it starts from.

    Raises:
        UnsupportedInstance: Loading is not affine.
        MissingPackage: A cluster is too large for Held-Karp, and OR-Tools is not installed.
    """
    instance = problem.instance
    if not instance.table.affine:
        raise UnsupportedInstance("exact needs affine loading times, V(s) = c0·[s > 0] + s / rate; use 'local-search'")
    clusters = sharing_clusters(problem)
    small = [cluster for cluster in clusters if len(cluster) <= HELD_KARP_MODELS]
    large = [cluster for cluster in clusters if len(cluster) > HELD_KARP_MODELS]
    frontiers = [_frontier(problem, cluster) for cluster in small]
    joined_ns, taken = _join([least_ns for least_ns, _ in frontiers], instance.deadline_ns)
    if not large:
        served = int(np.flatnonzero(joined_ns < NEVER)[-1])
        return _in_order(clusters, _small_runs(problem, small, frontiers, taken, served), served)

    start = local_search(problem, seed=seed)
    served = int(start.counts.sum())
    bound = served if served == instance.n_users else upper_bound(problem)
    if bound <= served * (1 + gap):
        return Plan(start.models, start.counts, bound)
    found = search(problem, large, joined_ns, start, time_limit=time_limit, workers=workers, gap=gap, seed=seed)
    bound = min(bound, found.upper_bound)
    if found.served <= served:
        return Plan(start.models, start.counts, bound)
    runs = _small_runs(problem, small, frontiers, taken, found.n_others)
    return _in_order(clusters, runs | dict(zip(map(_key, large), found.runs, strict=True)), bound)


def sharing_clusters(problem: Problem) -> list[Ints]:
    """The models that can be served, int64 arrays, cluster by cluster; the resident model's cluster comes first.

    The resident model joins clusters even if nobody asks for it, as all models that share with it gain from it, but
    only when they are served first.
    """
    instance = problem.instance
    models = np.flatnonzero(usable_users(problem.first_user, problem.run_ns, instance.deadline_ns))
    *labels, home = label_clusters(instance.load_ns, np.append(models, instance.resident)).tolist()
    of_model = np.array(labels, dtype=np.int64)
    return [models[of_model == label] for label in sorted(set(labels), key=lambda label: (label != home, label))]


def _frontier(problem: Problem, cluster: Ints) -> Runs:
    """Least nanoseconds for u users of a small cluster, and the set of models that attains it."""
    instance = problem.instance
    return cluster_frontier(
        cluster, instance.load_ns, problem.first_user, problem.run_ns, instance.resident, instance.deadline_ns
    )


def _join(frontiers: Sequence[Ints], budget: int) -> tuple[Ints, list[Ints]]:
    """Least nanoseconds for w users of all clusters together, `NEVER` above the budget.

    Also, for each cluster, how many of the w users of the clusters up to it are its own.
    """
    joined = np.zeros(1, dtype=np.int64)
    taken = []
    for least_ns in frontiers:
        before = joined
        joined = np.full(len(before) + len(least_ns) - 1, NEVER, dtype=np.int64)
        own = np.zeros(len(joined), dtype=np.int64)
        for u in np.flatnonzero(least_ns <= budget):
            time_ns, so_far = before + least_ns[u], joined[u : u + len(before)]
            better = (time_ns < so_far) & (time_ns <= budget)
            so_far[better] = time_ns[better]
            own[u : u + len(before)][better] = u
        taken.append(own)
    return joined, taken


def _small_runs(
    problem: Problem, small: list[Ints], frontiers: list[Runs], taken: list[Ints], served: int
) -> dict[int, Runs]:
    """The runs with which the small clusters serve that many users, by cluster."""
    instance, runs = problem.instance, {}
    for cluster, (_, attained_by), own in reversed(list(zip(small, frontiers, taken, strict=True))):
        count = int(own[served])
        served -= count
        if count:
            runs[_key(cluster)] = cluster_plan(
                cluster,
                instance.load_ns,
                problem.first_user,
                problem.run_ns,
                instance.resident,
                attained_by[count],
                count,
            )
    return runs


def _key(cluster: Ints) -> int:
    """A cluster is known by its first model."""
    return int(cluster[0])


def _in_order(clusters: list[Ints], runs: dict[int, Runs], bound: int) -> Plan:
    """All runs, the resident model's cluster first."""
    pieces = [runs[_key(cluster)] for cluster in clusters if _key(cluster) in runs]
    none = np.zeros(0, dtype=np.int64)
    models = np.concatenate([none, *(models for models, _ in pieces)])
    counts = np.concatenate([none, *(counts for _, counts in pieces)])
    return Plan(models, counts, bound)
