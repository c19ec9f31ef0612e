"""Environments: observations by their definitions, infos, actions, the native vector form."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from pl_env.errors import InvalidAction, InvalidValue
from pl_env.online import Scenario, check
from pl_env.online.env import PartialLoadingOnlineEnv
from tests import online_helpers as helpers

SHORT = {"episode_seconds": 0.5}


def expected_observation(plain: helpers.PlainEpisode, longest: float, largest_load: float) -> dict[str, np.ndarray]:
    """Every key by its definition, from a plain episode."""
    given, cap = plain.given, plain.batch_cap
    n_models = given.n_models
    shown = {key: np.ones((n_models, cap)) for key in ("upload_time", "batch_time")} | {
        "margin": np.zeros((n_models, cap))
    }
    single = {key: np.zeros(n_models) for key in ("waiting", "slack", "load_time", "resident", "demand", "age")}
    for i in range(n_models):
        pending, sizes = plain.pending(i), given.block_bytes[given.has_block[i]]
        single["waiting"][i] = len(pending) / (len(pending) + 8)
        single["slack"][i] = min(1, (given.deadline_ns[pending[0]] - plain.now) / longest) if pending else 1
        single["load_time"][i] = min(1, plain.load(i) / largest_load)
        there = sum(int(given.block_bytes[j]) for j in plain.blocks(i) & plain.resident)
        single["resident"][i] = there / sizes.sum() if sizes.sum() else 1
        demand = plain.demand(i)
        single["demand"][i] = demand / (demand + 8)
        ends = [end for model, _, _, end in plain.rows if model == i]
        single["age"][i] = min(1, (plain.now - ends[-1]) / 3e9) if ends else 1
        for size in plain.sizes(i):
            users = plain.window(i, size)
            time = plain.time(i, users)
            shown["upload_time"][i, size - 1] = min(1, sum(int(given.upload_ns[k]) for k in users) / longest)
            shown["batch_time"][i, size - 1] = min(1, time / longest)
            shown["margin"][i, size - 1] = min(1, (given.deadline_ns[users[0]] - plain.now - time) / longest)
    return single | shown


def test_observations_are_what_they_are_said_to_be():
    rng = np.random.default_rng(0)
    for _ in range(60):
        instance = helpers.random_instance(rng, mid=bool(rng.random() < 0.5), most_users=10)
        env = helpers.env_for(instance, observe_blocks=True)
        plain = helpers.PlainEpisode(instance, env.scenario.max_batch_size)
        full = instance.has_block @ instance.table.block_load_ns
        largest = int(full.max()) + instance.table.load_overhead_ns if full.max() else 1
        observation, info = env.reset(options={"instance": instance})
        while True:
            for key, value in expected_observation(plain, 40, largest).items():
                np.testing.assert_allclose(observation[key], value, atol=1e-6, err_msg=key)
            if instance.n_blocks:
                np.testing.assert_array_equal(np.flatnonzero(observation["blocks"]), sorted(plain.resident))
            assert env.observation_space.contains(observation)
            if not env.any_legal:
                break
            action = int(rng.choice(np.flatnonzero(info["action_mask"])))
            plain.step(action)
            observation, _, _, _, info = env.step(action)


def test_infos_and_statistics():
    env = gym.make("PartialLoadingOnline-v0", **SHORT)
    _, info = env.reset(seed=1)
    env.action_space.seed(1)
    total, before, terminated = 0.0, info["elapsed_seconds"], False
    while not terminated:
        action = env.action_space.sample(mask=info["action_mask"])
        _, reward, terminated, _, info = env.step(action)
        total += reward
        assert info["step_seconds"] == pytest.approx(info["elapsed_seconds"] - before)
        assert ("load_seconds" in info) == (action < 400)
        before = info["elapsed_seconds"]
    plan, instance = env.unwrapped.plan, env.unwrapped.instance
    check(plan, instance)
    assert info["goodput"] == plan.goodput == pytest.approx(total)
    assert info["arrived"] == instance.n_users
    assert info["served"] + info["expired"] <= instance.n_users
    assert info["loaded_bytes"] == plan.loaded_bytes(instance).sum()
    responses = plan.response_ns(instance) / 1e9
    assert info["response_p50"] == pytest.approx(np.percentile(responses, 50))
    assert info["response_p99"] == pytest.approx(np.percentile(responses, 99))
    asked = np.bincount(instance.requested_model, minlength=50)
    had = np.bincount(instance.requested_model[plan.users], minlength=50)
    np.testing.assert_allclose(info["goodput_per_model"][asked > 0], (had / np.maximum(1, asked))[asked > 0])


def test_waiting_goes_on_to_the_next_user():
    env = PartialLoadingOnlineEnv("tiny")
    instance = helpers.tiny([(0, 0), (30, 2), (50, 1)], 180, "demand")
    _, info = env.reset(options={"instance": instance})
    for arrived, now in ((2, 0.030), (3, 0.050)):
        assert info["action_mask"][6]
        _, reward, _, _, info = env.step(6)
        assert (reward, info["arrived"], info["elapsed_seconds"]) == (0.0, arrived, now)
    assert not info["action_mask"][6]
    assert len(env.plan) == 2
    env.step(4)
    assert env.plan.waits.tolist() == [2, 0]
    assert env.plan.actions(env) == [6, 6, 4]


def test_what_remains_goes_on_alike():
    """An environment that plays what remains shows the same from there on, memory of demand and of use included."""
    rng = np.random.default_rng(3)
    for eviction in ("lru", "demand", "previous"):
        env = PartialLoadingOnlineEnv(Scenario(eviction=eviction, episode_seconds=2.0, arrival_rate=60.0))
        _, info = env.reset(seed=int(rng.integers(100)))
        for _ in range(40):
            _, _, _, _, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))
        other = PartialLoadingOnlineEnv(env.scenario)
        _, theirs = other.reset(options={"instance": env.remaining()})
        while env.any_legal:
            np.testing.assert_array_equal(info["action_mask"], theirs["action_mask"])
            action = int(rng.choice(np.flatnonzero(info["action_mask"])))
            mine, yours = env.step(action), other.step(action)
            info, theirs = mine[4], yours[4]
            for key in set(mine[0]) - {"age"}:  # the end of a model's last batch is not in an instance
                np.testing.assert_array_equal(mine[0][key], yours[0][key], err_msg=key)
            assert info["step_seconds"] == pytest.approx(theirs["step_seconds"])
        assert not other.any_legal


def test_what_is_known_now_is_who_is_there():
    env = PartialLoadingOnlineEnv(**SHORT)
    env.reset(seed=0)
    known, everybody = env.remaining(to_come=False), env.remaining()
    assert 1 <= known.n_users < everybody.n_users == env.n_users
    assert (known.ready_ns <= 0).all()


def test_mistakes_are_named():
    env = PartialLoadingOnlineEnv(invalid_action="raise", **SHORT)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    _, info = env.reset(seed=0)
    illegal = int(np.flatnonzero(info["action_mask"] == 0)[0])
    with pytest.raises(InvalidAction, match="of its users can be in time"):
        env.step(illegal)
    for action in (-1, 401):
        with pytest.raises(InvalidAction, match="it must be from 0 to 400"):
            env.step(action)
    with pytest.raises(InvalidAction, match=r"action is 0\.5; it must be an integer"):
        env.step(0.5)
    with pytest.raises(InvalidValue, match=r"instance\.n_models is 3; it must be 50"):
        env.reset(options={"instance": helpers.tiny([(0, 0)])})
    with pytest.raises(InvalidValue, match="options"):
        env.reset(options={"scenario": 1})


def test_an_agent_that_names_a_model():
    env = gym.make("PartialLoadingOnline-v0", eviction="agent", **SHORT)
    assert env.action_space == gym.spaces.MultiDiscrete([401, 51])
    _, info = env.reset(seed=0)
    assert env.unwrapped.action_masks().shape == (401 + 51,)
    action = int(np.flatnonzero(info["action_mask"])[0])
    _, reward, _, _, _ = env.step(np.array([action, 50]))
    assert reward > 0
    with pytest.raises(InvalidAction, match="action is 51; it must be from 0 to 50"):
        env.step(np.array([400, 51]))


def test_copies_are_independent():
    env = PartialLoadingOnlineEnv(**SHORT)
    _, info = env.reset(seed=0)
    twin = copy.deepcopy(env)
    env.step(int(np.flatnonzero(info["action_mask"])[0]))
    assert twin.elapsed_seconds < env.elapsed_seconds
    pickle.loads(pickle.dumps(PartialLoadingOnlineEnv(**SHORT))).reset(seed=0)


# ---------------------------------------------------------------- many at once


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_many_environments_equal_single_ones(mode):
    """Observations, rewards, infos and what is reported at the end, bit for bit."""
    n, fields = 3, {"episode_seconds": 0.3, "eviction": "lru"}
    envs = gym.make_vec("PartialLoadingOnline-v0", num_envs=n, vector_kwargs=None, autoreset_mode=mode, **fields)
    singles = [PartialLoadingOnlineEnv(**fields) for _ in range(n)]
    observations, infos = envs.reset(seed=5)
    single_infos = [env.reset(seed=5 + i)[1] for i, env in enumerate(singles)]
    rng, done, n_ended = np.random.default_rng(0), np.zeros(n, dtype=bool), 0
    for _ in range(120):
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in infos["action_mask"]])
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        assert not truncations.any()
        final_infos = infos.get("final_info", {})
        for i, env in enumerate(singles):
            if done[i] and mode == AutoresetMode.NEXT_STEP:
                observation, info = env.reset()
                reward, terminated = 0.0, False
            else:
                observation, reward, terminated, _, info = env.step(int(actions[i]))
            assert rewards[i] == reward
            assert terminations[i] == terminated
            if terminated and mode == AutoresetMode.SAME_STEP:
                for key, value in info.items():
                    np.testing.assert_array_equal(final_infos[key][i], value, err_msg=key)
                for key, value in observation.items():
                    np.testing.assert_array_equal(infos["final_obs"][i][key], value)
                assert infos["final_episode"]["r"][i] == pytest.approx(info["goodput"])
                observation, info = env.reset()
            for key, value in observation.items():
                np.testing.assert_array_equal(observations[key][i], value, err_msg=key)
            for key, value in info.items():
                assert infos[f"_{key}"][i]
                np.testing.assert_array_equal(infos[key][i], value, err_msg=key)
            n_ended += terminated
            done[i] = terminated
        if mode == AutoresetMode.DISABLED and done.any():
            _, infos = envs.reset(options={"reset_mask": done})
            for i in np.flatnonzero(done):
                singles[i].reset()
            infos["action_mask"] = envs.unwrapped._episodes.mask
            done[:] = False
    assert n_ended >= 2
    del single_infos


def test_vector_mistakes_and_limits():
    envs = gym.make_vec("PartialLoadingOnline-v0", num_envs=2, max_episode_steps=3, **SHORT)
    _, infos = envs.reset(seed=0)
    with pytest.raises(InvalidAction, match="an action is 401"):
        envs.step(np.array([0, 401]))
    with pytest.raises(InvalidValue, match="actions"):
        envs.step(np.zeros((2, 2), dtype=int))
    for step in range(3):
        actions = infos["action_mask"].argmax(axis=1)
        _, _, _, truncations, infos = envs.step(actions)
        assert truncations.tolist() == [step == 2] * 2
    assert infos["final_episode"]["l"].tolist() == [3, 3]
    agents = gym.make_vec("PartialLoadingOnline-v0", num_envs=2, eviction="agent", **SHORT)
    _, infos = agents.reset(seed=0)
    chosen = np.stack([infos["action_mask"].argmax(axis=1), [50, 0]], axis=1)
    _, rewards, _, _, _ = agents.step(chosen)
    assert (rewards > 0).all()
    assert agents.unwrapped.action_masks().shape == (2, 452)
