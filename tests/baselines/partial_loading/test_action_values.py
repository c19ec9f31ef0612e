from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import baselines
import pl_env
from baselines.partial_loading.action_values import ILLEGAL, action_values
from baselines.partial_loading.expected_uploads import expected_upload_ns, later_upload_ns
from baselines.partial_loading.lookahead import sampled_values
from pl_env.partial_loading.episodes import Episodes


def test_values_are_what_the_optimum_reaches_after_each_action():
    rng = np.random.default_rng(1)
    scenarios = [pl_env.Scenario.preset("bls", n_users=25, n_models=9, library_seed=seed) for seed in range(4)]
    env = pl_env.PartialLoadingEnv(scenarios[0])
    for scenario in scenarios:
        instance = scenario.sample(rng)
        episodes = Episodes([instance], scenario.max_batch_size)
        env.reset(options={"instance": instance})
        while episodes.running[0]:
            values = action_values(episodes)[0]
            legal = np.flatnonzero(env.action_masks())
            np.testing.assert_array_equal(np.flatnonzero(values > ILLEGAL), legal)
            assert values.max() == baselines.solve(env.remaining(), "optimal-dp").served
            action = int(rng.choice(legal))
            env.step(np.int64(action))
            episodes.step(np.array([action]))
            rest = baselines.solve(env.remaining(), "optimal-dp").served
            assert values[action] == action % scenario.max_batch_size + 1 + rest


def test_fractions_of_a_user_keep_the_order_of_whole_users():
    scenario = pl_env.Scenario.preset("bls")
    rng = np.random.default_rng(2)
    episodes = Episodes([scenario.sample(rng) for _ in range(10)], scenario.max_batch_size)
    whole, fractional = action_values(episodes), action_values(episodes, fractional=True)
    np.testing.assert_array_equal(np.floor(fractional), whole)
    assert (fractional > whole).any()


def test_episodes_of_different_libraries_and_deadlines():
    scenarios = [pl_env.Scenario.preset("bls", library_seed=seed, deadline=0.3 + 0.1 * seed) for seed in range(3)]
    instances = [scenario.sample(np.random.default_rng(seed)) for seed, scenario in enumerate(scenarios)]
    together = action_values(Episodes(instances, 8))
    alone = np.concatenate([action_values(Episodes([instance], 8)) for instance in instances])
    np.testing.assert_array_equal(together, alone)


def test_values_in_an_environments_own_episodes():
    """Single, and in a vector, where neither users nor their models are kept."""
    scenario = pl_env.Scenario.preset("bls", n_users=(10, 30), resample_library=True, n_models=9)
    vector = pl_env.PartialLoadingVectorEnv(3, scenario)
    vector.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(5):
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in vector.episodes.mask])
        vector.step(actions)
        values = action_values(vector.episodes)
        np.testing.assert_array_equal(values, action_values(Episodes(vector.remaining(), 8)))
        for n, rest in enumerate(vector.remaining()):
            assert values[n].max() == baselines.solve(rest, "optimal-dp").served


@pytest.mark.parametrize("scale", [0.0, 1.05])
def test_later_uploads_that_were_asked_for_at_the_beginning_hold(scale):
    """And those of episodes whose channels stay are today's."""
    scenarios = [pl_env.Scenario.preset("fading", fading=fading, n_users=20) for fading in ("episode", "batch")]
    episodes = Episodes([scenario.sample(np.random.default_rng(0)) for scenario in scenarios], 8)
    later_ns, rng = later_upload_ns(episodes, scale), np.random.default_rng(1)
    assert later_ns.shape == (2, 20 if scale else 0)
    while episodes.running.all():
        again = Episodes([episodes.remaining(n) for n in range(2)], 8)
        values = action_values(episodes, later_ns)
        np.testing.assert_array_equal(values, action_values(again, later_upload_ns(again, scale)))
        assert values[0].max() == baselines.solve(episodes.remaining(0), "optimal-dp").served
        episodes.step(values.argmax(axis=1), rng.random((2, 20)))


