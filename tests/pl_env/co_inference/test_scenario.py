"""Scenarios and instances: draws against their distributions, bad input, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pl_env.co_inference import BenchmarkSet, Instance, Plan, Scenario, SplitTable, benchmark, split_table
from pl_env.co_inference.dynamics import LINK, SUN
from pl_env.errors import FileFormatError, InfeasibleSchedule, InvalidValue, UnknownName
from tests import co_inference_helpers as helpers

TABLE = SplitTable("mine", (0.0, 1e9, 3e9), (1e6, 2e5, 0.0))


def sample(seed=0, preset="default", **fields):
    return Scenario.preset(preset, **fields).sample(np.random.default_rng(seed))


def test_the_distributions_that_tasks_are_drawn_from():
    instance = sample(n_tasks=100_000)
    assert instance.deadline.min() >= 4
    assert instance.deadline.max() < 10
    assert instance.deadline.mean() == pytest.approx(7, abs=0.02)
    assert (instance.weight == 5).mean() == pytest.approx(0.2, abs=0.01)
    shares = np.bincount(instance.link) / 100_000
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    fading = instance.gain / np.array([1e-11, 5e-13, 5e-14])[instance.link]
    assert fading.mean() == pytest.approx(1, abs=0.02)
    assert (fading > 1).mean() == pytest.approx(np.exp(-1), abs=0.01)
    for chain in (instance.link, instance.sun):
        assert (np.diff(chain) == 0).mean() == pytest.approx(0.9, abs=0.005)
    assert np.abs(np.diff(instance.link)).max() == 1
    from_middle = instance.link[1:][(instance.link[:-1] == 1) & (np.diff(instance.link) != 0)]
    assert (from_middle == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert instance.sun.mean() == pytest.approx(0.5, abs=0.02)
    assert (instance.harvest == instance.sun).all()


def test_chains_start_stationary():
    firsts = np.array([(i.link[0], i.sun[0]) for i in (sample(seed, n_tasks=1) for seed in range(2000))])
    assert np.bincount(firsts[:, 0]) / 2000 == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    assert firsts[:, 1].mean() == pytest.approx(0.5, abs=0.04)


def test_presets():
    budget = sample(preset="budget")
    assert (budget.n_tasks, budget.battery_j, budget.capacity_j) == (24, 6, 6)
    assert not budget.harvest.any()
    static = sample(preset="static")
    assert (static.n_tasks, static.battery_j, static.continuous, static.deadline[0]) == (1, 2, True, 4)
    assert sample().value_scale == pytest.approx(40 * 1.8)
    assert sample().levels == pytest.approx(np.linspace(0.5, 1, 11))
    assert sample(preset="continuous").deadline.tolist() == sample().deadline.tolist()


def test_a_users_own_model():
    scenario = Scenario(model=TABLE, n_tasks=3)
    instance = scenario.sample(np.random.default_rng(0))
    assert instance.model == TABLE
    assert Scenario.from_dict(scenario.to_dict()) == scenario
    assert instance.useful_splits.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_tasks": 0}, "n_tasks is 0; it must be an integer from 1 to"),
        ({"battery_j": 4.0}, "battery_j is 4.0; it must be a finite number at least 0 and at most 3"),
        ({"capacity_j": 0}, "capacity_j is 0; .* above 0"),
        ({"least_kept": 0.0}, "least_kept is 0.0"),
        ({"n_levels": 1}, "n_levels is 1; it must be an integer from 2 to"),
        ({"n_levels": 2, "least_kept": 1.0}, "n_levels is 2; it must be an integer from 1 to 1"),
        ({"continuous": 1}, "continuous is 1; it must be True or False"),
        ({"deadline": (5, 4)}, r"deadline\[1\] is 4; it must be a finite number at least 5"),
        ({"deadline": 5}, "deadline is 5; it must be 2 numbers"),
        ({"deadline": (0, 4)}, r"deadline\[0\] is 0; it must be a finite number above 0"),
        ({"link_gain": (1, 2)}, "link_gain is .*; it must be 3 numbers"),
        ({"link_gain": (1, 2, -1)}, r"link_gain\[2\] is -1"),
        ({"link_stay": 1.5}, "link_stay is 1.5"),
        ({"high_weight": 0.5}, "high_weight is 0.5"),
        ({"bandwidth_hz": float("nan")}, "bandwidth_hz is nan"),
        ({"max_power_w": "much"}, "max_power_w is 'much'"),
        ({"model": 3}, "model is 3; it must be the name of a model or a SplitTable"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(InvalidValue, match=message):
        Scenario(**fields)


def test_unknown_names():
    with pytest.raises(UnknownName, match="there is no model 'gpt9'"):
        Scenario(model="gpt9")
    with pytest.raises(UnknownName, match="there is no preset 'large'"):
        Scenario.preset("large")
    with pytest.raises(UnknownName, match="there is no scenario field 'users'"):
        Scenario().override(users=3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gain": np.zeros(3)}, r"gain.shape is \(3,\); it must be \(2,\), one per task"),
        ({"gain": np.array([1e-12, np.nan])}, "gain is .*; it must be from 0 to"),
        ({"deadline": np.array([1.0, 0.0])}, "deadline is .*; it must be above 0"),
        ({"link": np.array([0, 3])}, "link is .*; it must be from 0 to 2"),
        ({"link": np.array([0, 0.5])}, "link is .*; it must be exactly representable as int64"),
        ({"battery_j": 9.0}, "battery_j is 9.0"),
        ({"levels": np.array([0.5, 0.4])}, "levels is .*; it must be ascending"),
        ({"levels": np.array([])}, r"len\(levels\) is 0"),
        ({"value_scale": 0.0}, "value_scale is 0.0; .* above 0"),
        ({"model": "blip2"}, "model is 'blip2'; it must be of the class SplitTable"),
        ({"continuous": None}, "continuous is None"),
    ],
)
def test_bad_instances(fields, message):
    with pytest.raises(InvalidValue, match=message):
        replace(sample(n_tasks=2), **fields)


def test_files(tmp_path):
    instance = Scenario(model=TABLE, n_tasks=3).sample(np.random.default_rng(0))
    instance.save(tmp_path / "one.npz")
    assert Instance.load(tmp_path / "one.npz") == instance
    (tmp_path / "two.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:-50])
    with pytest.raises(FileFormatError, match=r"two\.npz"):
        Instance.load(tmp_path / "two.npz")


def test_sets_are_stored_and_forged_ones_refused(tmp_path):
    found = benchmark("co-inference-100")
    found.save(tmp_path / "set.npz")
    assert BenchmarkSet.load(tmp_path / "set.npz") == found
    most = found.upper_bound
    for wrong in ({"upper_bound": most[1:]}, {"upper_bound": most - 0.1}, {"upper_bound": most * np.inf}, {"name": 3}):
        with pytest.raises(InvalidValue, match=r"(upper_bound|name).* is .*; it must be"):
            replace(found, **wrong)
    for level in (11, 2**62, -2):
        levels = found.levels.copy()
        levels[0, 0] = level
        with pytest.raises(InvalidValue, match=r"levels is .* a level from 0 to 10"):
            replace(found, levels=levels).plan(0)
    with pytest.raises(UnknownName, match="there is no benchmark set 'x'"):
        benchmark("x")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.5])
@pytest.mark.parametrize(("column", "name"), [(LINK, "link"), (SUN, "sun")])
def test_states_of_a_forged_set_are_whole_numbers(column, name, wrong):
    found = benchmark("co-inference-100")
    tasks = found.tasks.copy()
    tasks[0, 3, column] = wrong
    with pytest.raises(InvalidValue, match=f"{name} is 'array of float64'; it must be exactly representable as int64"):
        replace(found, tasks=tasks).plan(0)


def test_plans_of_fractions_out_of_range():
    instance = sample(n_tasks=2)
    for kept in ([1.5], [np.nan], [0.5] * 3, 0.5):
        with pytest.raises(InvalidValue, match=r"kept is .*; it must be from 0 to 1, for each of at most 2 tasks"):
            Plan.from_fractions(instance, kept)
    with pytest.raises(InfeasibleSchedule, match=r"task 0: its deadline of 0.01 s is too short to keep 0.9"):
        Plan.from_fractions(replace(instance, deadline=np.array([0.01, 1.0])), [0.9])


def test_what_remains():
    instance = sample(n_tasks=5)
    rest = instance.remaining(3, 0.25)
    assert rest.n_tasks == 2
    assert rest.battery_j == 0.25
    assert rest.value_scale == instance.value_scale
    np.testing.assert_array_equal(rest.menus, instance.menus[3:])


def test_menus_are_least_energies_over_the_useful_splits():
    instance = sample(n_tasks=3, n_levels=3, deadline=(10, 10))
    assert instance.model == split_table("blip2")
    assert instance.menus.shape == (3, 3)
    for task, costs in enumerate(instance.menus):
        for level, cost in zip(instance.levels, costs, strict=True):
            best = min(helpers.least_energy(instance, task, split, level) for split in (0, 1, 40, 72))
            assert cost == pytest.approx(best, rel=1e-6)
