"""Local search against greedy, exhaustive search and the upper bound."""

from __future__ import annotations

import time

import numpy as np
import pytest

import pl_env
from baselines.partial_loading.bounds import upper_bound
from baselines.partial_loading.exhaustive import exhaustive
from baselines.partial_loading.greedy import greedy
from baselines.partial_loading.local_search import local_search
from baselines.partial_loading.optimal_dp import optimal_dp
from baselines.partial_loading.runs import Plan, Problem, prepare, to_schedule
from tests import helpers

BLOCKS = (helpers.arbitrary_blocks, helpers.clustered_blocks, helpers.unshared_blocks)


def served(plan: Plan) -> int:
    return int(plan.counts.sum())


def finish_ns(problem: Problem, plan: Plan) -> int:
    """When the plan ends. The validator must accept it."""
    schedule = to_schedule(problem, plan, "local-search", 0.0)
    pl_env.check(schedule, problem.instance)
    return int(schedule.history[-1, -1]) if len(schedule.history) else 0


def same(one: Plan, other: Plan) -> bool:
    return one.models.tolist() == other.models.tolist() and one.counts.tolist() == other.counts.tolist()


def hard(n: int) -> Problem:
    scenario = pl_env.Scenario.preset("general-hard", resample_library=True)
    return prepare(scenario.sample(np.random.default_rng(n)))


def large() -> Problem:
    scenario = pl_env.Scenario.preset("general", n_users=10_000, n_models=1_000, deadline=12.0)
    return prepare(scenario.sample(np.random.default_rng(0)))


@pytest.mark.parametrize("blocks", BLOCKS)
def test_almost_always_optimal_for_a_few_models(blocks):
    rng = np.random.default_rng(1)
    n_optimal = 0
    for n in range(400):
        problem = prepare(helpers.random_instance(rng, blocks, resident=n % 2 > 0, most_users=7, most_models=5))
        plan = local_search(problem)
        finish_ns(problem, plan)
        assert served(greedy(problem)) <= served(plan) <= plan.upper_bound
        n_optimal += served(plan) == served(exhaustive(problem))
    assert n_optimal >= 396


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_channels(channels):
    rng = np.random.default_rng(2)
    n_optimal = 0
    for _ in range(100):
        instance = helpers.random_instance(rng, helpers.arbitrary_blocks, resident=True)
        problem = prepare(instance, channels)
        plan = local_search(problem)
        finish_ns(problem, plan)
        n_optimal += served(plan) == served(exhaustive(problem))
    assert n_optimal >= 98


def test_measured_loading_matrix():
    """With any matrix a plan can become longer when a model leaves it."""
    rng = np.random.default_rng(3)
    n_optimal = 0
    for _ in range(300):
        instance = helpers.random_instance(rng, resident=True, most_users=7, most_models=5)
        load_ns = rng.integers(0, rng.integers(1, 30), size=instance.load_ns.shape)
        np.fill_diagonal(load_ns, 0)
        problem = prepare(helpers.changed(instance, {"affine": False, "load_ns": load_ns}))
        plan = local_search(problem)
        finish_ns(problem, plan)
        n_optimal += served(plan) == served(exhaustive(problem))
    assert n_optimal >= 290


def test_within_one_percent_of_the_bound_on_general_hard():
    problems = [hard(n) for n in range(30)]
    bound = np.mean([upper_bound(problem) for problem in problems])
    found = np.mean([served(local_search(problem)) for problem in problems])
    by_greedy = np.mean([served(greedy(problem)) for problem in problems])
    assert 0.99 * bound <= found <= bound
    assert by_greedy < 0.97 * bound


def test_finds_its_way_into_other_clusters():
    """Three clusters, of which the best schedules leave some out."""
    scenario = pl_env.Scenario.preset(
        "general", n_models=27, backbones=("resnet18", "resnet34", "resnet50"), deadline=0.3, resample_library=True
    )
    problems = [prepare(scenario.sample(np.random.default_rng(n))) for n in range(30)]
    bound = np.mean([upper_bound(problem) for problem in problems])
    assert np.mean([served(local_search(problem)) for problem in problems]) >= 0.985 * bound


