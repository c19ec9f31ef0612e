"""The judge: valid schedules pass, and whatever breaks a single constraint is refused by name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import baselines
import pl_env
from pl_env.partial_loading import validation
from pl_env.partial_loading.dynamics import COMPUTE, FINISH, LOAD, MODEL, SIZE, UPLOAD
from pl_env.partial_loading.serving_table import LARGEST_BATCH
from pl_env.times import LONGEST_LOAD_NS, LONGEST_NS, LONGEST_UPLOAD_NS
from tests import helpers

REQUESTS = [0, 1, 1, 2, 2]


def served() -> tuple[pl_env.Schedule, pl_env.Instance]:
    """The tiny instance's optimum, of writable arrays: users 1 and 2 of model 1 and user 0 of model 0."""
    instance = helpers.tiny_with_requests(REQUESTS)
    schedule = baselines.solve(instance, "optimal-dp")
    assert schedule.history[:, [MODEL, SIZE]].tolist() == [[1, 2], [0, 1]]
    assert schedule.users.tolist() == [1, 2, 0]
    return dataclasses.replace(schedule, history=schedule.history.copy(), users=schedule.users.copy(),
                               user_upload_ns=schedule.user_upload_ns.copy()), instance  # fmt: skip


def lengthen(schedule: pl_env.Schedule, column: int, by: int = 1, batch: int = 0) -> None:
    """Change one time of a batch, and the finishing times that follow from it."""
    schedule.history[batch, column] += by
    schedule.history[:, FINISH] = np.cumsum(schedule.history[:, [UPLOAD, LOAD, COMPUTE]].sum(axis=1))


def model_does_not_exist(schedule, instance):
    schedule.history[1, MODEL] = 3
    return schedule, instance


def serves_nobody(schedule, instance):
    row = [1, 0, 0, 20_000_000, 10_000_000, int(schedule.history[-1, FINISH]) + 30_000_000]
    longer = helpers.changed(instance, deadline_ns=10**9)
    return dataclasses.replace(schedule, history=np.vstack([schedule.history, row])), longer


def batch_too_large(schedule, instance):
    return schedule, helpers.changed(instance, table={"max_batch": np.array([2, 1, 2])})


def user_does_not_exist(schedule, instance):
    schedule.users[0] = 5
    return schedule, instance


def user_served_twice(schedule, instance):
    schedule.users[0] = 2
    return schedule, instance


def user_of_another_model(schedule, instance):
    schedule.users[0] = 3
    return schedule, instance


def upload_time_not_the_users(schedule, instance):
    schedule.user_upload_ns[0] -= 1
    lengthen(schedule, UPLOAD, -1)
    return schedule, instance


def more_users_than_channels(schedule, instance):
    """One channel: the upload of two users would take max(p), by that formula."""
    lengthen(schedule, UPLOAD, -100_000)
    return dataclasses.replace(schedule, equal_bandwidth_channels=1), instance


def upload_too_short(schedule, instance):
    lengthen(schedule, UPLOAD, -1)
    return schedule, instance


def load_too_short(schedule, instance):
    """The second batch pretends that its head were shared as well."""
    lengthen(schedule, LOAD, -20_000_000, batch=1)
    return schedule, instance


def shared_though_in_full(schedule, instance):
    """It says that every model loads in full, and its second batch loads the head alone."""
    return dataclasses.replace(schedule, loads_in_full=True), instance


def compute_too_short(schedule, instance):
    lengthen(schedule, COMPUTE, -1)
    return schedule, instance


def batches_overlap(schedule, instance):
    schedule.history[1, FINISH] -= 1
    return schedule, instance


def ends_too_late(schedule, instance):
    return schedule, helpers.changed(instance, deadline_ns=schedule.finish_ns - 1)


