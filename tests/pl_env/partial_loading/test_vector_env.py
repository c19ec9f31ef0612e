"""The vector environment against Gymnasium's SyncVectorEnv of single environments."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import pl_env
from pl_env import PartialLoadingEnv, PartialLoadingVectorEnv

PRESETS = {
    "bls": {},
    "general-hard": {},
    "fading": {"n_users": 30},
    "tiny": {},
    "tiny fading": {"scenario": "tiny", "fading": "batch"},
    "users range": {"scenario": "bls", "n_users": (5, 40)},
    "libraries": {"scenario": "bls", "n_models": 6, "resample_library": True},
    "all at once": {"scenario": "fading", "n_models": 4, "resample_library": True, "n_users": (5, 40), "deadline": 1.2},
    "many users of a model": {"scenario": "bls", "n_models": 3, "n_users": (20, 120), "deadline": 1.0},
    "long deadline": {"scenario": "bls", "deadline": 1.5, "n_models": 5},
}


def pair_of(preset: str, **overrides) -> tuple[PartialLoadingVectorEnv, SyncVectorEnv]:
    """Both, just reset."""
    both = (
        PartialLoadingVectorEnv(3, preset, autoreset_mode=AutoresetMode.SAME_STEP, **overrides),
        SyncVectorEnv([lambda: PartialLoadingEnv(preset, **overrides)] * 3, autoreset_mode=AutoresetMode.SAME_STEP),
    )
    for environments in both:
        environments.reset(seed=8)
    return both


def pair(name: str, mode: AutoresetMode, n: int = 7) -> tuple[PartialLoadingVectorEnv, SyncVectorEnv]:
    arguments = {"scenario": name} | PRESETS[name]
    single = [lambda: PartialLoadingEnv(**arguments)] * n
    return PartialLoadingVectorEnv(n, autoreset_mode=mode, **arguments), SyncVectorEnv(single, autoreset_mode=mode)


def assert_same(ours, theirs, path=""):
    """Equal to the bit, keys and dtypes included."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), path
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{path}.{key}")
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other, path)
    elif theirs is None:
        assert ours is None, path
    else:
        assert ours.dtype == theirs.dtype, path
        np.testing.assert_array_equal(ours, theirs, err_msg=path)


def choose(rng: np.random.Generator, masks: np.ndarray, illegal: float) -> np.ndarray:
    actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
    wild = rng.random(len(actions)) < illegal
    return np.where(wild, rng.integers(masks.shape[1], size=len(actions)), actions)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_equals_single_environments_to_the_bit(name, mode):
    """400 steps of 7 environments with illegal actions among them, for every preset and every autoreset mode."""
    ours, theirs = pair(name, mode)
    rng = np.random.default_rng(0)
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    result, expected = ours.reset(seed=3), theirs.reset(seed=3)
    assert_same(result[0], expected[0])
    assert_same(result[1], expected[1])
    ended = 0
    for _ in range(400):
        actions = choose(rng, ours.action_masks(), illegal=0.02)
        result, expected = ours.step(actions), theirs.step(actions)
        for key in ("final_episode", "_final_episode"):  # its own statistics, tested below
            result[4].pop(key, None)
        for part, other in zip(result, expected, strict=True):
            assert_same(part, other)
        ended += int(result[2].sum())
        if mode == AutoresetMode.DISABLED and result[2].any():
            result, expected = (env.reset(options={"reset_mask": result[2].copy()}) for env in (ours, theirs))
            assert_same(result[0], expected[0])
            assert_same(result[1], expected[1])
    assert ended > 20


