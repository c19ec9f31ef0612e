"""One task: levels that the document gives, relations between solvers, successive approximation from many starts."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
from pl_env.co_inference import Plan, Scenario, check
from pl_env.errors import InvalidValue, UnsupportedInstance

SCENARIO = Scenario.preset("static")


def instances(count, **fields):
    scenario = Scenario.preset("static", **fields)
    return [scenario.sample(np.random.default_rng((5, n))) for n in range(count)]


def distortion(name, given, **options) -> float:
    """Mean lambda · D; a failure counts as 1."""
    return float(np.mean([1 - baselines.solve(instance, name, **options).objective for instance in given]))


LEVELS = {
    "as it is": ({}, (0.078, 0.183, 0.130, 0.201, 0.267, 0.267, 0.366, 0.637)),
    "E .25": ({"battery_j": 0.25, "capacity_j": 0.25}, (0.347, 0.633, 0.540, 0.366, 0.380, 0.579, 0.528, 0.835)),
    "B .25 MHz": ({"bandwidth_hz": 0.25e6}, (0.211, 0.922, 0.657, 0.218, 0.267, 0.267, 0.548, 0.832)),
}


OFF = {("B .25 MHz", "random-draws"): 0.018}
"""What is further off than .015, and how far it may be: ours is .848 ± .009, the document's about as uncertain."""


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_levels_of_1000_channels(level):
    """The document's means are of other channels, and uncertain by .015 as it says."""
    fields, expected = LEVELS[level]
    given = instances(1000, **fields)
    names = (
        ("optimal", {}),
        ("on-server", {}),
        ("fixed-split", {"split": 1}),
        ("fixed-split", {"split": 40}),
        ("on-device", {}),
        ("max-frequency", {}),
        ("equal-time", {}),
        ("random-draws", {}),
    )
    for (name, options), mean in zip(names, expected, strict=True):
        near = pytest.approx(mean, abs=OFF.get((level, name), 0.015))
        assert distortion(name, given, **options) == near, (name, options)


def test_who_is_never_above_whom():
    for fields in ({}, {"battery_j": 0.25, "capacity_j": 0.25}, {"bandwidth_hz": 0.25e6}):
        for instance in instances(25, **fields):
            best = baselines.solve(instance, "optimal")
            assert best.status == "optimal"
            for name in baselines.solvers(instance):
                plan = baselines.solve(instance, name)
                assert plan.objective <= best.objective + 1e-9, name
            bracket = baselines.solve(instance, "offline")
            assert bracket.objective <= best.objective <= bracket.bound + 1e-9


def test_highest_power_is_best_unless_energy_is_scarce():
    assert distortion("max-power", instances(60)) == pytest.approx(distortion("optimal", instances(60)), abs=1e-4)
    poor = instances(200, battery_j=0.25, capacity_j=0.25)
    assert distortion("max-power", poor) > distortion("optimal", poor) + 0.002


def test_successive_approximation_from_60_starts():
    """At the optimum to 3e-7, never above."""
    given = instances(12) + instances(8, battery_j=0.25, capacity_j=0.25)
    gaps = []
    for number in range(60):
        instance = given[number % 20]
        kept = baselines.solve(instance, "sca", seed=number).kept[0]
        gaps.append(baselines.solve(instance, "optimal").kept[0] - kept)
    assert min(gaps) >= -1e-9
    assert max(gaps) < 3e-7


def test_successive_approximation_never_gets_worse():
    for instance in instances(6, battery_j=0.25, capacity_j=0.25):
        kept = [baselines.solve(instance, "sca", iterations=n, seed=3).kept[0] for n in (1, 2, 4, 8, 16)]
        assert kept == sorted(kept)


def test_fixed_gain_over_the_splits():
    """At g = 5e-14: 1 (s = 0), .352 (1) to .678 (39), then .203 (40)."""
    instance = SCENARIO.instance([[4.0, 1.0, 5e-14, 0.0, 1, 0]])
    found = {s: distortion("fixed-split", [instance], split=s) for s in (0, 1, 39, 40)}
    assert found == pytest.approx({0: 1, 1: 0.352, 39: 0.678, 40: 0.203}, abs=0.0006)


def test_over_the_deadline():
    given = instances(300, deadline=(6.0, 6.0))
    assert distortion("optimal", given) == pytest.approx(0.010, abs=0.006)
    assert distortion("on-server", given) == pytest.approx(0.068, abs=0.02)


def test_without_pruning():
    for instance in instances(40, deadline=(8.0, 8.0)):
        whole = baselines.solve(instance, "no-pruning").objective
        assert whole == (1.0 if baselines.solve(instance, "optimal").kept[0] == 1 else 0.0)


def test_random_draws_repeat():
    instance = instances(1)[0]
    one, other = (baselines.solve(instance, "random-draws", seed=seed).kept[0] for seed in (1, 1))
    assert one == other
    assert len({baselines.solve(instance, "random-draws", seed=seed).kept[0] for seed in range(5)}) > 1


def test_what_fails_skips():
    instance = SCENARIO.instance([[0.005, 1.0, 1e-14, 0.0, 1, 0]])
    for name in baselines.solvers(instance):
        plan = baselines.solve(instance, name)
        check(plan, instance)
        assert plan.objective == 0, name


def test_they_say_what_they_do_not_cover():
    level, several = Scenario.preset("tiny"), Scenario.preset("continuous")
    for scenario, words in ((level, "4 tasks and only levels are"), (several, "40 tasks and any kept fraction is")):
        instance = scenario.sample(np.random.default_rng(0))
        for name in ("optimal", "sca", "on-server", "equal-time"):
            with pytest.raises(UnsupportedInstance, match=words):
                baselines.solve(instance, name)
    with pytest.raises(UnsupportedInstance, match="it chooses among levels"):
        baselines.solve(several.sample(np.random.default_rng(0)), "exact")


def test_options_are_checked():
    instance = instances(1)[0]
    for name, option, value in (("fixed-split", "split", -1), ("sca", "iterations", 0), ("random-draws", "seed", 0.5)):
        with pytest.raises(InvalidValue, match=option):
            baselines.solve(instance, name, **{option: value})
    with pytest.raises(InvalidValue, match="split is 73; it must be an integer from 0 to 72"):
        baselines.solve(instance, "fixed-split", split=73)


def test_given_resources_may_break_limits_which_the_judge_sees():
    instance = SCENARIO.instance([[4.0, 1.0, 5e-13, 0.0, 1, 0]])
    plan = Plan.from_resources(instance, 1, 0.9, 0.2, 2e9, 1e10)
    with pytest.raises(ValueError, match="plan: task 0"):
        check(plan, instance)