def test_close_to_the_optimum_of_bottom_layer_sharing():
    scenario = pl_env.Scenario.preset("bls", resample_library=True)
    problems = [prepare(scenario.sample(np.random.default_rng(n))) for n in range(30)]
    optimum = np.mean([optimal_dp(problem.instance).served for problem in problems])
    assert 0.995 * optimum <= np.mean([served(local_search(problem)) for problem in problems]) <= optimum


def test_starts_from_greedy_and_never_gets_worse():
    for n in range(5):
        problem = hard(n)
        assert same(local_search(problem, iterations=0), greedy(problem))
        assert same(local_search(problem, time_limit=0), greedy(problem))
        last = (0, 0)
        for iterations in range(0, 300, 20):
            plan = local_search(problem, iterations=iterations)
            now = (served(plan), -finish_ns(problem, plan))
            assert last == (0, 0) or now >= last
            last = now


def test_the_seed_decides():
    problem = hard(0)
    for seed in (0, 7, -1, 2**64 - 1):
        assert same(local_search(problem, seed, iterations=30), local_search(problem, seed, iterations=30))
    plans = [local_search(problem, seed, iterations=30) for seed in range(5)]
    assert not all(same(plan, plans[0]) for plan in plans)


def test_another_process_finds_the_same():
    code = (
        "import numpy as np, pl_env\n"
        "from baselines.partial_loading.local_search import local_search\n"
        "from baselines.partial_loading.runs import prepare\n"
        "scenario = pl_env.Scenario.preset('general-hard', resample_library=True)\n"
        "plans = [local_search(prepare(scenario.sample(np.random.default_rng(n))), seed=n) for n in range(10)]\n"
        "print([plan.models.tolist() + plan.counts.tolist() for plan in plans])\n"
    )
    plans = [local_search(hard(n), seed=n) for n in range(10)]
    assert helpers.run_python(code).strip() == str([plan.models.tolist() + plan.counts.tolist() for plan in plans])


def test_a_time_limit_is_kept():
    problem = large()
    local_search(problem, time_limit=0.01)  # compiles
    start = time.perf_counter()
    plan = local_search(problem, time_limit=0.3)
    elapsed = time.perf_counter() - start
    assert 0.3 <= elapsed < 1.5
    assert served(plan) > served(greedy(problem))
    assert same(local_search(problem, iterations=20, time_limit=1000), local_search(problem, iterations=20))


def test_ends_when_everybody_is_served():
    problem = prepare(pl_env.Scenario.preset("general", deadline=5.0).sample(np.random.default_rng(0)))
    plan = local_search(problem, time_limit=1000)
    assert served(plan) == plan.upper_bound == 80


def test_ten_thousand_users_and_a_thousand_models():
    problem = large()
    plan = local_search(problem, iterations=200)
    finish_ns(problem, plan)
    assert served(plan) >= 1.02 * served(greedy(problem))


def test_what_is_resident_is_made_use_of():
    """Worked by hand: with model 0 resident its user takes 11.1 ms, and 20 ms of model 1's load are missing."""
    instance = helpers.tiny_with_requests([0, 1, 1, 2, 2], 0.0433)
    assert served(local_search(prepare(instance))) == 0
    plan = local_search(prepare(helpers.changed(instance, resident=0)))
    assert (plan.models.tolist(), plan.counts.tolist()) == ([0, 1], [1, 2])


def test_nobody_is_served_where_nothing_fits_or_nobody_asks():
    instance = helpers.tiny_with_requests([0, 1, 1, 2, 2])
    for nothing in (
        helpers.changed(instance, deadline_ns=0),
        helpers.changed(instance, {"max_batch": [0, 0, 0]}),
        helpers.tiny_with_requests([]),
    ):
        plan = local_search(prepare(nothing))
        assert len(plan.models) == len(plan.counts) == plan.upper_bound == 0