@pytest.mark.parametrize("preset", ["bls", "fading", "general-hard"])
def test_what_remains_is_what_remains_of_single_environments(preset):
    """Users stand in another order, by model and upload time, where channels stay."""
    ours, theirs = pair_of(preset, n_users=(10, 30))
    rng = np.random.default_rng(1)
    for _ in range(12):
        for one, single in zip(ours.remaining(), theirs.envs, strict=True):
            other = single.unwrapped.remaining()
            if preset == "fading":
                assert one == other
                continue
            order = np.lexsort((other.upload_ns, other.requested_model))
            np.testing.assert_array_equal(one.requested_model, other.requested_model[order])
            np.testing.assert_array_equal(one.upload_ns, other.upload_ns[order])
            for name in ("deadline_ns", "slot_ns", "resident", "fading", "unit_upload_ns"):
                assert getattr(one, name) == getattr(other, name)
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in ours.action_masks()])
        ours.step(actions)
        theirs.step(actions)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_episode_statistics_are_those_of_gymnasiums_wrapper(mode):
    ours, theirs = pair("users range", mode)
    theirs = gym.wrappers.vector.RecordEpisodeStatistics(theirs)
    rng = np.random.default_rng(1)
    ours.reset(seed=3), theirs.reset(seed=3)
    seen = 0
    for _ in range(200):
        actions = choose(rng, ours.action_masks(), illegal=0.02)
        *_, terminations, _, infos = ours.step(actions)
        *_, expected = theirs.step(actions)
        assert ("final_episode" in infos) == bool(terminations.any())
        if terminations.any():
            seen += int(terminations.sum())
            np.testing.assert_array_equal(infos["_final_episode"], expected["_episode"])
            np.testing.assert_array_equal(infos["final_episode"]["l"], expected["episode"]["l"])
            np.testing.assert_allclose(infos["final_episode"]["r"], expected["episode"]["r"], rtol=0, atol=1e-6)
    assert seen > 10


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_gymnasiums_wrapper_for_episode_statistics_goes_round_it(mode):
    """As in every script that trains with vector environments; the wrapper wants the key "episode" for itself."""
    ours = gym.wrappers.vector.RecordEpisodeStatistics(pl_env.PartialLoadingVectorEnv(5, "bls", autoreset_mode=mode))
    rng = np.random.default_rng(1)
    ours.reset(seed=3)
    ended = 0
    for _ in range(80):
        actions = choose(rng, ours.unwrapped.action_masks(), illegal=0.02)
        *_, terminations, _, infos = ours.step(actions)
        if terminations.any():
            ended += int(terminations.sum())
            np.testing.assert_array_equal(infos["episode"]["l"], infos["final_episode"]["l"])
    assert ended > 5
    assert len(ours.return_queue) == ended


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_truncation_is_that_of_gymnasiums_time_limit(mode):
    """Through `gym.make_vec`, with illegal actions, also in the step in which the time is over."""
    arguments = {"num_envs": 5, "max_episode_steps": 6, "vector_kwargs": {"autoreset_mode": mode}}
    ours = gym.make_vec("PartialLoading-v0", num_envs=5, max_episode_steps=6, autoreset_mode=mode)
    theirs = gym.make_vec("PartialLoading-v0", vectorization_mode="sync", **arguments)
    rng = np.random.default_rng(0)
    ours.reset(seed=3), theirs.reset(seed=3)
    truncated = both = 0
    for _ in range(60):
        actions = choose(rng, ours.unwrapped.action_masks(), illegal=0.1)
        result, expected = ours.step(actions), theirs.step(actions)
        for key in ("final_episode", "_final_episode"):
            result[4].pop(key, None)
        for part, other in zip(result, expected, strict=True):
            assert_same(part, other)
        truncated, both = truncated + int(result[3].sum()), both + int((result[2] & result[3]).sum())
        ended = result[2] | result[3]
        if mode == AutoresetMode.DISABLED and ended.any():
            for env in (ours, theirs):
                env.reset(options={"reset_mask": ended.copy()})
    assert truncated > 20
    assert both > 0


@pytest.mark.parametrize("action", [-1, 400, 10**9])
def test_an_action_outside_the_space_is_an_error(action):
    env = PartialLoadingVectorEnv(2, "bls")
    env.reset(seed=0)
    with pytest.raises(pl_env.InvalidAction, match=f"an action is {action}; it must be from 0 to 399"):
        env.step(np.array([0, action]))


def test_make_vec_makes_it():
    env = gym.make_vec("PartialLoading-v0", num_envs=3, n_users=20)
    assert isinstance(env.unwrapped, PartialLoadingVectorEnv)
    assert env.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    _, infos = env.reset(seed=0)
    assert infos["action_mask"].shape == (3, 400)
    sync = gym.make_vec("PartialLoading-v0", num_envs=3, vectorization_mode="sync", n_users=20)
    assert_same(env.reset(seed=5)[0], sync.reset(seed=5)[0])


