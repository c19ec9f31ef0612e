"""The Lagrangean bound: valid at any prices and shares, against optima; and worth something where loads bind."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import baselines
from baselines.online.bounds import upper_bound
from baselines.online.relaxation import SLOT_NS, lagrangean_bound, relax
from baselines.online.visits import most_earned
from pl_env.online import Scenario, benchmark

TINY = Scenario.preset("tiny", relative_deadline=(0.1, 0.2), episode_seconds=0.2, arrival_rate=30.0)
"""Busier than the preset; about six users, of whom some cannot be served."""


def weak_dual(instance, pi, nu, shares):
    """The bound at given prices of slots (nu: of all memory)."""
    memory = (
        instance.cache_bytes if instance.eviction != "previous" else (instance.has_block @ instance.block_bytes).max()
    )
    paid, paid_for_shares = np.zeros((2, len(pi))), np.zeros(instance.n_models)
    earned = most_earned(relax(instance, shares), pi, nu / memory, paid, paid_for_shares)
    return earned + SLOT_NS / 1e9 * (pi.sum() + nu.sum())


def random_shares(instance, rng):
    shares = instance.has_block * rng.random(instance.has_block.shape) ** 3
    return shares / np.maximum(1e-12, shares.sum(axis=0))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eviction": "lru", "cache_bytes": 120_000_000},
        {"eviction": "previous"},
        {"overlap": "upload", "upload_bits": 4e7, "cache_bytes": 120_000_000},
        {"upload": "on-arrival", "upload_bits": 4e7},
        {"cache_bytes": 140_000_000, "upload_bits": 4e7},
    ],
)
def test_any_prices_give_a_bound(options):
    """Weak duality against the optimum, at prices from far too low to far too high."""
    scenario, rng = TINY.override(**options), np.random.default_rng(0)
    for _ in range(12):
        instance = scenario.sample(rng)
        if instance.n_users > 8:
            continue
        optimum = baselines.solve(instance, "exhaustive-online").served
        n_slots = int(instance.deadline_ns.max()) // SLOT_NS + 1
        for _ in range(40):
            pi, nu = (10 ** rng.uniform(-1, 2.5) * rng.random(n_slots) ** rng.integers(0, 4) for _ in range(2))
            bound = weak_dual(instance, pi, nu, random_shares(instance, rng))
            assert bound >= optimum - 1e-6
        found = lagrangean_bound(instance, iterations=30)
        assert optimum <= found <= upper_bound(instance)


def test_what_is_resident_at_the_start_is_free():
    """Instances that go on in the middle, with blocks in memory and users from before."""
    rng, scenario = np.random.default_rng(1), TINY
    env = gym.make("PartialLoadingOnline-v0", scenario=scenario).unwrapped
    compared = 0
    while compared < 10:
        env.reset(options={"instance": scenario.sample(rng)})
        for _ in range(int(rng.integers(1, 3))):
            if env.any_legal:
                env.step(int(np.flatnonzero(env.action_masks())[0]))
        instance = env.remaining()
        if not 1 <= instance.n_users <= 8 or not instance.resident_blocks.any():
            continue
        compared += 1
        optimum = baselines.solve(instance, "exhaustive-online").served
        n_slots = max(1, int(instance.deadline_ns.max()) // SLOT_NS + 1)
        for _ in range(20):
            pi, nu = (10 ** rng.uniform(-1, 2) * rng.random(n_slots) for _ in range(2))
            assert weak_dual(instance, pi, nu, random_shares(instance, rng)) >= optimum - 1e-6


def test_prices_of_nothing_count_everybody():
    instance = TINY.sample(np.random.default_rng(3))
    n_slots = int(instance.deadline_ns.max()) // SLOT_NS + 1
    free = np.zeros(n_slots)
    assert weak_dual(instance, free, free, random_shares(instance, np.random.default_rng(0))) <= upper_bound(instance)
    assert weak_dual(instance, free + 1e9, free, random_shares(instance, np.random.default_rng(0))) == pytest.approx(
        1e9 * n_slots * SLOT_NS / 1e9
    )


def test_two_loads_that_do_not_both_fit_by_hand():
    """Models 0 and 2 take 131.1 and 71.1 ms, loads included; both users come at 0, and their deadline is 190 ms.

    Time is 39 slots of 5 ms. At a price of a user for 131.1 ms model 0 earns nothing, and model 2 1 - 71.1 / 131.1:
    no plan serves more than 195 / 131.1 + 0.458 = 1.95 users. Each alone would be in time.
    """
    users = np.zeros((2, 5), dtype=np.int64)
    users[:, 0], users[:, 2], users[:, 3] = (0, 2), 190_000_000, 100_000
    instance = TINY.instance(users)
    prices, free = np.full(39, 1 / 0.1311), np.zeros(39)
    shares = instance.has_block * np.array([[1.0], [0.0], [1.0]])
    assert weak_dual(instance, prices, free, shares) == pytest.approx(195 / 131.1 + 1 - 71.1 / 131.1)
    assert upper_bound(instance) == 2
    assert lagrangean_bound(instance, iterations=200) == 1
    assert baselines.solve(instance, "exhaustive-online").served == 1


def test_no_certified_optimum_is_above():
    of_set = benchmark("online-tiny-100")
    for instance, served in list(zip(of_set.instances, of_set.served, strict=True))[::4]:
        assert lagrangean_bound(instance, iterations=10) >= served


def test_loads_bind_where_many_come():
    """Two seconds at 300/s: below what counts users alone, and above a plan that knows all arrivals."""
    instance = Scenario(arrival_rate=300.0, episode_seconds=2.0, arrivals="poisson").sample(np.random.default_rng(0))
    bound = lagrangean_bound(instance, iterations=60)
    assert bound < upper_bound(instance)
    assert bound >= baselines.solve(instance, "urgent-greedy").served


def test_nobody():
    instance = TINY.sample(np.random.default_rng(0))
    hopeless = TINY.instance(np.array([[0, 0, 1000, 0, 0]]))
    assert lagrangean_bound(hopeless) == upper_bound(hopeless) == 0
    assert lagrangean_bound(instance, iterations=1) <= instance.n_users
