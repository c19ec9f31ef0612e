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
    rng = np.random.default_rng(0)
    calls = [family.sample(rng, 24) for _ in range(8)]
    assert all(len({id(instance.table) for instance in instances}) == 3 for instances in calls)
    assert all(len({instance.n_models for instance in instances}) == 1 for instances in calls), "played side by side"
    assert all(len({instance.unit_upload_ns for instance in instances}) == 3 for instances in calls)
    every = [instance for instances in calls for instance in instances]
    assert len({instance.deadline_ns for instance in every}) == len(every)
    assert all(0.3e9 <= instance.deadline_ns <= 0.9e9 for instance in every)
    assert all(20 <= instance.n_users <= 200 for instance in every)
    assert all(10 <= instance.n_models <= 100 for instance in every)
    bandwidths = [family.scenario.upload_bits * 1e9 / instance.unit_upload_ns for instance in every]
    assert all(20e6 <= bandwidth <= 400e6 for bandwidth in bandwidths)
    assert np.median(bandwidths) < 150e6, "logarithms are drawn"
    clustered = [instance.table.clusters is not None for instance in every]
    assert any(clustered)
    assert not all(clustered)
    assert not family.is_one_scenario


def test_every_way_of_sharing_has_a_family_of_its_own():
    family = agents.Family.named("any-library", theta=0.5)
    bottom, anywhere = family.kinds()
    assert (bottom.sharing, anywhere.sharing) == (("bls",), ("general",))
    rng = np.random.default_rng(0)
    assert all(instance.table.clusters is not None for instance in bottom.sample(rng, 9))
    assert any(instance.table.clusters is None for instance in anywhere.sample(rng, 9))
    assert agents.Family.named("bls").kinds() == [agents.Family.named("bls")]


def test_libraries_of_few_backbones_have_one_to_all_of_them():
    family = agents.Family(
        pl_env.Scenario(resample_library=True, n_models=6), few_backbones=True, episodes_per_library=1
    )
    clusters = {
        int(instance.table.clusters.cluster.max()) + 1 for instance in family.sample(np.random.default_rng(0), 30)
    }
    assert clusters == {1, 2, 3}


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
        ({"n_models": (5, 6)}, "n_models is .*; it must be None unless scenario.resample_library is True"),
        ({"few_backbones": True}, "few_backbones is .*; it must be None unless scenario.resample_library is True"),
        ({"bandwidth_hz": (2e6, 1e6)}, r"bandwidth_hz\[1\] is 1000000.0"),
        ({"sharing": ("bls", "none")}, "sharing"),
    ],
)
def test_ranges_that_cannot_be(ranges, message):
    with pytest.raises(pl_env.InvalidValue, match=message):
        agents.Family(pl_env.Scenario(resample_library="theta[1]" in message), **ranges)