BROKEN = {
    validation._MODEL: (model_does_not_exist, "batch 1: its model does not exist"),
    validation._NOBODY: (serves_nobody, "batch 2: it serves nobody"),
    validation._TOO_LARGE: (batch_too_large, "batch 0: it has more users than its model's largest batch (10c)"),
    validation._USER: (user_does_not_exist, "batch 0: user 5 does not exist"),
    validation._TWICE: (user_served_twice, "batch 0: user 2 is served twice (3)"),
    validation._OTHER_MODEL: (user_of_another_model, "batch 0: user 3 asks for another model (10d)"),
    validation._USER_UPLOAD: (upload_time_not_the_users, "batch 0: the upload time of user 1 alone on the band is not"),
    validation._CHANNELS: (more_users_than_channels, "batch 0: it has more users than there are channels (5)"),
    validation._UPLOAD: (upload_too_short, "batch 0: its upload time is not what its users and their bandwidth"),
    validation._LOAD: (load_too_short, "batch 1: its loading time is not that of the blocks that are missing (8)"),
    validation._COMPUTE: (compute_too_short, "batch 0: its compute time is not mu · b + beta (9)"),
    validation._FINISH: (batches_overlap, "batch 1: its finishing time is not the sum of all times up to it (1)"),
    validation._DEADLINE: (ends_too_late, "batch 1: it ends after the deadline (13c)"),
    validation._WHOLE_LOAD: (shared_though_in_full, "batch 1: its loading time is not that of the whole model"),
}


def test_every_constraint_is_broken_once():
    assert sorted(BROKEN) == list(range(1, len(validation._PROBLEMS)))


@pytest.mark.parametrize("problem", BROKEN, ids=lambda problem: BROKEN[problem][0].__name__)
def test_a_single_broken_constraint_is_refused(problem):
    breaks, message = BROKEN[problem]
    pl_env.check(*served())
    with pytest.raises(pl_env.InfeasibleSchedule) as caught:
        pl_env.check(*breaks(*served()))
    assert str(caught.value).startswith(f"schedule: {message}")


@pytest.mark.parametrize("column", [UPLOAD, LOAD, COMPUTE])
@pytest.mark.parametrize("by", [1, -1])
def test_times_are_compared_to_the_nanosecond(column, by):
    schedule, instance = served()
    lengthen(schedule, column, by)
    with pytest.raises(pl_env.InfeasibleSchedule, match="batch 0: its"):
        pl_env.check(schedule, helpers.changed(instance, deadline_ns=10**9))


def test_a_schedule_may_end_on_the_deadline():
    schedule, instance = served()
    pl_env.check(schedule, helpers.changed(instance, deadline_ns=schedule.finish_ns))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_users": 6}, "is for 6 users, the instance has 5"),
        ({"history": np.zeros((2, 5), dtype=np.int64)}, "its history has shape (2, 5), not (N, 6)"),
        ({"history": np.zeros(6, dtype=np.int64)}, "its history is int64 of 1 dimensions, not int64 of 2"),
        ({"history": np.zeros((2, 6))}, "its history is float64 of 2 dimensions, not int64 of 2"),
        ({"users": [1, 2, 0]}, "its users is a list, not an array"),
        ({"users": np.array([[1, 2, 0]])}, "its users is int64 of 2 dimensions, not int64 of 1"),
        ({"users": np.array([1, 2])}, "its batches add up to 3 users, it lists 2 with 3 upload times"),
        ({"user_upload_ns": np.array([1.0, 2.0, 3.0])}, "its user_upload_ns is float64 of 1 dimensions"),
        ({"user_upload_ns": np.array([], dtype=np.int64)}, "its batches add up to 3 users, it lists 3 with 0 upload"),
        ({"equal_bandwidth_channels": -1}, "it has -1 channels (5)"),
        ({"equal_bandwidth_channels": 1025}, "it has 1025 channels (5); at most 1024 are possible"),
        ({"equal_bandwidth_channels": 2**70}, "it has 1180591620717411303424 channels (5)"),
        ({"equal_bandwidth_channels": float("nan")}, "it has nan channels (5)"),
        ({"equal_bandwidth_channels": 0.0}, "it has 0.0 channels (5)"),
        ({"equal_bandwidth_channels": "3"}, "it has '3' channels (5)"),
        ({"equal_bandwidth_channels": True}, "it has True channels (5)"),
        ({"status": "best"}, "its status is 'best', neither 'optimal' nor 'feasible'"),
        ({"status": None}, "its status is None, neither 'optimal' nor 'feasible'"),
        ({"status": "feasible", "upper_bound": 2}, "its upper bound is 2, it serves 3 users"),
        ({"status": "feasible", "upper_bound": -1}, "its upper bound is -1, it serves 3 users"),
        ({"upper_bound": float("nan")}, "its upper bound is nan, it serves 3 users"),
        ({"upper_bound": 3.0}, "its upper bound is 3.0, it serves 3 users"),
        ({"upper_bound": True}, "its upper bound is True, it serves 3 users"),
        ({"status": "optimal", "upper_bound": 4}, "it is 'optimal', serves 3 users, and its upper bound is 4"),
    ],
)
def test_shapes_that_disagree_are_refused(fields, message):
    schedule, instance = served()
    with pytest.raises(pl_env.InfeasibleSchedule) as caught:
        pl_env.check(dataclasses.replace(schedule, **fields), instance)
    assert str(caught.value).startswith(f"schedule: {message}")


