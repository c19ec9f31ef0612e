"""Schedules: what their batches say, worked by hand."""

from __future__ import annotations

import dataclasses

import gymnasium as gym
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
    assert repr(schedule) == f"<Schedule {schedule}>"


def env_with_cap(batch_cap: int, **arguments):
    return gym.make("PartialLoading-v0", scenario="tiny", max_batch_size=batch_cap, **arguments)


def test_actions(schedule):
    """Action = model · b_cap + size - 1, in an environment, wrapped or not; a batch larger than the cap has none."""
    assert schedule.actions(env_with_cap(8)) == [9, 0]
    assert schedule.actions(env_with_cap(2).unwrapped) == [3, 0]
    with pytest.raises(pl_env.InvalidValue, match="largest batch is 2; it must be at most the batch cap, 1"):
        schedule.actions(env_with_cap(1))


def test_as_a_plan(schedule):
    """What every system's plan says, see `pl_env.protocols.Plan`."""
    assert (schedule.SENSE, schedule.objective, schedule.bound) == ("max", 0.6, 1.0)
    solved = baselines.solve(helpers.tiny_with_requests([0, 1, 1, 2, 2]), "optimal-dp")
    assert (solved.objective, solved.bound) == (0.6, 0.6)
    nobody = baselines.solve(helpers.tiny_with_requests([]), "greedy")
    assert (nobody.objective, nobody.bound) == (0.0, 0.0)


def test_an_empty_schedule():
    empty = baselines.solve(helpers.tiny_with_requests([]), "greedy")
    assert (len(empty), empty.served, empty.served_ratio, empty.finish_seconds) == (0, 0, 0.0, 0.0)
    assert (empty.batches, empty.actions(env_with_cap(8)), empty.batch_start.tolist()) == ((), [], [0])


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


# ---------------------------------------------------------------- schedules made of runs


def by_hand() -> pl_env.Instance:
    """The preset tiny: four users of model 1 with uploads of 4, 1, 3 and 2 ms, then one of model 0 with 5 ms."""
    instance = helpers.tiny_with_requests([1, 1, 1, 1, 0], deadline=1.0)
    uploads = np.array([4, 1, 3, 2, 5]) * 1_000_000
    return helpers.changed(instance, {"max_batch": [3, 3, 3]}, upload_ns=uploads)


def test_from_runs_worked_by_hand():
    """Loads 120 ms, then 20. Model 1 computes b samples in 10 + b ms, model 0 likewise. All full but the last batch."""
    instance = by_hand()
    schedule = pl_env.Schedule.from_runs(instance, [1, 0], [4, 1], solver="mine")
    assert schedule.users.tolist() == [1, 3, 2, 0, 4]
    milliseconds = [[1, 3, 6, 120, 13, 139], [1, 1, 4, 0, 11, 154], [0, 1, 5, 20, 11, 190]]
    assert (schedule.history // [1, 1, *[1_000_000] * 4]).tolist() == milliseconds
    assert (schedule.solver, schedule.status, schedule.upper_bound) == ("mine", "optimal", 5)
    pl_env.check(schedule, instance)


def test_from_runs_with_equal_channels_fills_all_batches_but_the_first():
    """Two channels, one user each, the slower one decides: {1} and {2, 3} take 2 + 6 ms, {1, 2} and {3} 4 + 6."""
    instance = by_hand()
    schedule = pl_env.Schedule.from_runs(instance, [1], [3], equal_bandwidth_channels=2)
    assert schedule.users.tolist() == [1, 3, 2]
    assert schedule.history[:, 1:3].tolist() == [[1, 2_000_000], [2, 6_000_000]]
    assert (schedule.status, schedule.upper_bound) == ("feasible", 5)
    pl_env.check(schedule, instance)


def test_from_runs_may_come_back_to_a_model():
    instance = by_hand()
    schedule = pl_env.Schedule.from_runs(instance, [1, 0, 1], [1, 1, 3], upper_bound=5, elapsed=0.5)
    assert schedule.users.tolist() == [1, 4, 3, 2, 0]
    assert (schedule.status, schedule.elapsed) == ("optimal", 0.5)
    pl_env.check(schedule, instance)
    nothing = pl_env.Schedule.from_runs(instance, [], [], upper_bound=0)
    assert (len(nothing), nothing.status) == (0, "optimal")


@pytest.mark.parametrize("channels", [0, 1, 2])
def test_from_runs_gives_solvers_schedules_back(channels):
    """A solver's schedule is what its runs make, bit for bit."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        instance = helpers.random_instance(rng, resident=True, most_users=9)
        for name in ("optimal-dp", "greedy", "exact"):
            solved = baselines.solve(instance, name, equal_bandwidth_channels=channels)
            models, counts = runs_of(solved)
            again = pl_env.Schedule.from_runs(
                instance,
                models,
                counts,
                equal_bandwidth_channels=channels,
                solver=name,
                upper_bound=solved.upper_bound,
                elapsed=solved.elapsed,
            )
            for field in dataclasses.fields(solved):
                ours, theirs = getattr(again, field.name), getattr(solved, field.name)
                assert type(ours) is type(theirs), field.name
                assert np.array_equal(ours, theirs), field.name


def runs_of(schedule: pl_env.Schedule) -> tuple[list[int], list[int]]:
    """Models and users of batches of one model that follow each other."""
    models: list[int] = []
    counts: list[int] = []
    for batch in schedule.batches:
        if not models or models[-1] != batch.model:
            models.append(batch.model)
            counts.append(0)
        counts[-1] += len(batch.users)
    return models, counts


@pytest.mark.parametrize(
    ("models", "counts", "options", "message"),
    [
        ([3], [1], {}, r"models\[0\] is 3; it must be an integer from 0 to 2"),
        ([1, -1], [1, 1], {}, r"models\[1\] is -1; it must be an integer from 0 to 2"),
        ([1], [5], {}, r"counts\[0\] is 5; it must be from 1 to 4, the pending users of model 1"),
        ([1, 0, 1], [3, 1, 2], {}, r"counts\[2\] is 2; it must be from 1 to 1, the pending users of model 1"),
        ([1], [0], {}, r"counts\[0\] is 0; it must be from 1 to 4"),
        ([2], [1], {}, r"counts\[0\] is 1; it must be from 1 to 0"),
        ([1, 0], [1], {}, r"len\(counts\) is 1; it must be 2"),
        ([1.5], [1], {}, r"models is \[1.5\]; it must be a sequence of integers"),
        (1, 1, {}, "models is 1; it must be a sequence of integers"),
        (
            [1],
            [1],
            {"equal_bandwidth_channels": 1025},
            "equal_bandwidth_channels is 1025; it must be an integer from 0",
        ),
    ],
)
def test_runs_that_cannot_be_get_one_sentence(models, counts, options, message):
    with pytest.raises(pl_env.InvalidValue, match=message):
        pl_env.Schedule.from_runs(by_hand(), models, counts, **options)


def test_a_model_that_does_not_fit_cannot_run():
    instance = helpers.changed(by_hand(), {"max_batch": [3, 0, 3]})
    with pytest.raises(pl_env.InvalidValue, match=r"models\[0\] is 1; it must be a model that fits into memory"):
        pl_env.Schedule.from_runs(instance, [1], [1])
