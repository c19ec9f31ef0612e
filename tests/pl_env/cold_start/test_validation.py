"""The judge: what it accepts, every way to be refused, and that it agrees with dynamics that it shares no code with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pl_env.cold_start import Plan, check
from pl_env.errors import InfeasibleSchedule, InvalidValue
from tests import cold_start_helpers as helpers


def plan_a(*stages, **fields) -> Plan:
    return replace(Plan.of(helpers.test_a(), list(stages)), **fields)


def test_a_by_hand():
    """Device 2: loaded after 2, done after 10. Device 1: loaded after 6, waits 4, receives 2, computes 2."""
    given_ = helpers.test_a()
    plan = Plan.parse("2:2 1:2", given_)
    check(plan, given_)
    assert plan.finish_ns == 14
    second = plan.stages(given_)[1]
    assert (second.load_ns, second.idle_ns, second.transfer_ns, second.compute_ns) == (6, 4, 2, 2)
    check(Plan.parse("2:2", given_), given_)  # the first layers alone


def test_b_by_hand():
    given_ = helpers.test_b()
    plan = Plan.parse("3:2 2:1 1:2", given_)
    check(plan, given_)
    assert [stage.finish_ns for stage in plan.stages(given_)] == [17, 24, 35]
    assert [stage.idle_ns for stage in plan.stages(given_)] == [0, 13, 11]


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (plan_a((1, 2), (0, 2), finish_ns=13), "says that it is done after 13 ns; that is 14"),
        (plan_a((0, 4)), "stage 1: layers 1 to 4 take 41 bytes, device 1 has 21"),
        (plan_a((0, 1), (1, 3)), "stage 2: layers 2 to 4 take 31 bytes, device 2 has 21"),
        (plan_a((0, 2), (0, 2)), "stage 2: device 1 has layers already"),
        (plan_a((0, 0), (1, 2)), "stage 1: device 1 has 0 layers"),
        (plan_a((1, 2), (0, 2), n_layers=5), "is for 5 layers, the instance has 4"),
        (plan_a((1, 2), devices=np.array([2])), "stage 1: there is no device 3"),
        (plan_a((1, 2), devices=np.array([-1])), "stage 1: there is no device 0"),
        (plan_a((1, 2), (0, 2), counts=np.array([2, 3])), "stage 2: there are no more than 4 layers"),
        (plan_a((1, 2), counts=[2]), "its counts are not an int64 array of one dimension"),
        (plan_a((1, 2), counts=np.array([2, 2])), "1 devices and 2 counts of layers"),
        (plan_a((1, 2), (0, 2), bound=15e-9), "is done after 14 ns, before its bound of 1.5e-08 s"),
        (plan_a((1, 2), (0, 2), status="optimal", bound=13e-9), "is called optimal, 14 ns, and its bound is 1.3e-08 s"),
        (plan_a((1, 2), (0, 2), status="best"), "its status is 'best'"),
    ],
)
def test_what_is_refused(plan, problem):
    with pytest.raises(InfeasibleSchedule) as caught:
        check(plan, helpers.test_a())
    assert problem in str(caught.value)


def test_activations_count_as_memory():
    """The largest of the activations behind a device's layers and all its weights."""
    given_ = helpers.test_b()
    check(Plan.parse("3:2", given_), given_)  # 3 + 2 + max(2, 3) = 8 of 12
    with pytest.raises(InfeasibleSchedule, match=r"layers 1 to 3 take 16 bytes, device 1 has 14"):
        check(Plan.parse("1:3", given_), given_)
    check(Plan.parse("1:3", replace(given_, memory_bytes=[16, 17, 12])), replace(given_, memory_bytes=[16, 17, 12]))


@given(st.integers(0, 2**32), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_dynamics_judge_and_plain_python_agree(seed, equal, going_on):
    rng = np.random.default_rng(seed)
    instance = helpers.random_instance(rng, equal=equal, going_on=going_on, most=3, most_layers=5)
    for stages in helpers.plans_of(instance):
        plan = Plan.of(instance, [(device, last - first) for device, first, last in stages])
        finish = helpers.finish_of(instance, stages)
        if finish is None:
            with pytest.raises(InfeasibleSchedule, match=r"take \d+ bytes"):
                check(plan, instance)
        else:
            check(plan, instance)
            assert plan.finish_ns == finish
            assert plan.finish_ns <= instance.ready_ns + instance.worst_ns
            assert Plan.parse(plan.text, instance).finish_ns == finish
            later = replace(plan, finish_ns=finish + 1)
            with pytest.raises(InfeasibleSchedule, match="says that it is done"):
                check(later, instance)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("22", "plan is '22'; it must be device:layers, such as"),
        ("1-2", "it must be device:layers"),
        ("1:2 3:2", "its devices must be from 1 to 2, or one of: device 1, device 2"),
        ("0:2", "its devices must be from 1 to 2"),
        ("1:2 2:3", "of 5 layers; the model has 4"),
    ],
)
def test_plans_that_cannot_be_read(text, message):
    with pytest.raises(InvalidValue) as caught:
        Plan.parse(text, helpers.test_a())
    assert message in str(caught.value)


def test_plans_say_what_they_are():
    plan = plan_a((1, 2), (0, 2), solver="me")
    assert plan.text == "2:2 1:2"
    assert str(plan) == "me: 0.000000 s, 2:2 1:2 (0.000 s, feasible)"
    assert plan.is_whole
    assert plan.objective == plan.finish_seconds == 14e-9
    half = plan_a((1, 2))
    assert not half.is_whole
    assert half.objective == helpers.test_a().worst_ns / 1e9
    assert len(half) == 1
    assert "2 of 4 layers" in str(half)
