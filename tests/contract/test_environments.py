"""Environments: the checkers of Gymnasium and stable-baselines3, copies, seeds, vectors, golden text."""

from __future__ import annotations

import copy
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import pl_env
from pl_env.systems import SYSTEMS, face
from tests import helpers
from tests.contract import golden


def assert_same(one, other):
    """Nested dicts, arrays and numbers that are equal bit for bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def rollout(env, seed: int) -> list:
    """Everything that a random episode shows."""
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    seen, over = [(observation, info)], False
    while not over:
        seen.append(env.step(golden.random_action(env, info)))
        _, _, terminated, truncated, info = seen[-1]
        over = terminated or truncated
    return seen


def test_gymnasiums_checker(environment_id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(environment_id).unwrapped, skip_render_check=True)


def test_the_checker_of_stable_baselines3(environment_id):
    from stable_baselines3.common.env_checker import check_env as check_for_learners

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of boxes with two axes, which it takes for pictures
        check_for_learners(gym.make(environment_id).unwrapped)


def test_observations_are_flat_dicts_of_fractions(environment_id):
    space = gym.make(environment_id).observation_space
    assert isinstance(space, gym.spaces.Dict)
    for box in space.values():
        assert isinstance(box, gym.spaces.Box)
        assert box.dtype == np.float32
        assert (box.low == 0).all()
        assert (box.high == 1).all()


def test_rewards_sum_to_the_objective(environment_id):
    env = gym.make(environment_id)
    for seed in range(3):
        seen = rollout(env, seed)
        plan = env.unwrapped.plan
        sign = 1 if plan.SENSE == "max" else -1
        assert sum(step[1] for step in seen[1:]) == pytest.approx(sign * plan.objective)
        assert len(plan) == len(seen) - 1
        face(golden.system_of_id(environment_id)).check(plan, env.unwrapped.instance)


def test_masks_agree_and_tell_what_is_legal(environment_id):
    env = gym.make(environment_id)
    _, info = env.reset(seed=0)
    if "action_mask" not in info:
        pytest.skip("every action is legal")
    mask = info["action_mask"]
    assert mask.dtype == np.int8
    masks = env.unwrapped.action_masks()
    assert masks.dtype == np.bool_
    np.testing.assert_array_equal(masks, mask == 1)
    assert 0 < mask.sum() < mask.size
    illegal = int(np.flatnonzero(mask == 0)[0])
    _, _, terminated, _, info = env.step(illegal)
    assert terminated
    assert info["invalid_action"]


def test_what_is_no_action_of_the_space_raises_and_changes_nothing(environment_id):
    env = gym.make(environment_id).unwrapped
    env.reset(seed=0)
    before = env.action_masks()
    for action in (env.action_space.n, -1, 2**70, 10**5000, 0.5, "x", None, np.zeros(10_000)):
        with pytest.raises(pl_env.InvalidAction, match=r"action is .*; it must be (an integer|from 0 to)") as caught:
            env.step(action)
        assert len(str(caught.value)) < 150
    np.testing.assert_array_equal(env.action_masks(), before)
    env.step(int(np.flatnonzero(before)[0]))


@pytest.mark.parametrize("options", [5, [], "x", {"a": 1}, {"instance": 3}, {"instance": None, "seed": 1}])
def test_options_that_do_not_exist_are_refused(environment_id, options):
    with pytest.raises(pl_env.InvalidValue, match=r"^options.* is .*; it must be"):
        gym.make(environment_id).unwrapped.reset(options=options)


def test_the_same_seed_gives_the_same_episode(environment_id):
    one, other = gym.make(environment_id), gym.make(environment_id)
    for first, second in zip(rollout(one, 3), rollout(other, 3), strict=True):
        for mine, yours in zip(first, second, strict=True):
            assert_same(mine, yours)


def test_copies_and_pickles_in_mid_episode_go_on_alike(environment_id):
    env = gym.make(environment_id).unwrapped
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    env.step(golden.random_action(env, info))
    for twin in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        original, over = copy.deepcopy(env), False
        while not over:
            action = golden.random_action(original, {"action_mask": original.action_masks().astype(np.int8)})
            expected, found = original.step(action), twin.step(action)
            assert_same(dict(enumerate(expected)), dict(enumerate(found)))
            over = expected[2] or expected[3]


def test_a_given_instance_is_replayed(environment_id):
    env = gym.make(environment_id).unwrapped
    env.reset(seed=5)
    instance = env.instance
    before = rollout(env, 5)
    env.action_space.seed(5)
    observation, info = env.reset(seed=5, options={"instance": instance})
    assert_same(observation, before[0][0])
    assert_same(info, before[0][1])
    assert env.instance.content_hash() == instance.content_hash()


def test_what_remains_is_an_instance_of_its_own(environment_id):
    env = gym.make(environment_id).unwrapped
    env.action_space.seed(1)
    _, info = env.reset(seed=1)
    assert isinstance(env.remaining(), face(golden.system_of_id(environment_id)).Instance)
    env.step(golden.random_action(env, info))
    left = env.remaining()
    assert left.content_hash() != env.instance.content_hash()


def test_the_native_vector_form_equals_single_environments(environment_id):
    row = SYSTEMS[golden.system_of_id(environment_id)]
    if row["vector_entry_point"] is None:
        pytest.skip("many environments are Gymnasium's SyncVectorEnv")
    native = gym.make_vec(environment_id, num_envs=3, vectorization_mode="vector_entry_point")
    single = gym.make_vec(environment_id, num_envs=3, vectorization_mode="sync")
    native.action_space.seed(0)
    for envs in (native, single):
        envs.reset(seed=7)
    infos = native.reset(seed=7)[1]
    for _ in range(60):
        actions = native.action_space.sample(mask=tuple(infos["action_mask"])) if "action_mask" in infos else None
        actions = native.action_space.sample() if actions is None else actions
        expected, found = single.step(actions), native.step(actions)
        for mine, yours in zip(expected[:4], found[:4], strict=True):
            assert_same(mine, yours)
        infos = found[4]
        for key in ("action_mask", "invalid_action"):
            if key in infos:
                np.testing.assert_array_equal(infos[key], expected[4][key])


def test_two_processes_play_the_same_episodes(system):
    code = f"from tests.contract import golden\nprint(golden.text({system!r}))"
    assert helpers.run_python(code, PYTHONHASHSEED="1") == helpers.run_python(code, PYTHONHASHSEED="2")


def test_the_golden_text_of_an_episode(system):
    """Whoever changes it on purpose writes it anew: ``python -m tests.contract.golden``."""
    assert golden.text(system) == golden.path(system).read_text()


def test_rendering(environment_id):
    text = gym.make(environment_id, render_mode="ansi")
    text.reset(seed=0)
    assert text.render().strip()
    frames = gym.make(environment_id, render_mode="rgb_array")
    frames.reset(seed=0)
    frame = frames.render()
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert frame.std() > 0


def test_the_docstring_has_every_section_and_runs(environment_id):
    import doctest
    import sys

    kind = type(gym.make(environment_id).unwrapped)
    for heading in (
        *("Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Arguments"),
        "Version History",
    ):
        assert f"## {heading}" in kind.__doc__
    finder = doctest.DocTestFinder(recurse=False)
    [test] = finder.find(kind, kind.__name__, module=sys.modules[kind.__module__])
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