def test_what_follows_an_action_is_costed_at_later_uploads():
    """They put the users of a model, most of whom one batch leaves behind, in another order than today's."""
    scenario = pl_env.Scenario.preset("fading", n_users=60, n_models=3, deadline=3.0)
    instance, rng = scenario.sample(np.random.default_rng(5)), np.random.default_rng(6)
    later_ns = rng.integers(instance.upload_ns.max(), size=instance.n_users)
    values = action_values(Episodes([instance], scenario.max_batch_size), later_ns[None])[0]
    actions = np.flatnonzero(values > ILLEGAL)
    for action in actions:
        episodes = Episodes([instance], scenario.max_batch_size)
        pending = episodes.pending_users(0)
        episodes.step(np.array([action]), rng.random((1, instance.n_users)))
        left = episodes.pending_users(0)
        rest = dataclasses.replace(episodes.remaining(0), upload_ns=later_ns[left])
        assert values[action] == len(pending) - len(left) + baselines.solve(rest, "optimal-dp").served
    assert len(actions) == 3 * scenario.max_batch_size


def test_values_need_clusters():
    scenario = pl_env.Scenario.preset("general")
    with pytest.raises(pl_env.UnsupportedInstance, match="action_values needs bottom-layer sharing"):
        action_values(Episodes([scenario.sample(np.random.default_rng(0))], 8))


def test_expected_uploads_are_those_at_the_mean_rate():
    rng = np.random.default_rng(3)
    snr = np.array([1.0, 100.0, 1e5])
    rate = np.log2(1 + snr[:, None] * rng.exponential(size=(3, 200_000))).mean(axis=1)
    np.testing.assert_allclose(expected_upload_ns(snr, 1e6), 1e6 / rate, rtol=0.01)


def test_the_lookahead_planner_serves_more_than_replanning_with_todays_draws():
    scenario = pl_env.Scenario.preset("fading")
    served = {}
    for name, policy in (("today", baselines.Planner("optimal-dp")), ("expected", baselines.Lookahead())):
        env = pl_env.PartialLoadingEnv(scenario)
        total = 0
        for seed in range(12):
            observation, info = env.reset(seed=seed)
            while env.any_legal:
                observation, _, _, _, info = env.step(np.int64(policy.act(observation, info, env)))
            total += info["served"]
        served[name] = total
    assert served["expected"] > served["today"]


def test_two_steps_by_hand():
    """Where one action only is near the best, a look at the second step changes nothing but its value."""
    scenario = pl_env.Scenario.preset("fading", n_users=12)
    episodes = Episodes([scenario.sample(np.random.default_rng(seed)) for seed in range(6)], 8)
    rng = np.random.default_rng(3)
    one = action_values(episodes, fractional=True)
    two = sampled_values(episodes, rng, draws=3, most_actions=1)
    np.testing.assert_array_equal(two.argmax(axis=1), one.argmax(axis=1))
    best = one.argmax(axis=1)
    after = episodes.branch(np.repeat(np.arange(6), 3))
    after.step(np.repeat(best, 3), np.random.default_rng(3).random((6, 3, 12)).reshape(18, 12))
    following = np.maximum(0, action_values(after, fractional=True).max(axis=1)).reshape(6, 3).mean(axis=1)
    np.testing.assert_allclose(two.max(axis=1), best % 8 + 1 + following, rtol=1e-6)


def test_two_steps_of_episodes_that_have_ended():
    scenario = pl_env.Scenario.preset("fading", n_users=3)
    episodes = Episodes([scenario.sample(np.random.default_rng(0))], 8)
    while episodes.running.any():
        episodes.step(episodes.mask.argmax(axis=1), np.random.default_rng(1).random((1, 3)))
    assert (sampled_values(episodes, np.random.default_rng(2)) == ILLEGAL).all()


@pytest.mark.parametrize("wrong", [{"draws": -1}, {"fractional": 1}, {"fractional": False, "draws": 2}, {"seed": -1}])
def test_arguments_of_lookahead(wrong):
    with pytest.raises(pl_env.InvalidValue, match=next(iter(wrong))):
        baselines.Lookahead(**wrong)


def test_lookahead_does_not_foresee_the_environments_channels():
    policy = baselines.Lookahead(draws=8, seed=0)
    env = pl_env.PartialLoadingEnv("fading")
    env.reset(seed=0)
    assert policy._rng.bit_generator.state != np.random.default_rng(0).bit_generator.state
    assert 0 <= policy.act(None, {}, env) < env.action_space.n
