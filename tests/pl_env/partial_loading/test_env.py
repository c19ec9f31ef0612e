"""The environment: Gymnasium's rules, randomness, illegal actions, learners. Its physics is in test_dynamics.py."""

from __future__ import annotations

import copy
import doctest
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import seeding
from gymnasium.utils.env_checker import check_env

import pl_env
from pl_env.partial_loading import env as env_module
from tests import helpers

IDS = {"PartialLoading-v0": "bls", "PartialLoadingGeneral-v0": "general-hard", "PartialLoadingFading-v0": "fading"}
PRESETS = pl_env.Scenario.presets()


def make(scenario="bls", id="PartialLoading-v0", **arguments):
    return gym.make(id, scenario=scenario, **arguments)


# ---------------------------------------------------------------- Gymnasium's and stable-baselines3's own checks


@pytest.mark.parametrize("preset", PRESETS)
def test_gymnasium_checks_every_preset_without_a_warning(preset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(preset).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("id", IDS)
def test_gymnasium_checks_every_id_without_a_warning(id):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(id)
        assert env.unwrapped.scenario == pl_env.Scenario.preset(IDS[id])
        check_env(env.unwrapped, skip_render_check=True)
        _, info = env.reset(seed=0)  # once more through Gymnasium's passive checker
        env.step(env.action_space.sample(mask=info["action_mask"]))


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_gymnasium_checks_rendering_without_a_warning(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make("tiny", render_mode=mode).unwrapped)


@pytest.mark.parametrize("preset", PRESETS)
def test_stable_baselines_checks_every_preset(preset):
    """Of the Dict it only advises against matrices, which the observation has; the flat one passes without a word."""
    from stable_baselines3.common.env_checker import check_env as check_for_learners

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_for_learners(make(preset), warn=False)
        check_for_learners(pl_env.FlatObservation(make(preset)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_for_learners(make(preset))
    advice = "Your observation {} has an unconventional shape"
    assert len(caught) == 2
    for key, warning in zip(("batch_time", "upload_time"), caught, strict=True):
        assert str(warning.message).startswith(advice.format(key))


def test_the_docstring_runs():
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(pl_env.PartialLoadingEnv, "PartialLoadingEnv", module=env_module)
    assert len(test.examples) >= 8
    assert doctest.DocTestRunner().run(test).failed == 0


def test_ids_through_the_module_and_overrides():
    env = gym.make("pl_env:PartialLoadingGeneral-v0", n_users=7, max_batch_size=3)
    assert env.unwrapped.scenario == pl_env.Scenario.preset("general-hard", n_users=7, max_batch_size=3)
    assert env.action_space.n == 25 * 3
    scenario = pl_env.Scenario(n_users=9)
    assert make(scenario).unwrapped.scenario == scenario
    assert make(scenario, deadline=0.5).unwrapped.scenario == pl_env.Scenario(n_users=9, deadline=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenario": "blz"}, "there is no preset 'blz'; known are: bls"),
        ({"scenario": 3}, "scenario is 3; it must be the name of a preset or a Scenario"),
        ({"K": 3}, "__init__() got an unexpected keyword argument 'K'; scenario fields are: backbones"),
        ({"n_users": 0}, "n_users is 0; it must be an integer from 1 to 1000000"),
        ({"invalid_action": "ignore"}, "invalid_action is 'ignore'; it must be one of 'terminate', 'raise'"),
        ({"render_mode": "svg"}, "render_mode is 'svg'; it must be one of 'ansi', 'rgb_array', 'human'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        pl_env.PartialLoadingEnv(**arguments)
    assert str(caught.value).startswith(message)


def test_nothing_works_before_the_first_reset():
    env = pl_env.PartialLoadingEnv("tiny", invalid_action="raise")
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    with pytest.raises(gym.error.ResetNeeded, match=r"before calling env\.reset"):
        env.instance  # noqa: B018


# ---------------------------------------------------------------- spaces, masks and observations, in plain Python


def test_spaces():
    env = pl_env.PartialLoadingEnv("tiny")
    assert env.action_space == gym.spaces.Discrete(6)
    shapes = {key: space.shape for key, space in env.observation_space.items()}
    assert shapes == {"budget": (1,), "resident": (4,), "load_time": (3,), "pending": (3,), "upload_time": (3, 2),
                      "batch_time": (3, 2)}  # fmt: skip
    for space in env.observation_space.values():
        assert (space.dtype, space.low.min(), space.high.max()) == (np.float32, 0, 1)


@pytest.mark.parametrize("preset", PRESETS)
def test_random_rollouts_pass_the_judge_and_return_the_served_ratio(preset):
    env = make(preset)
    rng = np.random.default_rng(0)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        total, terminated = helpers.random_rollout(env, rng, info["action_mask"])
        schedule = env.unwrapped.schedule
        assert terminated
        assert env.action_space.n == env.unwrapped.action_masks().sum()
        assert total == pytest.approx(schedule.served_ratio)
        assert schedule.served > 0
        pl_env.check(schedule, env.unwrapped.instance)


@pytest.mark.parametrize("id", IDS)
def test_masked_sampling_takes_the_mask_of_the_info(id):
    env = gym.make(id)
    _, info = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(200):
        assert info["action_mask"].dtype == np.int8
        action = env.action_space.sample(mask=info["action_mask"])
        assert env.unwrapped.action_masks()[action]
        _, _, terminated, _, info = env.step(action)
        assert not info["invalid_action"]
        if terminated:
            assert env.action_space.sample(mask=info["action_mask"]) in env.action_space
            _, info = env.reset()


def test_what_is_returned_belongs_to_the_caller():
    """Later steps change nothing that was handed out before, and writing into it changes no later step."""
    env = make("tiny").unwrapped
    handed = [env.reset(seed=0)]
    snapshot = copy.deepcopy(handed)
    mask = env.action_masks()
    schedule = env.schedule
    while env.any_legal:
        step = env.step(int(np.argmax(handed[-1][-1]["action_mask"])))
        handed.append((step[0], step[-1]))
        snapshot.append(copy.deepcopy(handed[-1]))
    for (observation, info), (observation_then, info_then) in zip(handed, snapshot, strict=True):
        assert all(np.array_equal(observation[key], observation_then[key]) for key in observation)
        assert info.keys() == info_then.keys()
        assert np.array_equal(info["action_mask"], info_then["action_mask"])
        held = env.episodes.arrays.mask
        assert not any(np.shares_memory(value, held) for value in (mask, info["action_mask"]))
    assert schedule.served == 0
    schedule, arrays = env.schedule, ("history", "users", "user_upload_ns")
    before = [getattr(schedule, name).copy() for name in arrays]
    env.reset(seed=1)
    helpers.random_rollout(env, np.random.default_rng(0), env.action_masks())
    assert schedule.served > 0
    assert all(np.array_equal(getattr(schedule, name), then) for name, then in zip(arrays, before, strict=True))
    env.reset(seed=0)
    for array in (*handed[0][0].values(), handed[0][1]["action_mask"], env.action_masks()):
        array[...] = 0
    assert env.action_masks().tolist() == snapshot[0][1]["action_mask"].astype(bool).tolist()


# ---------------------------------------------------------------- randomness

EPISODE = """
import hashlib, gymnasium as gym, numpy as np, pl_env
env = gym.make({id!r})
digest = hashlib.sha256()
_, info = env.reset(seed=11)
for episode in range(3):
    rng, terminated = np.random.default_rng(episode), False
    while not terminated:
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        observation, reward, terminated, _, info = env.step(action)
        digest.update(b"".join(value.tobytes() for value in observation.values()) + repr(reward).encode())
        digest.update(info["action_mask"].tobytes())
    digest.update(env.unwrapped.instance.content_hash().encode())
    _, info = env.reset()
print(digest.hexdigest())
"""


@pytest.mark.parametrize("id", IDS)
def test_the_same_seed_gives_the_same_episodes_in_two_processes(id, capsys):
    code = EPISODE.format(id=id)
    exec(code, {})
    assert helpers.run_python(code) == capsys.readouterr().out


@pytest.mark.parametrize("fields", [{}, {"n_users": (3, 30)}, {"resample_library": True, "n_users": (3, 30)}])
@pytest.mark.parametrize("preset", ["bls", "fading"])
def test_reset_draws_what_the_scenario_samples(preset, fields):
    scenario = pl_env.Scenario.preset(preset, **fields)
    env = make(scenario).unwrapped
    rng = seeding.np_random(7)[0]
    env.reset(seed=7)
    for _ in range(4):
        sampled = scenario.sample(rng)
        assert env.instance == sampled
        env.reset()


@pytest.mark.parametrize("preset", ["bls", "fading"])
@pytest.mark.parametrize("of", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_made_in_mid_episode_goes_on_alike(preset, of):
    """With its own state: the original does not move when the copy does."""
    env = make(preset, n_users=(40, 60)).unwrapped
    _, info = env.reset(seed=3)
    helpers.random_rollout(env, np.random.default_rng(0), info["action_mask"], n_steps=4)
    twin, before = of(env), env.schedule
    endings = []
    for one in (twin, env):
        assert np.array_equal(one.schedule.history, before.history)
        helpers.random_rollout(one, np.random.default_rng(1), one.action_masks())
        one.reset()
        helpers.random_rollout(one, np.random.default_rng(2), one.action_masks())
        endings.append((one.schedule.history.tolist(), one.schedule.users.tolist(), one.instance))
    assert endings[0] == endings[1]


def test_the_number_of_users_varies_within_its_range():
    env = make("tiny", n_users=(1, 4))
    rewards = set()
    env.reset(seed=0)
    for _ in range(60):
        _, info = env.reset()
        n_users = env.unwrapped.instance.n_users
        _, reward, *_ = env.step(int(np.argmax(info["action_mask"])))
        assert reward == 1 / n_users
        rewards.add(reward)
    assert rewards == {1, 1 / 2, 1 / 3, 1 / 4}


def test_a_library_drawn_for_every_episode():
    env = make("bls", resample_library=True, n_models=9).unwrapped
    env.reset(seed=0)
    libraries = []
    for _ in range(4):
        observation, info = env.reset()
        libraries.append(env.instance.block_bytes.tolist())
        assert observation in env.observation_space
        assert env.instance.n_blocks <= env.observation_space["resident"].shape[0]
        helpers.random_rollout(env, np.random.default_rng(0), info["action_mask"])
        pl_env.check(env.schedule, env.instance)
    assert len({tuple(library) for library in libraries}) == 4


def test_a_given_instance_is_played_once():
    """The next reset draws again, with the scenario's own library and constants."""
    scenario = pl_env.Scenario.preset("bls", n_users=10)
    given = scenario.override(library_seed=5, deadline=0.2, fading="batch").sample(np.random.default_rng(0))
    scenario = scenario.override(n_users=12, resample_library=True)
    env = make(scenario).unwrapped
    env.reset(seed=0, options={"instance": given})
    assert env.instance is given
    helpers.random_rollout(env, np.random.default_rng(0), env.action_masks())
    pl_env.check(env.schedule, given)
    env.reset(seed=4)
    assert env.instance == scenario.sample(seeding.np_random(4)[0])
    env.reset(seed=4, options={})
    assert env.instance.n_users == 12


def test_the_scenarios_own_library_is_back_after_a_given_instance():
    """The instance's allows batches of one only."""
    env = make("tiny").unwrapped
    ones = helpers.changed(helpers.tiny_with_requests([0, 0]), table={"max_batch": np.ones(3, dtype=int)})
    _, info = env.reset(options={"instance": ones})
    assert info["action_mask"].tolist() == [1, 0, 0, 0, 0, 0]
    masks = []
    for seed in range(5):
        masks.append(env.reset(seed=seed)[1]["action_mask"])
        assert env.instance == env.scenario.sample(seeding.np_random(seed)[0])
    assert np.any(masks, axis=0)[1::2].all()


def test_instances_that_do_not_fit_are_refused():
    env = make("tiny").unwrapped
    env.reset(seed=0)
    before = env.instance
    wide = helpers.changed(helpers.tiny_with_requests([0]), table={
        "has_block": np.ones((3, 5), dtype=bool), "block_bytes": np.ones(5, dtype=int),
        "block_load_ns": np.ones(5, dtype=int)})  # fmt: skip
    for instance, message in [
        (
            pl_env.Scenario().sample(np.random.default_rng(0)),
            "instance.n_models is 50; it must be 3, as in the scenario",
        ),
        (wide, "instance.n_blocks is 5; it must be at most 4, as in the scenario"),
        ("instance.npz", "options['instance'] is 'instance.npz'; it must be an Instance of pl_env.partial_loading"),
    ]:
        with pytest.raises(pl_env.InvalidValue) as caught:
            env.reset(options={"instance": instance})
        assert str(caught.value) == message
        assert env.instance is before
    env.step(int(np.argmax(env.action_masks())))


def test_an_instance_without_users_is_over_at_once():
    env = make("tiny").unwrapped
    nobody = helpers.tiny_with_requests([])
    observation, info = env.reset(options={"instance": nobody})
    assert observation in env.observation_space
    assert info["action_mask"].tolist() == [1] * 6
    _, reward, terminated, _, info = env.step(0)
    assert (reward, terminated, info["invalid_action"]) == (0.0, True, True)
    pl_env.check(env.schedule, nobody)


# ---------------------------------------------------------------- illegal actions


def illegal_in_tiny() -> list[tuple[int, str]]:
    """Actions that are illegal after model 1's batch of two, and why."""
    return [
        (1, "action is 1, a batch of 2 for model 0; only 1 users of it are pending"),
        (2, "action is 2, a batch of 1 for model 1; only 0 users of it are pending"),
        (4, "action is 4, a batch of 1 for model 2; it would end after the deadline, 0.047800 s from now"),
        (6, "action is 6; it must be from 0 to 5"),
        (-1, "action is -1; it must be from 0 to 5"),
        (2**70, f"action is {2**70}; it must be from 0 to 5"),
    ]


@pytest.mark.parametrize(("action", "message"), illegal_in_tiny())
def test_illegal_actions(action, message):
    instance = helpers.tiny_with_requests([0, 1, 1, 2, 2])
    for mode in ("terminate", "raise"):
        env = make("tiny", invalid_action=mode).unwrapped
        env.reset(options={"instance": instance})
        observation, *_ = env.step(3)
        if mode == "raise" or not 0 <= action < 6:
            with pytest.raises(pl_env.InvalidAction) as caught:
                env.step(action)
            assert str(caught.value) == message
            assert env.any_legal
            assert env.step(0)[1:3] == (1 / 5, True)
            continue
        after, reward, terminated, truncated, info = env.step(action)
        assert (reward, terminated, truncated, info["invalid_action"]) == (0.0, True, False, True)
        assert "load_seconds" not in info
        assert info["served"] == 2
        assert info["action_mask"].tolist() == [1] * 6
        assert not env.any_legal
        assert all(np.array_equal(after[key], observation[key]) for key in observation)
        assert env.schedule.served == 2
        pl_env.check(env.schedule, instance)


def test_a_batch_that_memory_does_not_allow_is_illegal():
    instance = helpers.changed(helpers.tiny_with_requests([0, 0]), table={"max_batch": np.array([1, 2, 2])})
    env = make("tiny", invalid_action="raise").unwrapped
    env.reset(options={"instance": instance})
    with pytest.raises(pl_env.InvalidAction, match="a batch of 2 for model 0; at most 1 fit into GPU memory"):
        env.step(1)


@pytest.mark.parametrize("mode", ["terminate", "raise"])
@pytest.mark.parametrize("action", [1.0, "1", None, np.array([0, 1]), np.float64(1)])
def test_actions_that_are_no_integers_always_raise(mode, action):
    env = make("tiny", invalid_action=mode).unwrapped
    env.reset(seed=0)
    with pytest.raises(pl_env.InvalidAction, match="it must be an integer"):
        env.step(action)


@pytest.mark.parametrize("action", [2, np.int64(2), np.int8(2), np.array(2)])
def test_any_integer_type_is_an_action(action):
    env = make("tiny").unwrapped
    env.reset(options={"instance": helpers.tiny_with_requests([1])})
    assert env.step(action)[1] == 1.0


def test_a_refused_action_changes_nothing_and_a_retry_draws_the_same():
    """Fading is drawn only for a batch that runs, in mid-episode and at the end."""
    refused, plain = (make("fading", invalid_action="raise", n_users=20).unwrapped for _ in range(2))
    rng = np.random.default_rng(0)
    refused.reset(seed=0)
    plain.reset(seed=0)
    while plain.any_legal:
        illegal = np.flatnonzero(~plain.action_masks())
        for action in (*rng.choice(illegal, 3), 400, -1):
            with pytest.raises(pl_env.InvalidAction):
                refused.step(action)
        assert np.array_equal(refused.action_masks(), plain.action_masks())
        action = rng.choice(np.flatnonzero(plain.action_masks()))
        one, other = refused.step(action), plain.step(action)
        assert one[1:4] == other[1:4]
        assert all(np.array_equal(one[0][key], other[0][key]) for key in one[0])
    for action in range(400):
        with pytest.raises(pl_env.InvalidAction):
            refused.step(action)
    refused.reset()
    plain.reset()
    assert refused.instance == plain.instance


# ---------------------------------------------------------------- vectors and learners


def test_make_vec_equals_single_environments():
    n_envs = 3
    vector = gym.make_vec("PartialLoadingFading-v0", num_envs=n_envs, vectorization_mode="sync", n_users=20)
    singles = [gym.make("PartialLoadingFading-v0", n_users=20) for _ in range(n_envs)]
    observation, info = vector.reset(seed=5)
    masks = [env.reset(seed=5 + n)[1]["action_mask"] for n, env in enumerate(singles)]
    for _ in range(3):
        assert np.array_equal(info["action_mask"], masks)
        actions = [int(np.argmax(mask)) for mask in masks]
        observation, rewards, _, _, info = vector.step(actions)
        for n, (env, action) in enumerate(zip(singles, actions, strict=True)):
            one, reward, terminated, _, one_info = env.step(action)
            assert not terminated
            masks[n] = one_info["action_mask"]
            assert rewards[n] == reward
            assert all(np.array_equal(observation[key][n], one[key]) for key in one)
    vector.close()


@pytest.mark.parametrize("id", IDS)
def test_maskable_ppo_trains_on_the_dict(id):
    from sb3_contrib import MaskablePPO

    env = gym.make(id, n_users=20, invalid_action="raise")  # an unmasked action would raise
    model = MaskablePPO("MultiInputPolicy", env, n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(128)
    assert model.num_timesteps == 128
    observation, info = env.reset(seed=0)
    action, _ = model.predict(observation, action_masks=info["action_mask"])
    assert info["action_mask"][action]


def test_unknown_options_are_refused():
    env = pl_env.PartialLoadingEnv("tiny")
    with pytest.raises(pl_env.InvalidValue, match=r"options is \{.instanse.: None\}; it must be None or"):
        env.reset(options={"instanse": None})


def test_a_step_after_the_end_is_warned_of():
    env = make("tiny").unwrapped
    env.reset(options={"instance": helpers.tiny_with_requests([1])})
    assert env.step(2)[2]
    with pytest.warns(UserWarning, match=r"step\(\) was called after the end of the episode"):
        env.step(2)


@pytest.mark.parametrize("options", [5, [], {"seed": 3}])
def test_options_that_are_none(options):
    with pytest.raises(pl_env.InvalidValue, match=r"options is .*; it must be None or \{.instance"):
        make("tiny").unwrapped.reset(options=options)
