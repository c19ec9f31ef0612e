"""Schedules: what their batches say, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
import pl_env
from tests import helpers


@pytest.fixture(scope="module")
def schedule() -> pl_env.Schedule:
    """Two users of model 1 with uploads of 1 and 3 ms, then one of model 0: load 120 and 20 ms, compute 12 and 11."""
    return pl_env.Schedule(
        history=np.array([[1, 2, 4, 120, 12, 136], [0, 1, 2, 20, 11, 169]]) * np.array([1, 1, *[1_000_000] * 4]),
        users=np.array([4, 2, 0]),
        user_upload_ns=np.array([1_000_000, 3_000_000, 2_000_000]),
        n_users=5,
        solver="by hand",
    )


def test_batches(schedule):
    first, second = schedule.batches
    assert first == pl_env.Batch(1, (4, 2), (0.25, 0.75), 0.004, 0.120, 0.012, 0.136)
    assert second == pl_env.Batch(0, (0,), (1.0,), 0.002, 0.020, 0.011, 0.169)
    assert isinstance(first.model, int)
    assert isinstance(first.users[0], int)
    assert isinstance(first.finish_seconds, float)


def test_totals(schedule):
    assert len(schedule) == 2
    assert (schedule.served, schedule.served_ratio) == (3, 0.6)
    assert (schedule.finish_seconds, schedule.finish_ns) == (0.169, 169_000_000)
    assert schedule.batch_start.tolist() == [0, 2, 3]
    assert str(schedule) == "by hand: 3 of 5 users served in 2 batches, done after 169.0 ms (feasible)"


def test_actions(schedule):
    """Action = model · b_cap + size - 1; a batch that is larger than the cap has none."""
    caps = {cap: pl_env.PartialLoadingEnv("tiny", max_batch_size=cap) for cap in (8, 2, 1)}
    assert schedule.actions(caps[8]) == [9, 0]
    assert schedule.actions(pl_env.FlatObservation(caps[2])) == [3, 0]
    with pytest.raises(pl_env.InvalidValue, match="largest batch is 2; it must be at most the batch cap, 1"):
        schedule.actions(caps[1])


def test_an_empty_schedule():
    empty = baselines.solve(helpers.tiny_with_requests([]), "greedy")
    assert (len(empty), empty.served, empty.served_ratio, empty.finish_seconds) == (0, 0, 0.0, 0.0)
    env = pl_env.PartialLoadingEnv("tiny")
    assert (empty.batches, empty.actions(env), empty.batch_start.tolist()) == ((), [], [0])


def test_shares_equalise_finish_times_and_sum_to_one():
    """A user with share y sends for upload_ns / y nanoseconds: the batch's upload time, for each of them."""
    instance = pl_env.Scenario.preset("bls", n_users=60, bandwidth_hz=20e6).sample(np.random.default_rng(0))
    schedule = baselines.solve(instance, "optimal-dp")
    assert any(len(batch.users) > 1 for batch in schedule.batches)
    for batch in schedule.batches:
        assert sum(batch.bandwidth_shares) == pytest.approx(1.0, abs=1e-12)
        sending = instance.upload_ns[list(batch.users)] / np.array(batch.bandwidth_shares) / 1e9
        np.testing.assert_allclose(sending, batch.upload_seconds, rtol=1e-12)


def test_equal_bandwidth_shares():
    """Four channels, one user each: the slowest decides, and channels may stay idle."""
    instance = helpers.changed(helpers.tiny_with_requests([1, 1]), upload_ns=[1_000_000, 3_000_000])
    schedule = baselines.solve(instance, "optimal-dp", equal_bandwidth_channels=4)
    (batch,) = schedule.batches
    assert batch.bandwidth_shares == (0.25, 0.25)
    assert batch.upload_seconds == 0.012
    pl_env.check(schedule, instance)


def test_schedules_can_be_told_apart_from_what_the_solver_says(schedule):
    assert (schedule.status, schedule.upper_bound, schedule.elapsed) == ("feasible", schedule.n_users, 0.0)
    solved = baselines.solve(helpers.tiny_with_requests([0, 1, 1, 2, 2]), "optimal-dp")
    assert (solved.solver, solved.status, solved.upper_bound) == ("optimal-dp", "optimal", 3)
    assert solved.elapsed > 0
