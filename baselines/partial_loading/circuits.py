"""Clusters too large for Held-Karp, as one constraint program for OR-Tools' CP-SAT.

A circuit per cluster runs from "nothing of this cluster loaded" through the models that are served and back; a model
that is not served loops onto itself. An arc costs what the second model loads after the first. One Boolean per model
and number of users carries the run's upload and compute time. All times are the instance's own integer nanoseconds, so
an optimum that CP-SAT proves is an optimum of the instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.runs import Plan, Problem
from pl_env.errors import MissingPackage

Ints = NDArray[np.int64]

_INSTALL = (
    "solver 'exact' needs OR-Tools for clusters of that many models; install it with: pip install 'pl-env[exact]'"
)


@dataclass(frozen=True)
class Search:
    """What CP-SAT found.

    Attributes:
        served: Users served; -1 where it found no schedule in time.
        runs: The models and counts of each cluster's runs, in order, int64.
        n_others: Users served by the other, small clusters.
        upper_bound: No schedule serves more users.
    """

    served: int
    runs: list[tuple[Ints, Ints]]
    n_others: int
    upper_bound: int


@dataclass
class _Terms:
    """Weighted Booleans: an expression under construction."""

    literals: list[Any] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)

    def add(self, literal: Any, weight: int) -> Any:
        self.literals.append(literal)
        self.weights.append(weight)
        return literal


def search(
    problem: Problem,
    clusters: Sequence[Ints],
    others: Ints,
    start: Plan,
    *,
    time_limit: float,
    workers: int,
    gap: float,
    seed: int,
) -> Search:
    """Serve the most users with the given clusters and the frontier of all others.

    Args:
        problem: The prepared instance.
        clusters: The models of each cluster, those that can be served.
        others: int64 (U + 1,), least nanoseconds in which the other clusters serve 0 … U users; more than the deadline
            where they cannot.
        start: A plan to start from.
        time_limit: Seconds.
        workers: Threads of CP-SAT's portfolio.
        gap: Stop when the bound is at most this fraction above the plan.
        seed: Seed of CP-SAT.

    Raises:
        MissingPackage: OR-Tools is not installed.
    """
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise MissingPackage(_INSTALL) from None
    model = cp_model.CpModel()
    time, users = _Terms(), _Terms()
    count_of_model = dict(zip(start.models.tolist(), start.counts.tolist(), strict=True))
    circuits = [_add_circuit(model, problem, cluster, count_of_model, time, users) for cluster in clusters]
    deadline_ns = problem.instance.deadline_ns
    in_time = {w: nanoseconds for w, nanoseconds in enumerate(others.tolist()) if nanoseconds <= deadline_ns}
    other_counts = _add_others(model, in_time, count_of_model, clusters, time, users)
    model.add(cp_model.LinearExpr.weighted_sum(time.literals, time.weights) <= deadline_ns)
    model.maximize(cp_model.LinearExpr.weighted_sum(users.literals, users.weights))

    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = time_limit
    solver.parameters.num_workers = workers
    solver.parameters.relative_gap_limit = gap
    solver.parameters.random_seed = seed
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Search(-1, [], 0, problem.instance.n_users)
    runs = [_runs(solver, circuit) for circuit in circuits]
    n_others = next(w for w, literal in other_counts.items() if solver.boolean_value(literal))
    served = n_others + sum(int(counts.sum()) for _, counts in runs)
    return Search(served, runs, n_others, int(np.floor(solver.best_objective_bound + 1e-6)))


@dataclass(frozen=True)
class _Circuit:
    """The Booleans of one cluster: (model, next model) and (model, number of users); -1 stands for the start."""

    arcs: dict[tuple[int, int], Any]
    counts: dict[tuple[int, int], Any]


def _add_circuit(
    model: Any, problem: Problem, cluster: Ints, count_of_model: dict[int, int], time: _Terms, users: _Terms
) -> _Circuit:
    """Booleans and constraints of one cluster, with the starting plan as a hint."""
    instance, first_user = problem.instance, problem.first_user
    members = cluster.tolist()
    order = [i for i in count_of_model if i in set(members)]
    hinted = set(zip([-1, *order], [*order, -1], strict=True)) if order else set()
    counts, arcs = {}, {}
    is_empty = model.new_bool_var("")
    model.add_hint(is_empty, not order)
    node = {i: n + 1 for n, i in enumerate(members)} | {-1: 0}
    circuit = [(0, 0, is_empty)]
    for i in members:
        run_ns = problem.run_ns[first_user[i] : first_user[i + 1]].tolist()
        for k, nanoseconds in enumerate(run_ns, start=1):
            if nanoseconds <= instance.deadline_ns:
                counts[i, k] = users.add(time.add(model.new_bool_var(""), nanoseconds), k)
                model.add_hint(counts[i, k], count_of_model.get(i) == k)
        is_left_out = model.new_bool_var("")
        model.add_hint(is_left_out, i not in count_of_model)
        model.add_exactly_one([is_left_out, *(counts[i, k] for k in range(1, len(run_ns) + 1) if (i, k) in counts)])
        model.add_implication(is_empty, is_left_out)  # else the circuit could leave out the start and its load
        circuit.append((node[i], node[i], is_left_out))
    for a in (-1, *members):
        for i in (-1, *members):
            if a != i:
                arcs[a, i] = model.new_bool_var("")
                model.add_hint(arcs[a, i], (a, i) in hinted)
                circuit.append((node[a], node[i], arcs[a, i]))
                if i >= 0:
                    time.add(arcs[a, i], int(instance.load_ns[instance.resident if a < 0 else a, i]))
    model.add_circuit(circuit)
    return _Circuit(arcs, counts)


def _add_others(
    model: Any,
    least_ns: dict[int, int],
    count_of_model: dict[int, int],
    clusters: Sequence[Ints],
    time: _Terms,
    users: _Terms,
) -> dict[int, Any]:
    """One Boolean for each number of users that the other clusters may serve; their least time is known."""
    in_circuits = {i for cluster in clusters for i in cluster.tolist()}
    hinted = sum(count for i, count in count_of_model.items() if i not in in_circuits)
    counts = {}
    for w, nanoseconds in least_ns.items():
        counts[w] = users.add(time.add(model.new_bool_var(""), nanoseconds), w)
        model.add_hint(counts[w], w == hinted)
    model.add_exactly_one(counts.values())
    return counts


def _runs(solver: Any, circuit: _Circuit) -> tuple[Ints, Ints]:
    """Models and counts along a circuit."""
    following = {a: i for (a, i), literal in circuit.arcs.items() if solver.boolean_value(literal)}
    count_of_model = {i: k for (i, k), literal in circuit.counts.items() if solver.boolean_value(literal)}
    models = []
    i = following.get(-1, -1)
    while i >= 0:
        models.append(i)
        i = following[i]
    counts = [count_of_model[i] for i in models]
    return np.array(models, dtype=np.int64), np.array(counts, dtype=np.int64)