def test_a_negative_batch_size_is_refused():
    """It must not make room for users of other batches."""
    schedule, instance = served()
    schedule.history[1, SIZE] = -1
    short = dataclasses.replace(schedule, users=schedule.users[:2], user_upload_ns=schedule.user_upload_ns[:2])
    with pytest.raises(pl_env.InfeasibleSchedule, match="batch 1: it serves nobody"):
        pl_env.check(short, instance)


def test_channels_of_which_the_upload_would_wrap_around_are_refused():
    """2^61 channels of 8 s take 0 ns modulo 2^64."""
    n, upload = 8, 8 * 10**9
    table = pl_env.ServingTable(np.zeros((1, 0), bool), [], [], [0], [0], [n])
    instance = pl_env.Instance(table, np.zeros(n, int), np.full(n, upload), deadline_ns=10**6)
    schedule = pl_env.Schedule(np.array([[0, n, 0, 0, 0, 0]]), np.arange(n), np.full(n, upload), n, 2**61)
    with pytest.raises(pl_env.InfeasibleSchedule, match="it has 2305843009213693952 channels"):
        pl_env.check(schedule, instance)


def test_sizes_that_add_up_only_when_they_wrap_around_are_refused():
    """The batches' sizes sum to 2 modulo 2^64, and two users are listed; the first batch would read beyond them."""
    instance = helpers.tiny_with_requests([0, 0, 0])
    instance = helpers.changed(instance, table={"max_batch": np.array([3, 3, 3])}, deadline_ns=10**9)
    sizes = [3, 2**62, 2**62, 2**62, 2**62 - 1]
    history = np.zeros((5, 6), dtype=np.int64)
    history[:, SIZE] = sizes
    schedule = pl_env.Schedule(history, np.array([0, 1]), np.full(2, 100_000), 3)
    with pytest.raises(pl_env.InfeasibleSchedule, match="its batches add up to"):
        pl_env.check(schedule, instance)


def test_the_largest_numbers_that_a_table_allows_do_not_wrap_around():
    """1,024 users of the longest upload, with the longest load and compute times: late, and nothing else."""
    n = LARGEST_BATCH
    loads = [[0], [LONGEST_LOAD_NS]]
    times = [LONGEST_NS], [LONGEST_NS], [n]
    table = pl_env.ServingTable(np.zeros((1, 0), bool), [], [], *times, affine=False, load_ns=loads)
    uploads = np.full(n, LONGEST_UPLOAD_NS)
    instance = pl_env.Instance(table, np.zeros(n, int), uploads, deadline_ns=LONGEST_NS)
    for channels in (0, n):
        row = [0, n, n * LONGEST_UPLOAD_NS, LONGEST_LOAD_NS, (n + 1) * LONGEST_NS]
        assert sum(row[2:]) < 2**63
        schedule = pl_env.Schedule(np.array([[*row, sum(row[2:])]]), np.arange(n), uploads, n, channels)
        with pytest.raises(pl_env.InfeasibleSchedule, match="batch 0: it ends after the deadline"):
            pl_env.check(schedule, instance)


