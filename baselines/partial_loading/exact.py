"""`exact`: certified optima for models that share blocks in any way.

Models that share a block, directly or through other models, form a cluster. Clusters share nothing, so by the triangle
inequality of affine loading an optimum serves one after the other, the resident model's first. Small clusters give
their frontier, the least time to serve u users, by Held-Karp, and their frontiers join in a knapsack. Larger clusters
go to CP-SAT, together with the joined frontier of the small ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.bounds import label_clusters, upper_bound
from baselines.partial_loading.circuits import search
from baselines.partial_loading.frontier import Frontiers, join_all, split
from baselines.partial_loading.held_karp import cluster_frontier, cluster_plan
from baselines.partial_loading.local_search import local_search
from baselines.partial_loading.runs import Plan, Problem, usable_users
from pl_env.partial_loading.instance import Instance

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
        MissingPackage: A cluster is too large for Held-Karp, and OR-Tools is not installed.
    """
    instance = problem.instance
    clusters = sharing_clusters(problem)
    small = [cluster for cluster in clusters if len(cluster) <= HELD_KARP_MODELS]
    large = [cluster for cluster in clusters if len(cluster) > HELD_KARP_MODELS]
    others = _SmallClusters(problem, small)
    if not large:
        return _in_order(clusters, others.runs(others.most), others.most)

    start = local_search(problem, seed=seed)
    served = int(start.counts.sum())
    bound = served if served == instance.n_users else upper_bound(problem)
    if bound <= served * (1 + gap):
        return Plan(start.models, start.counts, bound)
    found = search(problem, large, others.least_ns, start, time_limit=time_limit, workers=workers, gap=gap, seed=seed)
    bound = min(bound, found.upper_bound)
    if found.served <= served:
        return Plan(start.models, start.counts, bound)
    runs = others.runs(found.n_others)
    return _in_order(clusters, runs | dict(zip(map(_key, large), found.runs, strict=True)), bound)


def exact_why_not(instance: Instance) -> str | None:
    """It needs affine loading."""
    if instance.table.affine:
        return None
    return "exact needs affine loading times, V(s) = c0·[s > 0] + s / rate; use 'local-search'"


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


class _SmallClusters:
    """Clusters that Held-Karp solves, together.

    Attributes:
        most: The most users that they can serve within the deadline.
        least_ns: int64 (U + 1,), least nanoseconds in which they serve so many users; more than the deadline where they
            cannot.
    """

    def __init__(self, problem: Problem, clusters: list[Ints]) -> None:
        self._table, self._clusters = problem.run_table, clusters
        solved = [cluster_frontier(self._table, cluster) for cluster in clusters]
        self._attained_by = [sets for _, sets in solved]
        least_ns = np.concatenate([np.zeros(0, dtype=np.int64), *(least_ns for least_ns, _ in solved)])
        start = np.cumsum([0, *(len(least_ns) for least_ns, _ in solved)])
        self._frontiers = Frontiers(least_ns, start)
        self._joined_ns = np.empty((len(clusters) + 1, start[-1] - len(clusters) + 1), dtype=np.int64)
        self.most = join_all(self._frontiers, problem.instance.deadline_ns, self._joined_ns)
        self.least_ns = self._joined_ns[-1]

    def runs(self, n_users: int) -> dict[int, Runs]:
        """The runs with which they serve so many users in the least time, by cluster."""
        counts = np.zeros(len(self._clusters), dtype=np.int64)
        split(self._frontiers, self._joined_ns, n_users, self.least_ns[n_users], counts)
        return {
            _key(cluster): cluster_plan(self._table, cluster, sets[count], count)
            for cluster, sets, count in zip(self._clusters, self._attained_by, counts.tolist(), strict=True)
            if count
        }


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
