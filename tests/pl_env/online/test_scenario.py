"""Scenarios: arrivals, drift, uploads on arrival, ranges, JSON, instances."""

from __future__ import annotations

import numpy as np
import pytest

from pl_env.errors import InvalidValue
from pl_env.online import Instance, Scenario
from tests import online_helpers as helpers


def users_of(n: int, **fields) -> list[Instance]:
    scenario = Scenario(**({"episode_seconds": 4.0} | fields))
    return [scenario.sample(np.random.default_rng(seed)) for seed in range(n)]


def test_poisson_arrivals():
    """K has mean and variance lambda · T, and gaps have coefficient of variation 1."""
    counts = np.array([one.n_users for one in users_of(400, arrivals="poisson", arrival_rate=50.0)])
    assert counts.mean() == pytest.approx(200, abs=4 * np.sqrt(200 / 400))
    assert counts.var() == pytest.approx(200, rel=0.3)
    gaps = np.concatenate([np.diff(one.arrival_ns) for one in users_of(50, arrivals="poisson", arrival_rate=50.0)])
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.05)


def test_bursty_arrivals():
    """Mean rate lambda; a quarter of the time is high, so seconds with 2.5 times and with half the rate are seen."""
    instances = users_of(300, episode_seconds=20.0, arrival_rate=40.0)
    counts = np.array([one.n_users for one in instances])
    assert counts.mean() == pytest.approx(800, abs=4 * counts.std() / np.sqrt(300))
    assert counts.std() / counts.mean() == pytest.approx(515 / 2434, rel=0.35)
    in_a_second = np.concatenate([np.bincount(one.arrival_ns // 10**9, minlength=20) for one in instances])
    assert np.quantile(in_a_second, 0.97) > 2.2 * 40
    assert np.median(in_a_second) < 0.9 * 40


def test_diurnal_arrivals():
    """Shifted to the same phase, the busiest quarter has 1 + 0.7 · 0.9 times the mean, the calmest 1 - 0.7 · 0.9."""
    shares = []
    for one in users_of(300, arrivals="diurnal", arrival_rate=100.0):
        quarters = np.bincount(one.arrival_ns // 10**9, minlength=4)
        shares.append(np.sort(quarters) / quarters.sum() * 4)
    assert np.mean(shares, axis=0)[3] == pytest.approx(1.55, abs=0.1)
    assert np.mean(shares, axis=0)[0] == pytest.approx(0.45, abs=0.1)


def test_requests_follow_zipf_with_ranks_of_their_own():
    weights = np.arange(1, 51) ** -0.9
    expected = weights / weights.sum()
    found, first = np.zeros(50), []
    for one in users_of(200, arrivals="poisson", arrival_rate=500.0):
        asked = np.bincount(one.requested_model, minlength=50)
        found += np.sort(asked / asked.sum())[::-1] / 200
        first.append(int(asked.argmax()))
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert len(set(first)) > 30


def test_drift_swaps_ranks():
    """Without drift the most popular model stays so; with many swaps it loses its place."""
    kept = {}
    for drift in (0.0, 20.0):
        same = []
        for one in users_of(60, arrivals="poisson", arrival_rate=500.0, drift=drift):
            half = one.n_users // 2
            first, second = one.requested_model[:half], one.requested_model[half:]
            same.append(np.bincount(first).argmax() == np.bincount(second).argmax())
        kept[drift] = np.mean(same)
    assert kept[0.0] > 0.95
    assert kept[20.0] < 0.5


def test_deadlines_and_caps():
    for one in users_of(20):
        relative = one.deadline_ns - one.arrival_ns
        assert relative.min() >= 200_000_000
        assert relative.max() <= 600_000_000
        assert 1 <= one.n_users <= 2.5 * 120 * 4
    few = users_of(300, arrival_rate=0.5, episode_seconds=2.0)
    assert {one.n_users for one in few} == {1, 2}


def test_uploads_on_arrival():
    for one, before in zip(
        users_of(5, upload="on-arrival", bandwidth_hz=20e6), users_of(5, bandwidth_hz=20e6), strict=True
    ):
        np.testing.assert_array_equal(one.arrival_ns, before.arrival_ns)
        free = 0
        for k in range(one.n_users):
            free = max(free, int(one.arrival_ns[k]))
            if free + before.upload_ns[k] <= one.deadline_ns[k]:
                free += int(before.upload_ns[k])
                assert one.upload_ns[k] == 0
            else:
                assert one.upload_ns[k] == before.upload_ns[k]
            assert one.ready_ns[k] == free


def test_two_generators_in_the_same_state_draw_the_same():
    scenario, one, other = Scenario(episode_seconds=1.0), np.random.default_rng(5), np.random.default_rng(5)
    assert scenario.sample(one) == scenario.sample(other)
    assert one.random() == other.random()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"arrivals": "weekly"}, "arrivals is 'weekly'; it must be one of 'bursty', 'poisson', 'diurnal'"),
        ({"arrival_rate": 0}, "arrival_rate is 0; it must be a finite number above 0"),
        ({"episode_seconds": -1}, "episode_seconds is -1"),
        ({"arrival_rate": 1e5}, "arrival_rate · episode_seconds is 2000000.0"),
        ({"drift": -1}, "drift is -1; it must be a finite number at least 0"),
        ({"relative_deadline": 0.2}, "relative_deadline is 0.2; it must be a range (low, high)"),
        ({"relative_deadline": (0.5, 0.2)}, "relative_deadline[1] is 0.2; it must be a finite number at least 0.5"),
        ({"cache_bytes": 10**7}, "cache_bytes is 10000000; it must be at least"),
        ({"eviction": "fifo"}, "eviction is 'fifo'"),
        ({"upload": "never"}, "upload is 'never'"),
        ({"overlap": "compute"}, "overlap is 'compute'"),
        ({"fading": "batch"}, "fading is 'batch'; it must be one of 'episode'"),
        ({"n_models": 0}, "n_models is 0"),
        ({"link_loss_db": -1}, "link_loss_db is -1"),
    ],
)
def test_mistakes(fields, sentence):
    with pytest.raises(InvalidValue) as caught:
        Scenario(**fields)
    assert sentence in str(caught.value)


def test_previous_needs_no_memory():
    assert Scenario(eviction="previous", cache_bytes=0).cache_bytes == 0


def test_instances_that_are_wrong():
    instance = helpers.tiny([(0, 0), (10, 1)])
    for fields, sentence in (
        ({"cache_bytes": 10**8}, "cache_bytes is 100000000; it must be at least 120000000, the largest model"),
        ({"arrival_ns": instance.arrival_ns[::-1], "ready_ns": instance.ready_ns[::-1]}, "ascending"),
        ({"ready_ns": instance.ready_ns - 1}, "at or after arrival_ns"),
        ({"upload_ns": -instance.upload_ns}, "min(upload_ns) is -100000"),
        ({"requested_model": [0, 3]}, "max(requested_model) is 3"),
        (
            {"resident_blocks": [True, True, True, True]},
            "bytes of resident_blocks is 200000000; it must be at most 180000000",
        ),
        ({"deadline_ns": [1]}, "len(deadline_ns) is 1; it must be 2"),
        ({"last_used": [1, 0, 0, 0]}, "max(last_used) is 1"),
        ({"eviction": "fifo"}, "eviction is 'fifo'"),
    ):
        with pytest.raises(InvalidValue) as caught:
            helpers.changed(instance, **fields)
        assert sentence in str(caught.value)
