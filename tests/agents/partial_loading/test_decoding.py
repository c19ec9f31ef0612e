from __future__ import annotations

import numpy as np
import pytest

import agents
import pl_env
from agents.partial_loading.decoding import play_greedily


def test_the_best_of_many_is_at_least_arg_max_and_never_above_the_optimum(agent):
    scenario = pl_env.Scenario.preset("bls", n_users=20)
    policies = {"agent": agent, "best": agents.BestOf(agent, 6), "again": agents.BestOf(agent, 6)}
    result = agents.evaluate(policies, scenario, episodes=4)
    assert (result["best"].objective >= result["agent"].objective).all()
    assert (result["best"].objective <= result["best"].optimum).all()
    assert result["best"].mean > result["agent"].mean
    assert result["best"].objective.tolist() == result["again"].objective.tolist()


def test_one_sample_is_arg_max(agent):
    scenario = pl_env.Scenario.preset("bls", n_users=20)
    result = agents.evaluate({"agent": agent, "one": agents.BestOf(agent, 1)}, scenario, episodes=3)
    assert result["agent"].objective.tolist() == result["one"].objective.tolist()


@pytest.mark.parametrize("name", ["fresh", "bls-fast"])
def test_a_rollout_is_never_below_arg_max_nor_above_the_optimum(agent, name):
    agent = agent if name == "fresh" else agents.load(name)
    scenario = pl_env.Scenario.preset("bls", n_users=30, deadline=0.25)
    policies = {
        "agent": agent,
        "one": agents.Rollout(agent, 1),
        "rollout": agents.Rollout(agent, 4),
        "more": agents.Rollout(agent, 4, samples=6),
        "again": agents.Rollout(agent, 4, samples=6),
    }
    result = agents.evaluate(policies, scenario, episodes=6)
    assert result["one"].objective.tolist() == result["agent"].objective.tolist()
    assert (result["rollout"].objective >= result["agent"].objective).all()
    assert (result["rollout"].objective <= result["rollout"].optimum).all()
    assert result["rollout"].mean > result["agent"].mean
    assert result["more"].mean >= result["rollout"].mean
    assert result["more"].objective.tolist() == result["again"].objective.tolist()


def test_a_rollout_tries_every_first_action_of_a_small_episode_and_plays_on_by_the_agent(agent):
    """Worked out one by one: each legal action, then the agent's own to the end."""
    (instance,) = agents.Family.named("bls", n_users=8, deadline=0.15).sample(np.random.default_rng(3), 1)
    env = pl_env.PartialLoadingEnv("bls", n_users=8)
    _, start = env.reset(options={"instance": instance})
    ends = []
    for action in np.flatnonzero(start["action_mask"]):
        env.reset(options={"instance": instance})
        observation, _, _, _, info = env.step(np.int64(action))
        while env.any_legal:
            observation, _, _, _, info = env.step(np.int64(agent.act(observation, info, env)))
        ends.append(info["served"])
    plan = agents.Rollout(agent, actions=100).plan(instance)
    _, info = env.reset(options={"instance": instance})
    for action in plan:
        _, _, _, _, info = env.step(np.int64(action))
    assert not env.any_legal
    assert info["served"] >= max(ends) > min(ends)


@pytest.mark.parametrize("decoding", [agents.BestOf, agents.Rollout])
@pytest.mark.parametrize("name", ["fresh", "bls-fast"])
def test_where_nobody_can_be_served_the_plan_is_empty(agent, decoding, name):
    agent = agent if name == "fresh" else agents.load(name)
    (instance,) = agents.Family.named("bls", n_users=4, deadline=0.001).sample(np.random.default_rng(0), 1)
    assert decoding(agent, 3).plan(instance) == []


@pytest.mark.parametrize("decoding", [agents.BestOf, agents.Rollout])
def test_it_plans_anew_where_somebody_else_has_acted(agent, decoding):
    env = pl_env.PartialLoadingEnv("bls", n_users=20)
    observation, info = env.reset(seed=0)
    policy = decoding(agent, 3)
    terminated = False
    while not terminated:
        action = policy.act(observation, info, env)
        assert info["action_mask"][action]
        if env.n_batches == 1:
            action = np.flatnonzero(info["action_mask"])[-1]
        observation, _, terminated, _, info = env.step(np.int64(action))
    pl_env.check(env.schedule, env.instance)


@pytest.mark.parametrize("preset", ["bls", "fading"])
def test_playing_side_by_side_is_playing_one_by_one(agent, preset):
    scenario = pl_env.Scenario.preset(preset, n_users=20)
    instances = agents.Family(scenario).sample(np.random.default_rng(1), 4)
    together = play_greedily(agent, instances)
    assert together.shape == (4,)
    if preset == "bls":
        env = pl_env.PartialLoadingEnv(scenario)
        for instance, ratio in zip(instances, together, strict=True):
            observation, info = env.reset(options={"instance": instance})
            while env.any_legal:
                observation, _, _, _, info = env.step(np.int64(agent.act(observation, info, env)))
            assert info["served"] / 20 == ratio


def test_what_it_refuses(agent):
    with pytest.raises(pl_env.UnsupportedInstance, match="channels that stay for the episode"):
        agents.evaluate({"best": agents.BestOf(agent, 2)}, "fading", episodes=1)
    with pytest.raises(pl_env.InvalidValue, match="samples is 0"):
        agents.BestOf(agent, 0)
    with pytest.raises(pl_env.UnsupportedInstance, match="Rollout needs channels that stay"):
        agents.evaluate({"rollout": agents.Rollout(agent, 2)}, "fading", episodes=1)
    with pytest.raises(pl_env.InvalidValue, match="actions is 0"):
        agents.Rollout(agent, 0)
    for decoding in (agents.BestOf, agents.Rollout):
        with pytest.raises(pl_env.InvalidValue, match="temperature is 0"):
            decoding(agent, temperature=0)


def test_another_batch_cap_is_refused(agent):
    env = pl_env.PartialLoadingEnv("bls", max_batch_size=4)
    observation, info = env.reset(seed=0)
    for policy in (agent, agents.BestOf(agent, 4), agents.Rollout(agent, 4)):
        with pytest.raises(pl_env.InvalidValue, match="max_batch_size of the environment is 4; it must be 8"):
            policy.act(observation, info, env)