def test_a_bound_above_the_users_served_is_no_contradiction():
    schedule, instance = served()
    for bound in (np.int64(3), 4, 5, 6):
        pl_env.check(dataclasses.replace(schedule, status="feasible", upper_bound=bound), instance)


def test_the_resident_model_counts_for_the_first_batch():
    """Model 1, which runs first, loads less where 0 is resident, nothing where itself is, and all of it after 2."""
    schedule, instance = served()
    pl_env.check(schedule, helpers.changed(instance, resident=2))
    for resident in (0, 1):
        with pytest.raises(pl_env.InfeasibleSchedule, match="batch 0: its loading time"):
            pl_env.check(schedule, helpers.changed(instance, resident=resident))


@pytest.mark.parametrize("blocks", [helpers.clustered_blocks, helpers.arbitrary_blocks])
@pytest.mark.parametrize("channels", [0, 2])
def test_every_solvers_schedules_pass(blocks, channels):
    """`baselines.solve` calls the judge itself; here it is called by hand once more."""
    rng = np.random.default_rng(channels)
    for _ in range(40):
        instance = helpers.random_instance(rng, blocks, resident=True)
        for name in baselines.solvers():
            if blocks is helpers.arbitrary_blocks and name in ("optimal-dp", "paper-dp"):
                continue
            pl_env.check(baselines.solve(instance, name, equal_bandwidth_channels=channels), instance)


def test_measured_loading_times_are_taken_from_the_table():
    schedule, instance = served()
    slower = helpers.changed(instance, table={"affine": False, "load_ns": instance.load_ns * 2}, deadline_ns=10**9)
    with pytest.raises(pl_env.InfeasibleSchedule, match="batch 0: its loading time"):
        pl_env.check(schedule, slower)
    pl_env.check(baselines.solve(slower, "greedy"), slower)


@pytest.fixture
def redrawn() -> tuple[pl_env.Schedule, pl_env.Instance]:
    """An instance with fading before every batch; the second batch's user has 50 µs instead of 100."""
    schedule, instance = served()
    fading = helpers.changed(instance, fading="batch", mean_snr=np.ones(5), unit_upload_ns=1.0)
    schedule.user_upload_ns[2] = 50_000
    lengthen(schedule, UPLOAD, -50_000, batch=1)
    with pytest.raises(pl_env.InfeasibleSchedule, match="batch 1: the upload time of user 0"):
        pl_env.check(schedule, instance)
    return schedule, fading


def test_later_batches_may_have_other_channels_where_they_are_redrawn(redrawn):
    pl_env.check(*redrawn)
    schedule, fading = redrawn
    schedule.user_upload_ns[0] -= 1
    lengthen(schedule, UPLOAD, -1)
    with pytest.raises(pl_env.InfeasibleSchedule, match="batch 0: the upload time of user 1"):
        pl_env.check(schedule, fading)


@pytest.mark.parametrize("upload", [-1, -(10**8), 2**62])
def test_redrawn_channels_must_still_be_possible(redrawn, upload):
    """Time would run backwards."""
    schedule, fading = redrawn
    schedule.user_upload_ns[2] = upload
    lengthen(schedule, UPLOAD, upload - 50_000, batch=1)
    with pytest.raises(pl_env.InfeasibleSchedule, match=r"batch 1: the upload time of user 0 .* out of range"):
        pl_env.check(schedule, fading)
