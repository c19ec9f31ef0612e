"""What actions are worth by `local-search`, where no planner knows it exactly: any sharing, channels that stay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.action_values import ILLEGAL
from baselines.partial_loading.local_search import local_search
from baselines.partial_loading.runs import Plan, Problem, prepare
from pl_env.partial_loading.episodes import Episodes

UNKNOWN_BELOW = 1.0
"""Users below the best known action that an action counts which was not looked at."""


def searched_values(
    episodes: Episodes,
    candidates: NDArray[np.int64],
    seed: int = 0,
    iterations: int | None = None,
    rows: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Values like those of `action_values`: users served from here on, and the part that is left over of the time.

    The search plans from every state, and again after every candidate; an action that it did not come upon counts as
    worse than the best by a user.

    Args:
        episodes: The episodes.
        candidates: int64 (N, C), actions to value; -1 for none.
        seed: Seed of the search.
        iterations: Of `local_search`, for each plan.
        rows: Episodes whose values are asked for; all that run unless given.

    Returns:
        float32 (N, I · b_cap), `ILLEGAL` where an action is not legal or its value is not asked for.
    """
    mask = episodes.mask
    values = np.full(mask.shape, ILLEGAL, dtype=np.float32)
    running = np.flatnonzero(episodes.running) if rows is None else rows
    batch_cap = episodes.observations["batch_time"].shape[2]
    found = [_search(episodes, n, seed, iterations) for n in running.tolist()]
    per_user = np.ones(len(values))
    for n, (problem, plan) in zip(running.tolist(), found, strict=True):
        value, left_ns = _worth(problem, plan)
        per_user[n] = (problem.instance.deadline_ns - left_ns) / max(1, value)
        values[n] = np.where(mask[n], 0.0, ILLEGAL)
        if value > 0:
            size = min(int(plan.counts[0]), int(problem.batch_limit[plan.models[0]]), batch_cap)
            values[n, plan.models[0] * batch_cap + size - 1] = value + _part(left_ns, per_user[n])
    wanted = candidates >= 0
    places, actions = np.nonzero(wanted)[0], candidates[wanted]
    new = values[places, actions] == 0
    places, actions = places[new], actions[new]
    after = episodes.branch(places)
    after.step(actions)
    for branch, (n, action) in enumerate(zip(places.tolist(), actions.tolist(), strict=True)):
        value, left_ns = _worth(*_search(after, branch, seed, iterations))
        values[n, action] = action % batch_cap + 1 + value + _part(left_ns, per_user[n])
    known = values > 0
    best = values.max(axis=1, keepdims=True)
    return np.where(mask & ~known, np.maximum(0, best - UNKNOWN_BELOW), values)


def _search(episodes: Episodes, n: int, seed: int, iterations: int | None) -> tuple[Problem, Plan]:
    problem = prepare(episodes.remaining(n))
    return problem, local_search(problem, seed, iterations)


def _worth(problem: Problem, plan: Plan) -> tuple[int, int]:
    """Users that a plan serves and nanoseconds that it leaves."""
    left_ns, resident = problem.instance.deadline_ns, problem.instance.resident
    for model, count in zip(plan.models.tolist(), plan.counts.tolist(), strict=True):
        left_ns -= int(problem.instance.load_ns[resident, model])
        left_ns -= int(problem.run_ns[problem.first_user[model] + count - 1])
        resident = model
    return int(plan.counts.sum()), left_ns


def _part(left_ns: int, per_user_ns: float) -> float:
    """The part of one user more that the time left over is worth."""
    return float(min(0.999, left_ns / max(1.0, per_user_ns)))
