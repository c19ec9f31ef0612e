"""`optimal-dp` in one compiled call, against the same in parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import baselines
import pl_env
from baselines.partial_loading.optimal_dp import optimal_dp, optimal_dp_at_once
from baselines.partial_loading.runs import prepare, to_schedule
from tests import helpers


def assert_same_schedule(instance: pl_env.Instance) -> None:
    problem = prepare(instance)
    parts = to_schedule(problem, optimal_dp(problem), "optimal-dp", 0.0)
    for schedule in (optimal_dp_at_once(instance), baselines.solve(instance, "optimal-dp")):
        for field in dataclasses.fields(schedule):
            if field.name != "elapsed":
                ours, theirs = getattr(schedule, field.name), getattr(parts, field.name)
                assert type(ours) is type(theirs), field.name
                assert np.array_equal(ours, theirs), field.name


def test_random_instances():
    """Ties, empty models, models that do not fit, resident models and instances without users included."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        assert_same_schedule(helpers.random_instance(rng, helpers.clustered_blocks, resident=True))


@pytest.mark.parametrize("preset", ["bls", "tiny"])
def test_presets(preset):
    for seed in range(10):
        assert_same_schedule(pl_env.Scenario.preset(preset).sample(np.random.default_rng(seed)))


def test_other_sharing_is_refused():
    instance = pl_env.Scenario.preset("general-hard").sample(np.random.default_rng(0))
    with pytest.raises(pl_env.UnsupportedInstance, match="optimal-dp needs bottom-layer sharing"):
        optimal_dp_at_once(instance)
