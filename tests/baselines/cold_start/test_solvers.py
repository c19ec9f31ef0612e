"""Solvers against hand tests and brute force, from the start and in mid-episode."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import baselines
from baselines.cold_start.bounds import lower_bound
from baselines.cold_start.optimal_dp import fill
from baselines.cold_start.orders import order_dp
from baselines.cold_start.pipeline import NEVER, usable_part
from baselines.cold_start.printed import printed_algorithm
from baselines.cold_start.shares import divide
from pl_env.cold_start import Scenario, check
from pl_env.errors import InfeasibleSchedule, UnsupportedInstance
from tests import cold_start_helpers as helpers


def samples(count, preset="default", **fields):
    scenario = Scenario.preset(preset, **fields)
    return [scenario.sample(np.random.default_rng(seed)) for seed in range(count)]


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize("name", ["optimal-dp", "exhaustive", "order-search", "order-dp", "shares"])
def test_a(name):
    plan = baselines.solve(helpers.test_a(), name)
    assert (plan.finish_ns, plan.text) == (14, "2:2 1:2")


@pytest.mark.parametrize("name", ["optimal-dp", "exhaustive", "order-search"])
def test_b(name):
    plan = baselines.solve(helpers.test_b(), name)
    assert (plan.finish_ns, plan.text) == (35, "3:2 2:1 1:2")


def test_b_has_24_plans_and_37_comes_next():
    finishes = [helpers.finish_of(helpers.test_b(), stages) for stages in helpers.plans_of(helpers.test_b())]
    possible = sorted(finish for finish in finishes if finish is not None)
    assert len(possible) == 24
    assert possible[:2] == [35, 37]


def test_the_printed_algorithm_breaks_the_memory():
    """Test A: 16, all layers on device 1, which holds two."""
    plan = printed_algorithm(helpers.test_a())
    assert (plan.finish_ns, plan.text) == (16, "1:4")
    with pytest.raises(InfeasibleSchedule, match="stage 1: layers 1 to 4 take 41 bytes, device 1 has 21"):
        baselines.solve(helpers.test_a(), "optimal-dp", as_printed=True)
    assert baselines.solve(helpers.test_a(), "optimal-dp", as_printed=False).finish_ns == 14


def test_the_printed_algorithm_compares_with_the_wrong_state():
    """With memory for everything its third error alone is left, and costs time."""
    worse = 0
    for instance in samples(20, "roomy", n_devices=4):
        printed, best = printed_algorithm(instance), baselines.solve(instance)
        assert printed.finish_ns >= best.finish_ns
        worse += printed.finish_ns > best.finish_ns
    assert worse > 0


def test_shares_of_layers():
    """7 by weights 4, 2, 1 is 4, 2, 1; at most 2 for the first leaves 5 by 2, 1: 3 1/3 and 1 2/3."""
    weights = {0: Fraction(4), 1: Fraction(2), 2: Fraction(1)}
    assert divide(7, weights, dict.fromkeys(weights, 9)) == {0: 4, 1: 2, 2: 1}
    assert divide(7, weights, {0: 2, 1: 9, 2: 9}) == {0: 2, 1: 3, 2: 2}
    assert divide(7, weights, {0: 2, 1: 2, 2: 9}) == {0: 2, 1: 2, 2: 3}
    assert divide(2, dict.fromkeys(range(4), Fraction(1)), dict.fromkeys(range(4), 9)) == {0: 1, 1: 1, 2: 0, 3: 0}
    assert divide(0, weights, dict.fromkeys(weights, 9)) == {0: 0, 1: 0, 2: 0}


def test_greedy_prefers_more_layers_among_equals():
    """The device computes for 0 and has loaded: a layer costs nothing more, whatever the number."""
    instance = helpers.instance(
        [[0] * 4, [5] * 4], [[0] * 4, [1] * 4], [[[0, 1], [1, 0]]] * 4, [1] * 4, [1] * 4, [4, 9]
    )
    assert baselines.solve(instance, "greedy").text == "1:3 2:1"


# ---------------------------------------------------------------- brute force


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("going_on", [True, False])
def test_optimal_dp_against_brute_force(equal, going_on):
    rng = np.random.default_rng(0)
    feasible = 0
    for _ in range(200):
        instance = helpers.random_instance(rng, equal=equal, going_on=going_on)
        best = helpers.brute_force(instance)
        if best is None:
            reason = baselines.solvers("cold_start")["optimal-dp"].why_not(instance)
            assert reason is not None
            assert reason.startswith("the model does not fit: ")
            with pytest.raises(UnsupportedInstance):
                baselines.solve(instance)
            continue
        feasible += 1
        plan = baselines.solve(instance)
        assert (plan.finish_ns, plan.status) == (best, "optimal")
        assert lower_bound(instance) <= best
        assert baselines.solve(instance, "order-search").finish_ns >= best
    assert feasible > 60


def test_windows_give_the_same_tables():
    rng = np.random.default_rng(1)
    instances = [helpers.placeable(rng, equal=True, most=5, most_layers=7) for _ in range(150)]
    for instance in [*instances, *samples(3, n_devices=6), *samples(3, "roomy", n_devices=6)]:
        part, devices = usable_part(instance)
        tables = np.empty((2, 1 << len(devices), len(devices), instance.n_layers + 1), dtype=np.int64)
        for in_windows in (False, True):
            fill(part, in_windows, tables[int(in_windows)])
        own = np.arange(1 << len(devices))[:, None] >> np.arange(len(devices)) & 1 == 1
        np.testing.assert_array_equal(np.minimum(tables[0][own], NEVER), np.minimum(tables[1][own], NEVER))


def test_order_dp_is_the_best_of_its_order():
    """Slow computation first; all plans in that order, looked at one by one."""
    rng = np.random.default_rng(2)
    for _ in range(100):
        instance = helpers.placeable(rng, equal=True)
        slow = sorted(range(instance.n_devices), key=lambda k: (-instance.problem.compute_sum[k, -1], k))
        finishes = [
            finish
            for stages in helpers.plans_of(instance)
            if [slow.index(stage[0]) for stage in stages] == sorted(slow.index(stage[0]) for stage in stages)
            and (finish := helpers.finish_of(instance, stages)) is not None
        ]
        plan = order_dp(instance)
        assert plan.finish_ns == min(finishes)


def test_order_search_finds_most_optima():
    instances = samples(40, n_devices=8)
    found = [baselines.solve(one, "order-search").finish_ns == baselines.solve(one).finish_ns for one in instances]
    assert np.mean(found) >= 0.9
    again = baselines.solve(instances[0], "order-search", starts=3, seed=5)
    assert again.text == baselines.solve(instances[0], "order-search", starts=3, seed=5).text
    quick = baselines.solve(instances[0], "order-search", orders=1)
    assert quick.finish_ns == baselines.solve(instances[0], "order-dp").finish_ns


# ---------------------------------------------------------------- bounds, and many devices


@pytest.mark.parametrize("model", ["qwen3-14b", "gpt2"])
@pytest.mark.parametrize("ends", [True, False])
def test_bounds(model, ends):
    for instance in samples(10, model=model, ends=ends, n_devices=(4, 7)):
        best = baselines.solve(instance).finish_ns
        bound = lower_bound(instance)
        assert 0 < bound <= best


def test_many_devices():
    instance = samples(1, n_devices=24)[0]
    why_not = {name: solver.why_not(instance) for name, solver in baselines.solvers("cold_start").items()}
    assert why_not["optimal-dp"] == "23 devices can take layers; it covers at most 16"
    assert "there are up to" in why_not["exhaustive"]
    assert [name for name, reason in why_not.items() if reason is None] == [
        *("order-search", "order-dp", "shares", "greedy", "harmonic", "even")
    ]
    plan = baselines.solve(instance, "order-search", orders=300)
    check(plan, instance)
    assert 0.8 < plan.bound / plan.objective <= 1
    for name in ("order-dp", "shares", "greedy", "harmonic", "even"):
        assert baselines.solve(instance, name).objective >= plan.bound


def test_many_devices_with_unequal_layers():
    instance = samples(1, n_devices=24, ends=True)[0]
    why_not = {name: solver.why_not(instance) for name, solver in baselines.solvers("cold_start").items()}
    assert why_not["shares"] == "its layers differ; shares of layers are for layers that are all alike"
    assert why_not["greedy"] == "its layers differ, and 24 devices are more than the 16 that it covers"
    assert why_not["order-dp"] == "no plan in its order of the devices, slow computation first, fits their memory"
    check(baselines.solve(instance, "order-search", orders=50), instance)


def test_an_order_in_which_nothing_fits():
    """Device 1 computes slowly and holds the first layer only; by memory the second must hold the last."""
    fields = {"weights": [1, 9], "activations": [1, 1]}
    instance = helpers.instance([[1, 1], [1, 1]], [[1, 1], [9, 9]], [[[0, 1], [1, 0]]] * 2, memory=[2, 10], **fields)
    reason = baselines.solvers("cold_start")["order-dp"].why_not(instance)
    assert reason == "no plan in its order of the devices, slow computation first, fits their memory"
    assert baselines.solve(instance, "order-search").text == "1:1 2:1"
