"""The judge: what it accepts, and every way to be refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from baselines.slide.constant_shares import dai, static
from baselines.slide.varying_shares import edf_greedy, moore_hodgson
from pl_env.errors import InfeasibleSchedule
from pl_env.slide import Plan, check
from tests import slide_helpers as helpers
from tests.contract import slide as case

MODELS = [([2, 3, 4], [3, 1, 2]), ([4, 8], [4, 4])]
GHZ = 10**9


def two_users(deadlines=(20, 20), **fields):
    return helpers.instance(MODELS, list(deadlines), accepted=[[1, 1], [0, 1]], **fields)


def by_shares(models=(0, 0), shares=(500_000, 500_000), **fields):
    frequency = np.where(np.array(models) < 0, 0, GHZ)
    return Plan(np.array(models), frequency, len(models), shares=np.array(shares), **fields)


def by_slices(slices, models=(0, 0), **fields):
    frequency = np.where(np.array(models) < 0, 0, GHZ)
    return Plan(np.array(models), frequency, len(models), slices=np.array(slices, np.int64).reshape(-1, 3), **fields)


ALTERNATELY = [[0, 0, 5], [1, 5, 10], [0, 10, 14], [1, 14, 18]]


def test_plans_that_are_just_in_time():
    check(by_shares(), two_users())
    check(by_slices(ALTERNATELY), two_users())
    check(by_slices([[0, 0, 9]], models=(0, -1), streams=False), two_users((15, 0)))
    check(by_slices([], models=(-1, -1)), two_users())
    check(Plan(np.zeros(0, np.int64), np.zeros(0, np.int64), 2, slices=np.zeros((0, 3), np.int64)), two_users())


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (by_shares((0, 2)), "user 1: there is no model 2"),
        (by_shares((-2, 0)), "there is no model -2; refused is -1"),
        (by_shares(shares=(500_000, 500_001)), "its shares add up to 1000001 millionths"),
        (by_shares(shares=(500_000, -1)), "or one is negative"),
        (by_shares(shares=(500_000, 0)), "user 1: is served without a share of the band"),
        (by_shares(shares=(500_001, 499_999)), "user 1: its task is done 1 ns after the deadline"),
        (by_shares(streams=False), "user 0: its task is done 4 ns after the deadline"),
        (by_slices([[0, 0, 5], [1, 4, 10]]), "user 1: its slice from 4 to 10 overlaps another, or is none"),
        (by_slices([[0, 6, 5]]), "user 0: its slice from 6 to 5 overlaps another, or is none"),
        (by_slices(ALTERNATELY, (0, -1)), "user 1: has a slice of the band and is not served"),
        (by_slices(ALTERNATELY[:3]), "user 1: its task is done 99999999999982 ns after the deadline"),
        (by_slices([[0, 1, 5], [1, 5, 10], [0, 10, 15], [1, 15, 19]]), "user 1: its task is done 1 ns"),
        (replace(by_shares(), shares=None), "it must have either shares or slices of the band"),
        (replace(by_shares(), n_users=3), "is for 3 users, the instance has 2"),
        (replace(by_shares(), models=np.array([0.0, 0.0])), "its models is float64 of 1 dimensions, not int64"),
        (replace(by_shares(), models=[0, 0]), "its models is a list, not an array"),
        (replace(by_shares(), shares=np.array([1])), "its shares has 1 entries for 2 users"),
        (replace(by_slices([]), slices=np.zeros((1, 2), np.int64)), "its slices have shape"),
        (replace(by_shares(), frequency_hz=np.array([GHZ, GHZ + 1])), "user 1: its device cannot run at 1000000001 Hz"),
        (
            replace(by_shares(), frequency_hz=np.array([GHZ, 4 * 10**8])),
            "user 1: its device cannot run at 400000000 Hz",
        ),
        (replace(by_shares(), frequency_hz=np.array([GHZ, GHZ - 1])), "user 1: its task is done"),
    ],
)
def test_what_is_refused(plan, problem):
    with pytest.raises(InfeasibleSchedule) as caught:
        check(plan, two_users())
    assert problem in str(caught.value)


def test_energy():
    """Six cycles at 1 W and 1 GHz take 6 nJ; at half the frequency a quarter, and twice the time."""
    with pytest.raises(InfeasibleSchedule, match="user 0: computing takes 6 nJ, more than its energy"):
        check(by_shares(), two_users(energy=[5, 9]))
    check(by_shares(), two_users(energy=[6, 9]))
    slow = replace(by_shares(), frequency_hz=np.array([5 * 10**8, GHZ]))
    check(slow, two_users((22, 20), energy=[2, 9]))
    with pytest.raises(InfeasibleSchedule, match="user 0: its task is done 1 ns"):
        check(slow, two_users((21, 20), energy=[2, 9]))


def test_models_that_do_not_answer_the_request():
    with pytest.raises(InfeasibleSchedule, match="user 1: model 0 does not answer the request"):
        check(by_shares(), two_users(request=[0, 1]))


def test_slices_before_the_arrival():
    with pytest.raises(InfeasibleSchedule, match="user 1: has a slice of the band before arriving"):
        check(by_slices(ALTERNATELY), two_users(arrival=[0, 6]))
    check(by_slices(ALTERNATELY), two_users(arrival=[0, 5]))


def test_what_was_committed_comes_in_time():
    promised = {"committed_due_ns": np.array([2, 6]), "committed_rest_ns": np.array([1, 1])}
    refused = (-1, -1)
    check(by_slices([[-1, 1, 2], [-1, 5, 6]], refused), two_users(**promised))
    with pytest.raises(InfeasibleSchedule, match="what was committed for 6 ns is late"):
        check(by_slices([[-1, 1, 2], [-1, 6, 7]], refused), two_users(**promised))
    with pytest.raises(InfeasibleSchedule, match="what was committed for 2 ns is late"):
        check(by_slices([[-1, 2, 4]], refused), two_users(**promised))
    with pytest.raises(InfeasibleSchedule, match="constant shares leave no room"):
        check(by_shares(), two_users(**promised))


@pytest.mark.parametrize("make", [static, dai, edf_greedy, moore_hodgson])
def test_a_user_more_or_a_later_one_is_refused(make):
    """Whoever is served in a good plan is late when the deadline is before the end of the task."""
    rng = np.random.default_rng(0)
    tried = 0
    for _ in range(100):
        instance = helpers.crowded_instance(rng)
        plan = make(instance)
        check(plan, instance)
        for task in plan.tasks(instance):
            deadlines = instance.deadline_ns.copy()
            deadlines[task.user] = task.finish_ns[-1] - task.arrival_ns
            check(plan, replace(instance, deadline_ns=deadlines))
            deadlines[task.user] -= 1
            with pytest.raises(InfeasibleSchedule, match=f"user {task.user}: its task is done 1 ns after"):
                check(plan, replace(instance, deadline_ns=deadlines))
            tried += 1
    assert tried > 50


def test_the_tiny_plans():
    instance, _ = case.tiny()
    plan = edf_greedy(instance)
    assert plan.models.tolist() == [0, 0, -1]
    check(plan, instance)
    with pytest.raises(InfeasibleSchedule, match="user 2 does not fit in"):
        Plan.from_models(instance, np.array([0, 0, 1]))
    assert Plan.from_models(case.tiny_with_deadline(33), np.array([0, 0, 1])).served == 3
