"""Frontiers: the least time to serve u users, for every u, and how frontiers of models and clusters join.

A frontier is int64 (U + 1,), ascending, entry u for u users. Time is nanoseconds, or slots. What does not fit into the
budget holds more than the budget, often ``budget + 1``; adding to that never makes it fit. The frontier of models or
clusters together is the least sum, a knapsack: ``min over k of others[u - k] + own[k]``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled, inlined

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]


@inlined
def extend(least: Ints, others: Ints, fewest: int, reach: int, cost: Ints) -> None:
    """Let a newcomer serve k > 0 users besides others: ``least[u + k] = min(least[u + k], others[u] + cost[k - 1])``.

    The inner loop runs over the others without a branch: the compiler makes vector instructions of it.

    Args:
        least: int64 (reach + len(cost) + 1 or more,), the frontier so far, improved in place.
        others: int64 (reach + 1 or more,), the frontier without the newcomer; another array than ``least``.
        fewest: The others serve at least so many users.
        reach: The others serve at most so many users.
        cost: int64 (k,), time of the newcomer's 1 ... k users.
    """
    for k in range(1, len(cost) + 1):
        more, base = cost[k - 1], others[fewest : reach + 1]
        times = least[k + fewest : k + reach + 1]
        for v in range(len(base)):
            time = base[v] + more
            times[v] = min(time, times[v])


@inlined
def extend_and_choose(least: Ints, choice: SmallInts, others: Ints, fewest: int, reach: int, cost: Ints) -> None:
    """As `extend`, and note in ``choice[u]`` how many of u users are the newcomer's; the fewest of equals.

    ``choice`` is int32, as long as ``least``, and written where a time improves.
    """
    for k in range(1, len(cost) + 1):
        more, base = cost[k - 1], others[fewest : reach + 1]
        times, chosen = least[k + fewest : k + reach + 1], choice[k + fewest : k + reach + 1]
        for v in range(len(base)):
            time = base[v] + more
            better = time < times[v]
            times[v] = time if better else times[v]
            chosen[v] = k if better else chosen[v]


@inlined
def extended_reach(least: Ints, reach: int, more: int, budget: int) -> int:
    """The most users that fit, after as many as ``more`` have joined those that fitted before."""
    new_reach = reach
    for u in range(reach + 1, reach + more + 1):
        if least[u] <= budget:
            new_reach = u
    return new_reach


@inlined
def join(joined: Ints, others: Ints, reach: int, cost: Ints, budget: int) -> int:
    """Join the frontiers of two that share nothing.

    Args:
        joined: int64 (U + 1,) out.
        others: int64 (U + 1,), the frontier of one, past the budget beyond ``reach``; another array than ``joined``.
        reach: It serves at most so many users.
        cost: int64 (k,), time of the other's 1 ... k users.
        budget: Time there is.

    Returns:
        The most users that fit.
    """
    joined[:] = others
    extend(joined, others, 0, reach, cost)
    return extended_reach(joined, reach, len(cost), budget)


class Frontiers(NamedTuple):
    """The frontiers of C clusters, one after the other."""

    least: Ints  # (U_1 + 1 + U_2 + 1 + ...,)
    start: Ints  # (C + 1,) where each begins


@compiled
def join_all(frontiers: Frontiers, budget: int, joined: Ints) -> int:
    """Join the frontiers of clusters that share nothing.

    Args:
        frontiers: The frontiers.
        budget: Time there is.
        joined: int64 (C + 1, U + 1) out, U users in all: row c for the first c clusters together.

    Returns:
        The most users that fit.
    """
    least, start = frontiers
    most = 0
    joined[0] = budget + 1
    joined[0, 0] = 0
    for c in range(len(start) - 1):
        most = join(joined[c + 1], joined[c], most, least[start[c] + 1 : start[c + 1]], budget)
    return most


@compiled
def split(frontiers: Frontiers, joined: Ints, n_users: int, time: int, counts: Ints) -> None:
    """How many users each cluster serves so that all together serve so many within a time; fewest of the last ones.

    Args:
        frontiers: The frontiers.
        joined: What `join_all` made of them.
        n_users: Users to serve.
        time: Time they may take, at least ``joined[-1, n_users]``.
        counts: int64 (C,) out, users of each cluster.
    """
    least, start = frontiers
    for c in range(len(counts) - 1, -1, -1):
        own, count = least[start[c] : start[c + 1]], 0
        while joined[c, n_users - count] + own[count] > time:
            count += 1
        counts[c] = count
        n_users -= count
        time -= own[count]
