from __future__ import annotations

import numpy as np
import pytest

import agents
import pl_env


def test_one_scenario_draws_its_own_episodes(tiny):
    instances = agents.Family(tiny).sample(np.random.default_rng(3), 4)
    rng = np.random.default_rng(3)
    assert instances == [tiny.sample(rng) for _ in range(4)]


def test_any_library_differs_in_everything():
    family = agents.Family.named("any-library")
    instances = family.sample(np.random.default_rng(0), 24)
    assert len({id(instance.table) for instance in instances}) == 3
    assert len({instance.deadline_ns for instance in instances}) == 24
    assert all(0.4e9 <= instance.deadline_ns <= 0.9e9 for instance in instances)
    assert all(40 <= instance.n_users <= 120 for instance in instances)
    assert all(instance.table.clusters is not None for instance in instances)
    assert not family.is_one_scenario


def test_ranges_are_checked(tiny):
    with pytest.raises(pl_env.InvalidValue, match=r"deadline\[1\] is 0.4"):
        agents.Family(tiny, deadline=(0.5, 0.4))
    with pytest.raises(pl_env.UnknownName, match="there is no preset 'nowhere'"):
        agents.Family.named("nowhere")


def test_what_is_overridden_is_not_drawn():
    family = agents.Family.named("any-library", deadline=0.5, theta=0.8)
    assert family.deadline is None
    assert family.theta is None
    assert {instance.deadline_ns for instance in family.sample(np.random.default_rng(0), 4)} == {500_000_000}
    assert agents.Family.named("any-library", resample_library=False).theta is None


def test_a_pair_is_a_range_that_is_drawn_from():
    family = agents.Family.named("bls", deadline=(0.5, 0.6), n_users=3)
    assert family == agents.Family(pl_env.Scenario(n_users=3), deadline=(0.5, 0.6))
    assert agents.Family.named("any-library", theta=(0.8, 0.9)).theta == (0.8, 0.9)
    with pytest.raises(pl_env.InvalidValue, match=r"theta is \(0.8, 0.9\); it must be None unless"):
        agents.Family.named("any-library", theta=(0.8, 0.9), resample_library=False)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"deadline": 0.5}, "deadline is 0.5; it must be a pair"),
        ({"theta": (0.5, 2)}, r"theta\[1\] is 2"),
        ({"theta": (0.5, 0.6)}, "theta is .*; it must be None unless scenario.resample_library is True"),
    ],
)
def test_ranges_that_cannot_be(ranges, message):
    with pytest.raises(pl_env.InvalidValue, match=message):
        agents.Family(pl_env.Scenario(resample_library="theta[1]" in message), **ranges)
