"""Policies in the environment: planners, a plan that is followed, the random one."""

from __future__ import annotations

import numpy as np
import pytest

import baselines
import pl_env
from baselines import policies


def play(policy: baselines.Policy, env: pl_env.PartialLoadingEnv, **reset) -> float:
    observation, info = env.reset(**reset)
    total, terminated = 0.0, not env.any_legal
    while not terminated:
        observation, reward, terminated, _, info = env.step(policy.act(observation, info, env))
        assert not info["invalid_action"]
        total += reward
    pl_env.check(env.schedule, env.instance)
    return total


@pytest.mark.parametrize("preset", ["bls", "tiny"])
def test_the_optimal_planner_reaches_the_optimum(preset):
    env = pl_env.PartialLoadingEnv(preset)
    planner = baselines.Planner("optimal-dp")
    for seed in range(10):
        total = play(planner, env, seed=seed)
        assert total == pytest.approx(baselines.solve(env.instance, "optimal-dp").served_ratio)


@pytest.mark.parametrize("name", ["greedy", "paper-dp", "paper-greedy", "independent", "max-overlap"])
def test_a_planner_serves_its_plan_and_whatever_still_fits(name):
    env = pl_env.PartialLoadingEnv("bls")
    planner = baselines.Planner(name)
    for seed in range(5):
        total = play(planner, env, seed=seed)
        assert total >= baselines.solve(env.instance, name).served_ratio - 1e-12


def test_planning_again_pays_under_fading():
    """The plan of the first draw, followed blindly as far as it stays legal, against planning after every draw."""
    env = pl_env.PartialLoadingEnv("fading")
    replanned, blind = [], []
    for seed in range(15):
        replanned.append(play(baselines.Planner("optimal-dp"), env, seed=seed))
        _, info = env.reset(seed=seed)
        for action in baselines.solve(env.instance, "optimal-dp").actions(env):
            if info["action_mask"][action] and env.any_legal:
                *_, info = env.step(action)
        blind.append(env.schedule.served_ratio)
    assert np.mean(replanned) > np.mean(blind)


def test_a_planner_plans_again_when_somebody_else_acts():
    env = pl_env.PartialLoadingEnv("bls")
    planner = baselines.Planner("optimal-dp")
    observation, info = env.reset(seed=0)
    observation, _, _, _, info = env.step(planner.act(observation, info, env))
    other = int(np.flatnonzero(info["action_mask"])[-1])
    observation, _, terminated, _, info = env.step(other)
    best = baselines.solve(env.remaining(), "optimal-dp").served
    served = env.schedule.served
    while not terminated:
        observation, _, terminated, _, info = env.step(planner.act(observation, info, env))
    assert env.schedule.served == served + best


def test_one_planner_plays_two_environments_in_turn():
    planner = baselines.Planner("optimal-dp")
    envs = [pl_env.PartialLoadingEnv("tiny"), pl_env.PartialLoadingEnv("tiny")]
    states = [env.reset(seed=seed) for seed, env in enumerate(envs)]
    done = [False, False]
    while not all(done):
        for n, env in enumerate(envs):
            if not done[n]:
                observation, _, done[n], _, info = env.step(planner.act(*states[n], env))
                states[n] = (observation, info)
    for env in envs:
        assert env.schedule.served == baselines.solve(env.instance, "optimal-dp").served


def test_random_policy_is_legal_and_repeats_with_its_seed():
    env = pl_env.PartialLoadingEnv("bls")
    totals = [play(baselines.RandomPolicy(np.random.default_rng(3)), env, seed=1) for _ in range(2)]
    assert totals[0] == totals[1] > 0


def test_unknown_planner():
    with pytest.raises(pl_env.UnknownName, match="there is no solver 'magic'"):
        baselines.Planner("magic")


def test_a_plan_that_is_followed_is_had_again():
    env = pl_env.PartialLoadingEnv("bls")
    instance = env.scenario.sample(np.random.default_rng(5))
    for solver in ("optimal-dp", "paper-greedy"):
        schedule = baselines.solve(instance, solver)
        play(baselines.FollowPlan(schedule), env, options={"instance": instance})
        assert env.plan.history[: len(schedule)].tolist() == schedule.history.tolist()
        assert env.plan.objective >= schedule.objective


def test_a_planner_whose_action_was_not_played_plans_again():
    """As many steps as expected, but another one."""
    env = pl_env.PartialLoadingEnv("bls")
    planner = baselines.Planner("optimal-dp")
    observation, info = env.reset(seed=0)
    chosen = planner.act(observation, info, env)
    other = next(int(action) for action in np.flatnonzero(info["action_mask"])[::-1] if action != chosen)
    observation, _, terminated, _, info = env.step(other)
    served, best = env.plan.served, baselines.solve(env.remaining(), "optimal-dp").served
    while not terminated:
        observation, _, terminated, _, info = env.step(planner.act(observation, info, env))
    assert env.plan.served == served + best


def test_plans_of_box_actions(toy):
    """Actions are arrays there; a base for planners must not take them for integers."""

    class Halfway(policies.Replanning):
        plans = 0

        def planned_actions(self, env):
            self.plans += 1
            return [np.array([1.5]), np.array([1.25])]

    env, policy = toy.Env(toy.Scenario()), Halfway()
    observation, info = env.reset(seed=0)
    action = policy.act(observation, info, env)
    env.step(action)
    assert (policy.act(observation, info, env).tolist(), policy.plans) == ([1.25], 1)
    env.step(np.array([0.0]))
    assert (policy.act(observation, info, env).tolist(), policy.plans) == ([1.5], 2)
