"""The judge: what it accepts, and every way in which a plan can be wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pl_env.co_inference import Plan, Scenario, check
from pl_env.errors import InfeasibleSchedule
from tests import co_inference_helpers as helpers
from tests.contract import co_inference as case


def plan_and_instance():
    instance, _ = case.tiny()
    return Plan.from_levels(instance, [-1, 0, 6, 6]), instance


def changed(plan, name, task, value):
    array = getattr(plan, name).copy()
    array[task] = value
    return replace(plan, **{name: array})


def test_the_optimum_of_the_tiny_instance_by_hand():
    plan, instance = plan_and_instance()
    check(plan, instance)
    assert plan.kept == pytest.approx([0, 0.5, 0.8, 0.8])
    assert plan.objective * 7.2 == pytest.approx(6.18990, abs=1e-5)
    assert plan.energy_j[1] < 0.7


def test_times_energies_and_limits_are_those_of_the_equations():
    plan, instance = plan_and_instance()
    for task in (1, 2, 3):
        split = int(plan.split[task])
        times = [float(getattr(plan, name)[task]) for name in ("device_s", "radio_s", "server_s")]
        joules = helpers.energy_of_times(instance, task, split, float(plan.kept[task]) * (1 - 1e-12), *times)
        assert plan.energy_j[task] == pytest.approx(joules, rel=1e-9)
        assert sum(times) == pytest.approx(instance.deadline[task])


@pytest.mark.parametrize(
    ("name", "task", "value", "message"),
    [
        ("split", 1, 73, "there is no split 73 of blip2"),
        ("kept", 1, 0.51, "its kept fraction is 0.51; it must be one of the levels"),
        ("power_w", 1, 0.21, "its power_w of 0.21 is above 0.2"),
        ("device_hz", 1, 2.1e9, "its device_hz of 2.1e.09 is above 2e.09"),
        ("server_hz", 2, 1.1e10, "its server_hz of 1.1e.10 is above 1e.10"),
        ("device_hz", 1, 0.0, "has work, and with this device_hz no speed to do it"),
        ("device_s", 1, 1.0, "its device_s is 1; it must be"),
        ("radio_s", 2, 1.0, "its radio_s is 1; it must be"),
        ("energy_j", 3, 0.1, "its energy_j is 0.1; it must be"),
        ("value", 3, 1.0, "its value is 1; it must be"),
        ("value", 0, 1.0, "is skipped, and its value is not 0"),
        ("kept", 2, np.nan, "its kept has entries that are negative or not finite"),
        ("energy_j", 2, -1.0, "its energy_j has entries that are negative or not finite"),
    ],
)
def test_what_is_wrong_is_named(name, task, value, message):
    plan, instance = plan_and_instance()
    with pytest.raises(InfeasibleSchedule, match=f"plan: .*{message}"):
        check(changed(plan, name, task, value), instance)


def test_late_tasks_and_empty_batteries():
    plan, instance = plan_and_instance()
    with pytest.raises(InfeasibleSchedule, match=r"task 2: is done after .* s, its deadline is 7 s"):
        check(plan, replace(instance, deadline=np.array([4.0, 6.0, 7.0, 10.0])))
    with pytest.raises(InfeasibleSchedule, match=r"task 1: takes .* J, the battery holds 0.5 J"):
        check(plan, replace(instance, battery_j=0.5))
    with pytest.raises(InfeasibleSchedule, match="task 3: takes"):
        check(plan, replace(instance, harvest=np.array([0.0, 0.4, 0.0, 0.0])))


def test_one_part_in_a_billion_is_the_tolerance():
    instance, _ = case.tiny()
    plan = Plan.from_levels(instance, [-1, 0])
    energy = float(plan.energy_j[1])
    check(plan, replace(instance, battery_j=energy - 5e-10))
    with pytest.raises(InfeasibleSchedule, match="the battery holds"):
        check(plan, replace(instance, battery_j=energy - 2e-9))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_tasks": 5}, "is for 5 tasks, the instance has 4"),
        ({"kept": [0.5] * 4}, "its kept is a list, not an array"),
        ({"kept": np.zeros(4, dtype=np.float32)}, "its kept is float32 of 1 dimensions"),
        ({"split": np.zeros((4, 1), dtype=np.int64)}, "its split is int64 of 2 dimensions"),
        ({"value": np.zeros(3)}, "its value has 3 entries for 4 tasks"),
    ],
)
def test_the_form_of_plans(fields, message):
    plan, instance = plan_and_instance()
    with pytest.raises(InfeasibleSchedule, match=message):
        check(replace(plan, **fields), instance)


def test_part_of_an_episode_is_a_plan_too():
    _, instance = plan_and_instance()
    check(Plan.from_levels(instance, [-1, 0]), instance)


def test_any_fraction_where_that_is_allowed():
    instance = Scenario.preset("continuous").sample(np.random.default_rng(0))
    check(Plan.from_fractions(instance, [0.6123]), instance)
    with pytest.raises(InfeasibleSchedule, match=r"its kept fraction is 0.4; it must be from 0.5 to 1"):
        check(Plan.from_fractions(instance, [0.4]), instance)
