"""Joining frontiers, against trying all splits of the users."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from baselines.partial_loading.frontier import Frontiers, extend, extend_and_choose, extended_reach, join_all, split


def random_frontier(rng: np.random.Generator, most: int) -> np.ndarray:
    """Ascending, with ties, 0 for nobody."""
    return np.concatenate([[0], np.sort(rng.integers(0, 20, size=int(rng.integers(0, most + 1))))])


def least_time(parts: list[np.ndarray], n_users: int) -> float:
    """By trying all splits; infinite where there are none."""
    splits = itertools.product(*(range(len(part)) for part in parts))
    times = [sum(int(part[u]) for part, u in zip(parts, s, strict=True)) for s in splits if sum(s) == n_users]
    return min(times, default=float("inf"))


@pytest.mark.parametrize("fewest", [0, 2])
def test_a_newcomer(fewest):
    """With its k > 0 users beside the others, who are ``fewest`` or more; the first of equal choices is kept."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        others = np.append(random_frontier(rng, 4), np.sort(rng.integers(20, 30, size=2)))
        cost, late = random_frontier(rng, 4)[1:], 1000
        least = np.full(len(others) + len(cost) + 1, late)
        least[0] = 0
        choice = np.zeros(len(least), dtype=np.int32)
        expected, chosen = least.tolist(), choice.tolist()
        for k, u in itertools.product(range(1, len(cost) + 1), range(fewest, len(others))):
            if others[u] + cost[k - 1] < expected[u + k]:
                expected[u + k], chosen[u + k] = others[u] + cost[k - 1], k
        plain = least.copy()
        extend(plain, others, fewest, len(others) - 1, cost)
        extend_and_choose(least, choice, others, fewest, len(others) - 1, cost)
        assert plain.tolist() == least.tolist() == expected
        assert choice.tolist() == chosen


def test_reach():
    least = np.array([0, 3, 5, 9, 10, 10])
    assert extended_reach(least, 0, 5, 9) == 3
    assert extended_reach(least, 1, 1, 9) == 2
    assert extended_reach(least, 1, 0, 9) == 1
    assert extended_reach(least, 1, 4, 2) == 1


def test_clusters_together_and_the_way_back():
    rng = np.random.default_rng(1)
    for _ in range(300):
        parts = [random_frontier(rng, 4) for _ in range(int(rng.integers(0, 5)))]
        budget = int(rng.integers(0, 50))
        start = np.cumsum([0, *map(len, parts)])
        frontiers = Frontiers(np.concatenate([np.zeros(0, dtype=np.int64), *parts]), start)
        joined = np.empty((len(parts) + 1, start[-1] - len(parts) + 1), dtype=np.int64)
        most = join_all(frontiers, budget, joined)
        for c, u in itertools.product(range(len(parts) + 1), range(joined.shape[1])):
            expected = least_time(parts[:c], u)
            assert joined[c, u] == expected if expected <= budget else joined[c, u] > budget
        assert most == max(u for u in range(joined.shape[1]) if least_time(parts, u) <= budget)
        for n_users in range(most + 1):
            for time in (joined[-1, n_users], budget):
                counts = np.full(len(parts), -1)
                split(frontiers, joined, n_users, time, counts)
                assert counts.sum() == n_users
                assert sum(part[u] for part, u in zip(parts, counts, strict=True)) <= time


def test_the_last_clusters_serve_the_fewest():
    """{0, 4, 4, 6} and {0, 2, 2} serve 3 users in 6, as 3 + 0, 2 + 1 or 1 + 2, and 4 users as 2 + 2 alone."""
    frontiers = Frontiers(np.array([0, 4, 4, 6, 0, 2, 2]), np.array([0, 4, 7]))
    joined = np.empty((3, 6), dtype=np.int64)
    assert join_all(frontiers, 10, joined) == 5
    counts = np.zeros(2, dtype=np.int64)
    split(frontiers, joined, 3, 6, counts)
    assert counts.tolist() == [3, 0]
    split(frontiers, joined, 4, 6, counts)
    assert counts.tolist() == [2, 2]
