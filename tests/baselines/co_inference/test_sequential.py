"""Streams of tasks: brute force, brackets, bounds, the online optimum, price rules, levels that the document gives."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
from baselines.co_inference import forecast, offline, online_dp, prices
from baselines.co_inference.prices import RulePolicy, play
from pl_env.co_inference import CoInferenceEnv, Scenario, check
from pl_env.errors import InvalidValue
from pl_env.seeds import EVALUATION_STREAM
from tests import co_inference_helpers as helpers
from tests.contract import co_inference as case

ONLINE = (
    *("online-dp", "battery-price", "fluid-price", "mpc-mean", "const-price"),
    *("greedy-min", "greedy-full", "equal", "random-level"),
)


def samples(preset, count, **fields):
    scenario = Scenario.preset(preset, **fields)
    return [scenario.sample(np.random.default_rng((EVALUATION_STREAM, 0, n))) for n in range(count)]


def test_exact_and_its_bracket_against_brute_force():
    rng, below = np.random.default_rng(0), 0
    for _ in range(120):
        instance = helpers.random_instance(rng)
        best = helpers.brute_force(instance)
        plan, bracket = (baselines.solve(instance, name) for name in ("exact", "offline"))
        assert plan.status == "optimal"
        assert plan.objective == pytest.approx(best, abs=1e-9)
        assert bracket.objective <= best + 1e-9
        assert bracket.bound >= best - 1e-9
        coarse = baselines.solve(instance, "offline", grid=10)
        assert coarse.objective <= best + 1e-9
        assert coarse.bound >= best - 1e-9
        below += coarse.objective < best - 1e-6
        assert baselines.solve(instance, "exact", grid=10).objective == pytest.approx(best, abs=1e-9)
    assert below > 0


def test_six_tasks_and_three_levels():
    rng = np.random.default_rng(1)
    for _ in range(6):
        instance = helpers.random_instance(rng, n_tasks=6)
        best = helpers.brute_force(instance)
        bracket = baselines.solve(instance, "offline")
        assert bracket.objective <= best + 1e-9 <= bracket.bound + 2e-9
        assert baselines.solve(instance, "exact").objective == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("preset", ["default", "budget"])
def test_no_policy_exceeds_the_optimum_and_the_bracket_is_narrow(preset):
    for instance in samples(preset, 25):
        best, bracket = baselines.solve(instance, "exact"), baselines.solve(instance, "offline")
        assert best.status == "optimal"
        assert bracket.objective <= best.objective + 1e-9 <= bracket.bound + 2e-9
        assert bracket.bound - bracket.objective < 0.004
        for name in ONLINE:
            plan = baselines.solve(instance, name)
            check(plan, instance)
            assert plan.objective <= best.objective + 1e-9, name


def test_with_any_fraction_the_bracket_holds_that_of_levels():
    for level, any_fraction in zip(samples("default", 8), samples("continuous", 8), strict=True):
        best, bracket = baselines.solve(level, "exact"), baselines.solve(any_fraction, "offline")
        assert bracket.objective >= best.objective * (1 - 1e-4)
        assert bracket.bound - bracket.objective < 0.006


def test_the_dual_bound_without_harvest():
    """Never below the schedule; at most one task above the optimum."""
    for instance in samples("budget", 25):
        best, dual = baselines.solve(instance, "exact").objective, offline.dual_bound(instance)
        assert best - 1e-9 <= dual <= best + 5 / instance.value_scale
    assert offline.dual_bound(samples("default", 1)[0]) == np.inf


def test_too_many_labels_leave_the_bracket():
    instance = samples("default", 1)[0]
    plan = baselines.solve(instance, "exact", labels=0, grid=100)
    assert plan.status == "feasible"
    assert plan.objective < plan.bound


# ---------------------------------------------------------------- online


def test_what_the_online_optimum_expects():
    instance = samples("default", 1)[0]
    assert online_dp.expected_return(instance) == pytest.approx(0.747, abs=0.0015)


def test_values_of_one_task_by_hand():
    """With one task left what is worth most is the highest legal level; its mean, over quantiles, is V_1."""
    instance = samples("default", 1)[0]
    family = forecast.family_of(instance)
    values = online_dp.tables(family, 3.0, 1, points=7)[1]
    menus, quality = forecast.quantile_menus(family), forecast.quality_of(instance.levels)
    battery = 3.0 * 4 / 6
    expected = [np.mean([1.8 * max([0, *quality[menu <= battery]]) for menu in menus[link]]) for link in range(3)]
    moved = forecast.link_transition(0.9) @ np.array(expected)
    assert values[:, 0, 4] == pytest.approx(moved)
    assert values[:, 1, 4] == pytest.approx(moved)


def test_action_values():
    future = np.array([0.0, 1.0, 1.5])  # at 0, 1.5 and 3 J
    worth = online_dp.action_values(future, np.array([0.5, 2.0]), np.array([0.8, 1.0]), 2.0, 1.5, 1.0, 3.0)
    assert worth == pytest.approx([1 + 0.5 * 1.0 / 1.5, 1.6 + 1 + 0.5 * 0.5 / 1.5, -np.inf])


def test_a_policy_plays_what_its_solver_plans():
    env = CoInferenceEnv("default")
    rules = {
        "online-dp": online_dp.online_dp,
        "battery-price": prices.battery_price(),
        "fluid-price": prices.fluid_price,
        "mpc-mean": prices.mpc_mean,
        "const-price": prices.const_price,
        "equal": prices.equal,
    }
    for name, rule in rules.items():
        policy = RulePolicy(rule)
        for instance in samples("default", 3):
            observation, info = env.reset(options={"instance": instance})
            while env.any_legal:
                observation, _, _, _, info = env.step(policy.act(observation, info, env))
            np.testing.assert_array_equal(env.plan.levels(instance), baselines.solve(instance, name).levels(instance))


def test_what_rules_do_by_hand():
    instance, _ = case.tiny()
    assert play(prices.greedy_min, instance).kept == pytest.approx([0, 0.5, 0.5, 0.5])
    price_0 = play(prices.battery_price(0.0, 0.0), instance)
    full = play(prices.greedy_full, instance)
    assert price_0.kept.tolist() == full.kept.tolist() == pytest.approx([0, 0.5, 0.85, 0.7])
    free = play(prices.battery_price(1e6, 0.0), instance)  # what would overflow: .1 J with task 1, .4 with task 2
    assert free.kept == pytest.approx([0, 0, 0.8, 0])
    assert play(prices.equal, instance).kept == pytest.approx([0, 0, 0.75, 0.65])  # a share of .375 J


def test_energy_about_to_overflow_is_free():
    """A full battery and sun: what is harvested anyway costs nothing, whatever the price."""
    scenario = Scenario.preset("default", battery_j=3.0)
    instance = scenario.instance([[10.0, 1, 1e-11, 1.0, 0, 1], [10.0, 1, 1e-11, 0.0, 0, 0]])
    plan = play(prices.battery_price(1e6, 0.0), instance)
    costs = instance.menus[0]
    assert plan.kept[0] == instance.levels[costs <= 1.0][-1]
    assert plan.kept[1] == 0


def test_demand_by_hand():
    costs, quality = np.array([[1.0, 3.0], [2.0, np.inf]]), np.array([0.8, 1.0])
    found = forecast.demands(costs, quality, 1.0, np.array([0.0, 0.2, 0.5, 2.0]))
    assert found == pytest.approx([(3 + 2) / 2, (1 + 2) / 2, (1 + 0) / 2, 0])


def test_chains():
    visits = forecast.occupancy(forecast.link_transition(0.9), 500)
    assert visits[2, 0] == pytest.approx([0.9 + 0.81 + 0.005, 0.1 + 0.18, 0.005])
    assert visits[500, 2] / 500 == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert forecast.sun_transition(0.9).tolist() == [[0.9, pytest.approx(0.1)], [pytest.approx(0.1), 0.9]]


def test_options_are_checked():
    instance = samples("default", 1)[0]
    for name, option, value in (("battery-price", "price", -1), ("exact", "grid", 5), ("random-level", "seed", "x")):
        with pytest.raises(InvalidValue, match=option):
            baselines.solve(instance, name, **{option: value})


LEVELS = {
    "default": {"exact": 0.788, "online-dp": 0.743, "battery-price": 0.716, "fluid-price": 0.657, "mpc-mean": 0.643,
                "const-price": 0.626, "greedy-min": 0.629, "equal": 0.535, "random-level": 0.522, "greedy-full": 0.499},
    "budget": {"exact": 0.763, "online-dp": 0.744, "battery-price": 0.713, "fluid-price": 0.742, "mpc-mean": 0.699,
               "const-price": 0.717, "greedy-min": 0.589, "equal": 0.318, "random-level": 0.304, "greedy-full": 0.170},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("preset", LEVELS)
def test_levels_of_1000_episodes(preset):
    found = baselines.evaluate({name: name for name in LEVELS[preset]}, f"co_inference/{preset}", episodes=1000)
    for name, mean in LEVELS[preset].items():
        assert found[name].mean == pytest.approx(mean, abs=0.015), name
    if preset == "default":
        assert found.difference("online-dp", "battery-price")[0] == pytest.approx(0.027, abs=0.005)
        assert found.difference("exact", "online-dp")[0] == pytest.approx(0.045, abs=0.004)
