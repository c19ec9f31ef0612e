"""Planners of streams: the compiled plan of a prompt against the cold start's, baselines, search and bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import baselines
from baselines.cold_start_stream.bounds import lower_bound
from baselines.cold_start_stream.planning import least_time, no_prices, plan_prompt
from pl_env.cold_start_stream import Scenario, check
from pl_env.cold_start_stream.dynamics import PROMPT
from pl_env.errors import UnsupportedInstance
from tests import cold_start_stream_helpers as helpers


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_prompts_plan_is_the_cold_starts_optimum_given_what_is_warm(seed, going_on):
    rng = np.random.default_rng(seed)
    instance = helpers.placeable(rng, n_prompts=3, going_on=going_on)
    env = helpers.env_for(instance)
    _, info = env.reset(options={"instance": instance})
    stages = np.empty((instance.n_devices, 2), dtype=np.int64)
    while env.any_legal:
        memory, left = env.memory, env.remaining()
        best = baselines.solve(left.first_prompt(), "exhaustive")
        assert least_time(instance.tables, memory.state, memory.used_at) == best.finish_ns
        count = plan_prompt(instance.tables, memory, memory.used_at, no_prices(instance.n_devices), stages)
        assert stages[:count, 1].sum() == left.first_prompt().n_layers
        *_, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))


def test_every_prompt_of_the_default_is_planned_as_by_the_cold_starts_solver():
    instance = Scenario(n_prompts=12).sample(np.random.default_rng(2))
    env = helpers.env_for(instance)
    env.reset(options={"instance": instance})
    plan = baselines.solve(instance, "myopic")
    check(plan, instance)
    for action in plan.actions(env):
        if not env.remaining().placed:
            left, prompt = env.remaining(), int(env.memory.state[PROMPT])
            best = baselines.solve(left.first_prompt(), "optimal-dp")
            assert plan.finish_ns[prompt] - left.start_ns == best.finish_ns
        env.step(np.int64(action))


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_bound_is_never_beaten(seed, going_on):
    rng = np.random.default_rng(seed)
    instance = helpers.placeable(rng, n_prompts=3, going_on=going_on)
    assert lower_bound(instance) <= helpers.brute_force(instance)


def test_the_bound_counts_what_must_be_loaded_again():
    """One device that holds either model: prompts 1, 2, 1 each load two layers, 6 + 2 ms, one after the other."""
    instance = helpers.by_hand([0, 1, 0], [0, 0, 0])
    alone = type(instance)(*instance.tables._replace(memory_bytes=np.array([63_000_000, 0])))
    assert lower_bound(alone) == (8 + 16 + 24) * helpers.MS
    assert baselines.solve(alone).latency_ns == (8 + 16 + 24) * helpers.MS


def test_levels_on_the_default():
    """Ten streams: foresight gains, cold plans and fixed shares lose, and all stay above the bound."""
    scenario = Scenario.preset("default")
    means: dict[str, list[float]] = {}
    for seed in range(10):
        instance = scenario.sample(np.random.default_rng((19, 0, seed)))
        plans = {
            name: baselines.solve(instance, name) for name in ("myopic", "lookahead", "cold-plans", "fixed-shares")
        }
        plans["search"] = baselines.solve(instance, "rollout-search", candidates=12)
        for name, plan in plans.items():
            check(plan, instance)
            means.setdefault(name, []).append(plan.objective / plans["myopic"].objective)
            assert plan.latency_ns >= lower_bound(instance)
    found = {name: float(np.mean(values)) for name, values in means.items()}
    assert found["search"] < 0.99
    assert found["lookahead"] < 1.0
    assert found["cold-plans"] > 1.1
    assert found["fixed-shares"] > 1.1


def test_fixed_shares_say_what_they_do_not_cover():
    rng = np.random.default_rng(0)
    while not (instance := helpers.placeable(rng, n_prompts=3, going_on=True)).placed:
        pass
    with pytest.raises(UnsupportedInstance, match="a prompt is under way"):
        baselines.solve(instance, "fixed-shares")


def test_exhaustive_says_when_there_are_too_many():
    with pytest.raises(UnsupportedInstance, match=r"there are up to .* plans; it looks at 300000 at most"):
        baselines.solve(Scenario(n_prompts=2).sample(np.random.default_rng(0)), "exhaustive")