def test_copies_stay_and_the_arrays_themselves_do_not():
    for copied in (True, False):
        env = PartialLoadingVectorEnv(4, "bls", copy=copied)
        first, infos = env.reset(seed=0)
        before = {key: value.copy() for key, value in first.items()}
        second, *_ = env.step([int(np.flatnonzero(mask)[0]) for mask in infos["action_mask"]])
        assert (second["batch_time"] is first["batch_time"]) is not copied
        assert np.array_equal(first["budget"], before["budget"]) is copied


def test_seeds_one_by_one_and_what_goes_on_without():
    env = PartialLoadingVectorEnv(3, "bls")
    together, _ = env.reset(seed=10)
    one_by_one, _ = env.reset(seed=[10, 11, 12])
    assert_same(one_by_one, together)
    following, _ = env.reset()
    assert not np.array_equal(following["upload_time"], together["upload_time"])
    env.reset(seed=10)
    repeated, _ = env.reset()
    assert_same(repeated, following)


@pytest.mark.parametrize("seed", [1.5, "ab", [1.5, "a", 0], [-1, 2, 3], -1, [1, 2]])
def test_seeds_that_are_none(seed):
    env = PartialLoadingVectorEnv(3, "tiny")
    with pytest.raises(pl_env.InvalidValue, match=r"seed.* is .*; it must be"):
        env.reset(seed=seed)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_by_itself(duplicate):
    """In the middle of episodes, channel draws included."""
    env = PartialLoadingVectorEnv(5, "fading", n_users=10)
    rng = np.random.default_rng(2)
    env.reset(seed=0)
    for _ in range(5):
        env.step(choose(rng, env.action_masks(), illegal=0))
    twin = duplicate(env)
    for _ in range(40):
        actions = choose(rng, env.action_masks(), illegal=0.02)
        for part, other in zip(env.step(actions), twin.step(actions), strict=True):
            assert_same(part, other)


def test_masks_are_those_of_the_infos():
    env = PartialLoadingVectorEnv(5, "tiny")
    _, infos = env.reset(seed=0)
    assert env.action_masks().dtype == np.bool_
    np.testing.assert_array_equal(env.action_masks(), infos["action_mask"] == 1)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda env: env.step([0, 0, 0]), "actions is .* it must be integers of shape \\(2,\\)"),
        (lambda env: env.step([0.5, 0.5]), "it must be integers of shape"),
        (lambda env: env.reset(seed=[1]), "len\\(seed\\) is 1; it must be 2"),
        (lambda env: env.reset(options={"reset_mask": np.array([True])}), "a bool array of shape \\(2,\\)"),
        (lambda env: env.reset(options={"instance": 3}), "only a reset_mask"),
        (lambda env: env.reset(options=5), "options is 5; it must be None or a dict"),
        (lambda env: env.reset(seed=1.5), "seed is 1.5; it must be an integer, None, or a sequence of them"),
        (lambda env: PartialLoadingVectorEnv(2, autoreset_mode="x"), "autoreset_mode is 'x'; it must be one of"),
        (lambda env: PartialLoadingVectorEnv(2, max_episode_steps=0), "max_episode_steps is 0"),
        (lambda env: PartialLoadingVectorEnv(0), "num_envs is 0"),
        (lambda env: PartialLoadingVectorEnv(2, invalid_action="raise"), "invalid_action is 'raise'"),
        (lambda env: PartialLoadingVectorEnv(2, render_mode="human"), "the single environment renders"),
    ],
)
def test_mistakes_give_one_clear_sentence(act, message):
    env = PartialLoadingVectorEnv(2, "tiny")
    env.reset(seed=0)
    with pytest.raises(pl_env.InvalidValue, match=message):
        act(env)


def test_order_of_calls():
    env = PartialLoadingVectorEnv(2, "tiny", autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(pl_env.InvalidValue, match="called after reset"):
        env.step([0, 0])
    with pytest.raises(pl_env.InvalidValue, match="all True at the first reset"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset(seed=0)

    while not env._done.any():
        env.step([int(np.flatnonzero(mask)[0]) for mask in env.action_masks()])
    with pytest.raises(pl_env.InvalidValue, match="followed by a reset of what has ended"):
        env.step([0, 0])
