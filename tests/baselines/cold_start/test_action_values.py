"""Values of actions against plans of what is left after them."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
from baselines.cold_start.action_values import action_values
from baselines.cold_start.pipeline import NEVER
from pl_env.cold_start.env import ColdStartEnv
from tests import cold_start_helpers as helpers


def test_a_by_hand():
    """Two layers each: 18 if device 1 is the first, 14 if device 2 is."""
    values = action_values(helpers.test_a())
    assert values.tolist() == [[NEVER, 18, NEVER, NEVER], [NEVER, 14, NEVER, NEVER]]


@pytest.mark.parametrize("going_on", [True, False])
@pytest.mark.parametrize("equal", [True, False])
def test_against_brute_force(equal, going_on):
    rng = np.random.default_rng(0)
    for _ in range(60):
        instance = helpers.placeable(rng, equal=equal, going_on=going_on)
        best: dict[tuple[int, int], int] = {}
        for stages in helpers.plans_of(instance):
            finish = helpers.finish_of(instance, stages)
            if finish is not None:
                device, _, count = stages[0]
                best[device, count] = min(finish, best.get((device, count), finish))
        values = action_values(instance)
        found = {(k, n + 1): int(values[k, n]) for k, n in np.argwhere(values < NEVER).tolist()}
        assert found == best


@pytest.mark.parametrize("preset", ["default", "roomy", "paper"])
def test_the_best_of_them_is_the_optimum_and_all_are_legal(preset):
    env, rng = ColdStartEnv(preset), np.random.default_rng(0)
    for seed in range(3):
        _, info = env.reset(seed=seed)
        while env.any_legal:
            left = env.remaining()
            values = action_values(left)
            assert values.min() == baselines.solve(left).finish_ns
            legal = np.zeros((env.scenario.most_devices, env.most_layers), dtype=bool)
            legal[: left.n_devices, : left.n_layers] = values < NEVER
            np.testing.assert_array_equal(legal.reshape(-1), info["action_mask"] == 1)
            info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))[4]
