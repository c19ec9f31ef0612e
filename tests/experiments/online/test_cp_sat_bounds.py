"""CP-SAT's bounds against optima."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import baselines
from experiments.online import cp_sat_bounds
from experiments.online.cp_sat_bounds import Arguments, bound_by_visits, bound_by_windows, short
from pl_env.errors import InvalidValue
from pl_env.online import Scenario, benchmark

BUSY = Scenario.preset("tiny", relative_deadline=(0.1, 0.2), episode_seconds=0.2, arrival_rate=30.0)
"""About six users, of whom some cannot be served."""

BOUNDS = (bound_by_visits, bound_by_windows)


def test_no_bound_is_below_an_optimum():
    """On the whole set; that of visits leaves out so little that it finds each optimum."""
    of_set = benchmark("online-tiny-100")
    assert len(of_set.instances) == 100
    for instance, optimum in zip(of_set.instances, of_set.served.tolist(), strict=True):
        assert bound_by_visits(instance, work=2.0) == optimum
        assert bound_by_windows(instance, work=2.0) >= optimum


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eviction": "lru", "cache_bytes": 120_000_000},
        {"upload": "on-arrival", "upload_bits": 4e7},
        {"cache_bytes": 140_000_000, "upload_bits": 4e7},
    ],
)
def test_they_hold_in_the_middle_of_episodes_too(options, monkeypatch):
    """With blocks in memory at the start; and where stays are free after the first, and windows fine."""
    monkeypatch.setattr(cp_sat_bounds, "STAYS", 1)
    scenario, rng = BUSY.override(**options), np.random.default_rng(0)
    env = gym.make("PartialLoadingOnline-v0", scenario=scenario).unwrapped
    compared = binding = 0
    while compared < 10:
        env.reset(options={"instance": scenario.sample(rng)})
        for _ in range(int(rng.integers(0, 3))):
            if env.any_legal:
                env.step(int(np.flatnonzero(env.action_masks())[0]))
        instance = env.remaining()
        if not 1 <= instance.n_users <= 8:
            continue
        compared += 1
        optimum = baselines.solve(instance, "exhaustive-online").served
        for found in (bound_by_visits(instance, work=2.0), bound_by_windows(instance, work=2.0, grid_ns=20_000_000)):
            assert optimum <= found <= instance.n_users
            binding += found < instance.n_users
    assert binding > 0


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": "upload"}, "^overlap is 'upload'; it must be none$"),
        ({"eviction": "previous"}, "^eviction is 'previous'; it must be one with a cache$"),
    ],
)
def test_what_they_do_not_cover_is_refused(bound, options, message):
    with pytest.raises(InvalidValue, match=message):
        bound(BUSY.override(**options).sample(np.random.default_rng(0)), work=1.0)


def test_a_row_of_the_table():
    (row,) = short(Arguments(seconds=(0.05,), episodes=1, work=1.0))
    users, plan, *bounds = (int(row[name]) for name in list(row)[1:])
    assert len(bounds) == 4
    assert plan <= min(bounds) <= max(bounds) <= users
