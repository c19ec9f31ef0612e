"""Exact by a MILP: a Boolean for each user with each model, and a row for each interval of time that matters.

Shares vary over time. A set of users is servable iff for every arrival r and every time t the users who arrive at r or
later need no more within [r, t] than t - r. A row says that for one (r, t). Rows are added when a solution breaks them;
a solution counts only after the test in integers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.slide.varying_shares import admit_in_order, edf_greedy
from pl_env.errors import MissingPackage
from pl_env.slide.dynamics import DOWNLOAD, N_STEPS, SHARE
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_GRID = 24
"""Rows at the start: so many due times of all, evenly, from time 0 on."""


@dataclass
class _Problem:
    """Pairs of users and models (P of them), and the rows so far.

    Attributes:
        user: int64 (P,).
        model: int64 (P,).
        arrival: int64 (P,).
        owner: int64 (S,), the pair of each step; steps by due time.
        due: int64 (S,), ascending.
        size: int64 (S,).
        committed: int64 (2, C), due times and sizes of what was promised before.
        rows: Coefficients and right side of each row, and which (r, t) it is.
    """

    user: Ints
    model: Ints
    arrival: Ints
    owner: Ints
    due: Ints
    size: Ints
    committed: Ints
    rows: dict[Any, tuple[Floats, float]] = field(default_factory=dict)

    def demand(self, r: int, t: int) -> Ints:
        """What each pair needs within [r, t], int64 (P,)."""
        counted = (self.due <= t) & (self.arrival[self.owner] >= r)
        return np.bincount(self.owner[counted], self.size[counted], len(self.user)).astype(np.int64)

    def room(self, r: int, t: int) -> int:
        """What is left of [r, t] by what was promised before the start."""
        before = self.committed[1, self.committed[0] <= t].sum() if r == 0 else 0
        return int(t - r - before)

    def add_row(self, r: int, t: int) -> bool:
        """Add the row of an interval; False where it is there already."""
        if (r, t) in self.rows:
            return False
        room, demand = self.room(r, t), self.demand(r, t).astype(np.float64)
        scale = max(1.0, float(room))
        self.rows[r, t] = np.minimum(demand / scale, 2.0), room / scale
        return True

    def add_cover(self, r: int, t: int, chosen: NDArray[np.bool_]) -> None:
        """Forbid what breaks a row by less than floating point sees: not all of these pairs."""
        cover = chosen & (self.demand(r, t) > 0)
        self.rows[cover.tobytes()] = cover.astype(np.float64), float(cover.sum() - 1)

    def broken(self, weight: Floats | Ints) -> list[tuple[int, int]]:
        """For each arrival whose intervals are overfull, the fullest: (r, t), the worst first.

        Args:
            weight: (P,), how much of each pair is chosen; exact where these are integers.
        """
        used = weight[self.owner] * self.size
        found = []
        for r in np.unique(np.append(self.arrival[weight > 0], 0)):
            counted = (self.arrival[self.owner] >= r) & (used != 0)
            due, need = self.due[counted], np.cumsum(used[counted])
            if r == 0 and self.committed.size:
                before = np.append(0, np.cumsum(self.committed[1]))
                need = need + before[np.searchsorted(self.committed[0], due, side="right")]
                due = np.append(due, self.committed[0])
                total = np.append(0, np.cumsum(used[counted]))
                at = np.searchsorted(due[: len(need)], self.committed[0], side="right")
                need = np.append(need, total[at] + before[1:])
            excess = need - (due - r)
            if len(excess) and excess.max() > 0:
                worst = int(excess.argmax())
                found.append((-excess[worst], int(r), int(due[worst])))
        return [(r, t) for _, r, t in sorted(found)]


def exact(instance: Instance, *, time_limit: float = 60.0) -> Plan:
    """Most users served with shares that vary over time.

    Args:
        instance: The instance.
        time_limit: Seconds after which the best plan so far counts, with the bound that is proven.

    Raises:
        MissingPackage: SciPy is not installed.
    """
    end = time.perf_counter() + time_limit
    best = edf_greedy(instance)
    pairs, steps = instance.pairs_and_steps()
    problem = _problem(instance, pairs, steps)
    bound = len(np.unique(problem.user))
    if best.served < bound:
        _start_rows(problem)
    while best.served < bound and (left := end - time.perf_counter()) > 0:
        chosen, proven = _solve(problem, left)
        bound = min(bound, proven)
        if chosen is None:
            continue
        candidate = _repaired(instance, problem, pairs, steps, chosen)
        if (candidate >= 0).sum() > best.served:
            best = Plan.from_models(instance, candidate)
        for r, t in problem.broken(chosen.astype(np.int64)):
            if not problem.add_row(r, t):
                problem.add_cover(r, t, chosen)
    status = "optimal" if best.served >= bound else "feasible"
    ratio = bound / instance.n_users if instance.n_users else 0.0
    return Plan.from_models(instance, best.models, status=status, bound=ratio)


def _problem(instance: Instance, pairs: Ints, steps: Ints) -> _Problem:
    """All pairs that can be served alone, without those that need more than another of the same user at any time."""
    kept = [
        (k, i)
        for k in range(instance.n_users)
        for i in np.flatnonzero(pairs[k, :, SHARE])
        if not any(
            _is_dominated(steps[k, i, :, : pairs[k, i, N_STEPS]], steps[k, j, :, : pairs[k, j, N_STEPS]], bool(i < j))
            for j in np.flatnonzero(pairs[k, :, SHARE])
            if i != j and pairs[k, j, DOWNLOAD] <= pairs[k, i, DOWNLOAD]
        )
    ]
    counts = [int(pairs[k, i, N_STEPS]) for k, i in kept]
    due = np.concatenate([steps[k, i, 0, :n] for (k, i), n in zip(kept, counts, strict=True)] or [np.zeros(0, int)])
    size = np.concatenate([steps[k, i, 1, :n] for (k, i), n in zip(kept, counts, strict=True)] or [np.zeros(0, int)])
    order = np.argsort(due, kind="stable")
    user, model = np.array(kept, dtype=np.int64).reshape(-1, 2).T
    owner = np.repeat(np.arange(len(kept)), counts)[order]
    committed = np.stack([instance.committed_due_ns, instance.committed_rest_ns])
    return _Problem(user, model, instance.arrival_ns[user], owner, due[order], size[order], committed)


def _is_dominated(steps: Ints, other: Ints, is_before: bool) -> bool:
    """Whether another model of the same user never needs more; of two that need the same the first counts."""
    need, needs_other = np.append(0, np.cumsum(steps[1])), np.cumsum(other[1])
    here = need[np.searchsorted(steps[0], other[0], side="right")]
    if not bool((needs_other <= here).all()):
        return False
    return not (is_before and np.array_equal(steps, other))


def _start_rows(problem: _Problem) -> None:
    for place in np.linspace(0, len(problem.due) - 1, _GRID).astype(int):
        problem.add_row(0, int(problem.due[place]))


def _solve(problem: _Problem, time_limit: float) -> tuple[NDArray[np.bool_] | None, int]:
    """The best choice of pairs under the rows so far, None if there was no time; and a bound."""
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError:
        raise MissingPackage("the solver 'exact' needs SciPy: pip install 'pl-env[exact]'") from None
    n = len(problem.user)
    once = csr_array((np.ones(n), (problem.user, np.arange(n))), shape=(int(problem.user.max()) + 1, n))
    coefficients = np.stack([row for row, _ in problem.rows.values()])
    sides = np.array([side for _, side in problem.rows.values()])
    result = milp(
        -np.ones(n),
        integrality=np.ones(n),
        bounds=Bounds(0, 1),
        constraints=[LinearConstraint(once, ub=1), LinearConstraint(coefficients, ub=sides)],
        options={"time_limit": time_limit, "mip_rel_gap": 0.0},
    )
    bound = int(np.floor(1e-6 - result.mip_dual_bound)) if result.mip_dual_bound is not None else n
    return (None if result.x is None else result.x > 0.5), bound


def _repaired(instance: Instance, problem: _Problem, pairs: Ints, steps: Ints, chosen: NDArray[np.bool_]) -> Ints:
    """The chosen pairs, those of less download first, as far as all are in time."""
    models = np.full(instance.n_users, -1, dtype=np.int64)
    models[problem.user[chosen]] = problem.model[chosen]
    users = problem.user[chosen]
    order = users[np.argsort(pairs[users, models[users], DOWNLOAD], kind="stable")]
    return admit_in_order(instance, pairs, steps, models, order)
