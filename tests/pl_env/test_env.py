"""The environment against plain Python, against the planners, and against its own promises."""

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

import baselines
import pl_env
from pl_env.partial_loading import env as env_module
from pl_env.partial_loading.dynamics import COMPUTE, FINISH, LOAD, SIZE, UPLOAD
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
    assert make(scenario).unwrapped.scenario is not None
    assert make(scenario, deadline=0.5).unwrapped.scenario == pl_env.Scenario(n_users=9, deadline=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenario": "blz"}, "there is no preset 'blz'; known are: bls"),
        ({"scenario": 3}, "scenario is 3; it must be the name of a preset or a Scenario"),
        ({"K": 3}, "there is no scenario field 'K'; known are: backbones"),
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
    with pytest.raises(pl_env.InvalidValue, match=r"it must be asked for after reset\(\)"):
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


def expected_observation(episode: helpers.PlainEpisode, n_resident: int) -> dict[str, np.ndarray]:
    """The observation of an episode by its definition: times as fractions of the deadline, clipped at 1."""
    instance, cap = episode.instance, episode.batch_cap
    whole = max(1, instance.deadline_ns)
    models, sizes = range(instance.n_models), range(cap)
    held = instance.has_block[episode.resident] if episode.resident >= 0 else np.zeros(instance.n_blocks)
    upload, time = np.ones((len(models), cap)), np.ones((len(models), cap))
    for model in models:
        for size in sizes:
            _, users, total = episode.batch(model * cap + size)
            if len(users) == size + 1 <= instance.max_batch[model]:
                upload[model, size] = min(1, sum(episode.uploads[user] for user in users) / whole)
                time[model, size] = min(1, total / whole)
    loads = [helpers.load_time(instance, episode.resident, model) for model in models]
    return {
        "budget": np.array([(instance.deadline_ns - episode.elapsed) / whole]),
        "resident": np.concatenate([held, np.zeros(n_resident - instance.n_blocks)]),
        "load_time": np.minimum(1, np.array(loads) / whole),
        "pending": np.array([len(episode.cheapest(model)) for model in models]) / max(1, instance.n_users),
        "upload_time": upload,
        "batch_time": time,
    }


@pytest.mark.parametrize("blocks", [helpers.clustered_blocks, helpers.arbitrary_blocks])
@pytest.mark.parametrize("fading", [False, True])
def test_episodes_equal_plain_python(blocks, fading):
    """Masks, observations, rewards, users, times and redrawn channels, for random instances and random actions."""
    rng = np.random.default_rng(fading)
    n_illegal = n_batches = 0
    for number in range(60):
        instance = helpers.random_instance(rng, blocks, resident=True, most_users=8)
        if fading:
            instance = helpers.with_batch_fading(instance, rng)
        cap = int(rng.integers(1, 5))
        env = helpers.env_for(instance, batch_cap=cap)
        generator = seeding.np_random(number)[0]
        observation, info = env.reset(seed=number, options={"instance": instance})
        episode = helpers.PlainEpisode(instance, cap)
        terminated, users = False, []
        while True:
            assert info["action_mask"].tolist() == episode.mask() == env.action_masks().tolist()
            assert env.any_legal == any(episode.legal())
            n_resident = env.observation_space["resident"].shape[0]
            expected = expected_observation(episode, n_resident)
            assert observation in env.observation_space
            for key, value in expected.items():
                np.testing.assert_allclose(observation[key], value, rtol=1e-6, err_msg=key)
            n_illegal += sum(not good for good in episode.legal())
            if terminated or not any(episode.legal()):
                break
            action = int(rng.choice(np.flatnonzero(episode.legal())))
            before, elapsed = env.instance.n_users, episode.elapsed
            batch = episode.serve(action)
            users += batch
            if fading:
                episode.redraw(generator.random(before))
            observation, reward, terminated, truncated, info = env.step(action)
            n_batches += 1
            assert reward == len(batch) / instance.n_users
            assert terminated == (not any(episode.legal()))
            assert truncated is False
            assert not info["invalid_action"]
            assert info["served"] == len(users)
            assert info["elapsed_seconds"] == episode.elapsed / 1e9 == env.elapsed_seconds
            parts = info["upload_seconds"] + info["load_seconds"] + info["compute_seconds"]
            assert parts == pytest.approx((episode.elapsed - elapsed) / 1e9, abs=1e-15)
        assert env.schedule.users.tolist() == users
        assert env.pending_users.tolist() == sorted(episode.pending)
        pl_env.check(env.schedule, instance)
    assert n_batches > 50
    assert n_illegal > 100


def test_a_batch_worked_by_hand():
    """Tiny, model 1: load 120 ms, two uploads of 0.1 ms, compute 12 ms: 132.2 of 180 ms."""
    env = make("tiny")
    instance = helpers.tiny_with_requests([0, 1, 1, 2, 2])
    observation, info = env.reset(options={"instance": instance})
    assert info["action_mask"].tolist() == [1, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(observation["load_time"], np.array([120, 120, 60]) / 180, rtol=1e-6)
    observation, reward, terminated, _, info = env.step(3)
    assert (reward, terminated, info["served"]) == (2 / 5, False, 2)
    assert (info["upload_seconds"], info["load_seconds"], info["compute_seconds"]) == (0.0002, 0.12, 0.012)
    assert info["elapsed_seconds"] == 0.1322
    assert observation["resident"].tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(observation["budget"], 47.8 / 180, rtol=1e-6)
    np.testing.assert_allclose(observation["load_time"], np.array([20, 0, 60]) / 180, rtol=1e-6)
    np.testing.assert_allclose(observation["pending"], [0.2, 0, 0.4], rtol=1e-6)
    assert info["action_mask"].tolist() == [1, 0, 0, 0, 0, 0]
    _, reward, terminated, _, info = env.step(0)
    assert (reward, terminated, info["elapsed_seconds"]) == (1 / 5, True, 0.1633)
    assert info["action_mask"].tolist() == [1] * 6


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
        assert not any(value is env._mask or np.shares_memory(value, env._mask) for value in (mask, info["action_mask"]))
    assert schedule.served == 0
    env.reset(seed=0)
    for array in (*handed[0][0].values(), handed[0][1]["action_mask"], env.action_masks()):
        array[...] = 0
    assert env.action_masks().tolist() == snapshot[0][1]["action_mask"].astype(bool).tolist()


# ---------------------------------------------------------------- planners' schedules, replayed

REPLAYED = [
    *(("bls", {}, name) for name in baselines.solvers() if name != "exhaustive"),
    ("bls", {"n_users": 10, "n_models": 4, "deadline": 0.2}, "exhaustive"),
    *(("general-hard", {}, name) for name in ("greedy", "paper-greedy", "independent", "max-overlap")),
    *(("tiny", {}, name) for name in baselines.solvers()),
]


def replay(env, schedule: pl_env.Schedule) -> list[tuple[float, dict]]:
    """Take a schedule's actions; the reward and the info of each step."""
    steps = []
    for action in schedule.actions(env.unwrapped.scenario.max_batch_size):
        _, reward, _, _, info = env.step(action)
        assert not info["invalid_action"]
        steps.append((reward, info))
    return steps


@pytest.mark.parametrize(("preset", "fields", "solver"), REPLAYED)
def test_a_replayed_schedule_has_the_same_times_rewards_and_users(preset, fields, solver):
    env = make(preset, **fields)
    for seed in range(3):
        env.reset(seed=seed)
        schedule = baselines.solve(env.unwrapped.instance, solver)
        steps = replay(env, schedule)
        assert np.array_equal(env.unwrapped.schedule.history, schedule.history)
        assert np.array_equal(env.unwrapped.schedule.users, schedule.users)
        assert np.array_equal(env.unwrapped.schedule.user_upload_ns, schedule.user_upload_ns)
        assert sum(reward for reward, _ in steps) == pytest.approx(schedule.served_ratio)
        served = 0
        for batch, (reward, info) in zip(schedule.batches, steps, strict=True):
            served += len(batch.users)
            assert reward == len(batch.users) / schedule.n_users
            assert info["served"] == served
            assert info["upload_seconds"] == batch.upload_seconds
            assert info["load_seconds"] == batch.load_seconds
            assert info["compute_seconds"] == batch.compute_seconds
            assert info["elapsed_seconds"] == batch.finish_seconds


@pytest.mark.parametrize(("preset", "fields", "solver"), REPLAYED)
def test_what_remains_in_mid_episode_can_be_planned_and_replayed(preset, fields, solver):
    """In the same episode, and as an instance of its own with a resident model."""
    env = make(preset, **fields)
    rng = np.random.default_rng(1)
    _, info = env.reset(seed=1)
    helpers.random_rollout(env, rng, info["action_mask"], n_steps=1 if preset == "tiny" else 3)
    so_far, pending = env.unwrapped.schedule, env.unwrapped.pending_users
    rest = env.unwrapped.remaining()
    assert rest.resident == so_far.history[-1, 0]
    assert rest.n_users == so_far.n_users - so_far.served == len(pending)
    assert rest.deadline_ns == env.unwrapped.instance.deadline_ns - so_far.finish_ns

    schedule = baselines.solve(rest, solver)
    replay(env, schedule)
    whole = env.unwrapped.schedule
    assert np.array_equal(whole.history[len(so_far) :, :FINISH], schedule.history[:, :FINISH])
    assert np.array_equal(whole.history[len(so_far) :, FINISH], schedule.history[:, FINISH] + so_far.finish_ns)
    assert np.array_equal(whole.users[so_far.served :], pending[schedule.users])

    other = make(preset, **fields)
    _, info = other.reset(options={"instance": rest})
    replay(other, schedule)
    assert np.array_equal(other.unwrapped.schedule.history, schedule.history)
    assert np.array_equal(other.unwrapped.schedule.users, schedule.users)


@pytest.mark.parametrize("blocks", [helpers.clustered_blocks, helpers.arbitrary_blocks])
def test_schedules_of_random_instances_replay(blocks):
    """Ties, empty models, models that do not fit and resident models included."""
    rng = np.random.default_rng(2)
    for _ in range(40):
        instance = helpers.random_instance(rng, blocks, resident=True)
        env = helpers.env_for(instance)
        for name in ("greedy", "exhaustive", "independent", "max-overlap"):
            schedule = baselines.solve(instance, name)
            env.reset(options={"instance": instance})
            replay(env, schedule)
            assert np.array_equal(env.schedule.history, schedule.history)
            assert np.array_equal(env.schedule.users, schedule.users)


def test_without_batches_everything_remains():
    env = make("bls").unwrapped
    env.reset(seed=0)
    assert env.remaining() == env.instance
    assert env.pending_users.tolist() == list(range(80))


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


def test_instances_that_do_not_fit_are_refused():
    env = make("tiny").unwrapped
    env.reset(seed=0)
    before = env.instance
    bls = pl_env.Scenario(n_models=3).sample(np.random.default_rng(0))
    wide = helpers.changed(helpers.tiny_with_requests([0]), table={
        "has_block": np.ones((3, 5), dtype=bool), "block_bytes": np.ones(5, dtype=int),
        "block_load_ns": np.ones(5, dtype=int)})  # fmt: skip
    assert bls.n_models == 3
    for instance, message in [
        (pl_env.Scenario().sample(np.random.default_rng(0)), "instance.n_models is 50; it must be 3, as in the scenario"),
        (wide, "instance.n_blocks is 5; it must be at most 4, as in the scenario"),
        ("instance.npz", "options['instance'] is 'instance.npz'; it must be an Instance"),
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


# ---------------------------------------------------------------- channels drawn before every batch


def test_every_batch_redraws_the_pending_users_channels():
    env = make("fading", deadline=2.0).unwrapped
    _, info = env.reset(seed=0)
    start = env.instance
    assert start.fading == "batch"
    uploads = {user: {int(start.upload_ns[user])} for user in range(80)}
    rng = np.random.default_rng(0)
    for _ in range(10):
        _, _, terminated, _, info = env.step(int(rng.choice(np.flatnonzero(info["action_mask"]))))
        assert not terminated
        rest = env.remaining()
        for user, upload in zip(env.pending_users.tolist(), rest.upload_ns.tolist(), strict=True):
            assert upload not in uploads[user]
            uploads[user].add(upload)
    assert env.instance is start
    assert np.array_equal(start.upload_ns, env.scenario.sample(seeding.np_random(0)[0]).upload_ns)
    schedule = env.schedule
    for user, upload in zip(schedule.users.tolist(), schedule.user_upload_ns.tolist(), strict=True):
        assert upload in uploads[user]
    for row, batch in zip(schedule.history, schedule.batches, strict=True):
        members = [schedule.users.tolist().index(user) for user in batch.users]
        assert row[UPLOAD] == schedule.user_upload_ns[members].sum()


def test_channels_of_an_episode_stay_where_fading_is_per_episode():
    env = make("bls").unwrapped
    _, info = env.reset(seed=0)
    state = env.np_random.bit_generator.state
    helpers.random_rollout(env, np.random.default_rng(0), info["action_mask"])
    assert env.np_random.bit_generator.state == state
    assert np.array_equal(env.schedule.user_upload_ns, env.instance.upload_ns[env.schedule.users])


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
        if mode == "raise":
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
    refused.reset(seed=0), plain.reset(seed=0)
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
    refused.reset(), plain.reset()
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


@pytest.mark.parametrize(("policy", "wrap"), [("MultiInputPolicy", lambda env: env), ("MlpPolicy", pl_env.FlatObservation)])
def test_ppo_trains_on_dict_and_flat_observations(policy, wrap):
    from stable_baselines3 import PPO

    env = wrap(gym.make("PartialLoading-v0", n_users=20))
    model = PPO(policy, env, n_steps=64, batch_size=32, n_epochs=1, seed=0, device="cpu")
    model.learn(128)
    assert model.num_timesteps == 128
    assert env.action_space.contains(int(model.predict(env.reset(seed=0)[0])[0]))
