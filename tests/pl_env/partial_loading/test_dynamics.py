"""The physics: episodes in plain Python, planners' schedules replayed, channels drawn anew."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import seeding

import baselines
import pl_env
from pl_env.partial_loading.dynamics import FINISH, LOAD, MODEL, UPLOAD, sort_users
from tests import helpers


def make(scenario, **arguments):
    return gym.make("PartialLoading-v0", scenario=scenario, **arguments).unwrapped


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


@pytest.mark.parametrize("fading", ["episode", "batch"])
def test_many_users_of_a_model_are_served_cheapest_first(fading):
    """Two models with a hundred users each, so that sorting is no longer by insertion; with ties in the upload time."""
    rng = np.random.default_rng(0)
    scenario = pl_env.Scenario(n_users=200, n_models=2, backbones=("resnet18",), deadline=1.0, fading=fading)
    instance = helpers.changed(scenario.sample(rng), upload_ns=rng.integers(0, 20, size=200))
    env = make(scenario)
    env.reset(seed=1, options={"instance": instance})
    generator, episode = seeding.np_random(1)[0], helpers.PlainEpisode(instance, 8)
    users = []
    while env.any_legal:
        action = int(rng.choice(np.flatnonzero(env.action_masks())))
        users += episode.serve(action)
        if fading == "batch":
            episode.redraw(generator.random(200))
        env.step(action)
    assert env.schedule.users.tolist() == users
    assert len(users) > 100
    assert env.elapsed_seconds == episode.elapsed / 1e9


@pytest.mark.parametrize(
    ("n_models", "n_users", "highest"),
    [(50, 80, 10**14), (50, 80, 5), (3, 30, 9), (1, 12, 4), (1, 13, 4), (2, 200, 7), (70_000, 40, 50), (5, 0, 1)],
)
@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_users_are_sorted_by_model_then_upload_time_then_index(n_models, n_users, highest, kind):
    """Few and many users of a model, and more models than fit beside an upload time into 63 bits."""
    rng = np.random.default_rng(n_models)
    for _ in range(20):
        model, upload = rng.integers(n_models, size=n_users), rng.integers(highest + 1, size=n_users)
        first_user, users = np.empty(n_models + 1, dtype=kind), np.empty(n_users, dtype=kind)
        sorted_upload = np.empty(n_users, dtype=np.int64)
        sort_users(model, upload, first_user, users, sorted_upload)
        order = np.lexsort((upload, model))
        np.testing.assert_array_equal(users, order)
        np.testing.assert_array_equal(sorted_upload, upload[order])
        np.testing.assert_array_equal(first_user, np.searchsorted(model[order], np.arange(n_models + 1)))


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


# ---------------------------------------------------------------- planners' schedules, replayed

REPLAYED = [
    *(("bls", {}, name) for name in baselines.solvers() if name not in ("exhaustive", "independent")),
    ("bls", {"n_users": 10, "n_models": 4, "deadline": 0.2}, "exhaustive"),
    *(("general-hard", {}, name) for name in ("greedy", "paper-greedy", "max-overlap")),
    *(("tiny", {}, name) for name in baselines.solvers() if name != "independent"),
]


def replay(env, schedule: pl_env.Schedule) -> list[tuple[float, dict]]:
    """Take a schedule's actions; the reward and the info of each step."""
    steps = []
    for action in schedule.actions(env):
        _, reward, _, _, info = env.step(action)
        assert not info["invalid_action"]
        steps.append((reward, info))
    return steps


@pytest.mark.parametrize(("preset", "fields", "solver"), REPLAYED)
def test_a_replayed_schedule_has_the_same_times_rewards_and_users(preset, fields, solver):
    env = make(preset, **fields)
    for seed in range(3):
        env.reset(seed=seed)
        schedule = baselines.solve(env.instance, solver)
        steps = replay(env, schedule)
        assert np.array_equal(env.schedule.history, schedule.history)
        assert np.array_equal(env.schedule.users, schedule.users)
        assert np.array_equal(env.schedule.user_upload_ns, schedule.user_upload_ns)
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
    so_far, pending = env.schedule, env.pending_users
    rest = env.remaining()
    assert rest.resident == so_far.history[-1, MODEL]
    assert rest.n_users == so_far.n_users - so_far.served == len(pending)
    assert rest.deadline_ns == env.instance.deadline_ns - so_far.finish_ns

    schedule = baselines.solve(rest, solver)
    replay(env, schedule)
    whole = env.schedule
    assert np.array_equal(whole.history[len(so_far) :, :FINISH], schedule.history[:, :FINISH])
    assert np.array_equal(whole.history[len(so_far) :, FINISH], schedule.history[:, FINISH] + so_far.finish_ns)
    assert np.array_equal(whole.users[so_far.served :], pending[schedule.users])

    other = make(preset, **fields)
    _, info = other.reset(options={"instance": rest})
    replay(other, schedule)
    assert np.array_equal(other.schedule.history, schedule.history)
    assert np.array_equal(other.schedule.users, schedule.users)


@pytest.mark.parametrize("blocks", [helpers.clustered_blocks, helpers.arbitrary_blocks])
def test_schedules_of_random_instances_replay(blocks):
    """Ties, empty models, models that do not fit and resident models included."""
    rng = np.random.default_rng(2)
    for _ in range(40):
        instance = helpers.random_instance(rng, blocks, resident=True)
        env = helpers.env_for(instance)
        for name in ("greedy", "exhaustive", "max-overlap"):
            schedule = baselines.solve(instance, name)
            env.reset(options={"instance": instance})
            replay(env, schedule)
            assert np.array_equal(env.schedule.history, schedule.history)
            assert np.array_equal(env.schedule.users, schedule.users)


@pytest.mark.parametrize("preset", ["bls", "general-hard", "tiny"])
def test_a_schedule_that_loads_in_full_ends_earlier_where_blocks_are_shared(preset):
    """The environment shares; the same batches of the same users load less there."""
    env = make(preset)
    for seed in range(3):
        env.reset(seed=seed)
        schedule = baselines.solve(env.instance, "independent")
        replay(env, schedule)
        played = env.schedule
        assert np.array_equal(played.users, schedule.users)
        same = [column for column in range(5) if column != LOAD]
        assert np.array_equal(played.history[:, same], schedule.history[:, same])
        assert (played.history[:, LOAD] <= schedule.history[:, LOAD]).all()
        assert played.finish_ns <= schedule.finish_ns


def test_without_batches_everything_remains():
    env = make("bls")
    env.reset(seed=0)
    assert env.remaining() == env.instance
    assert env.pending_users.tolist() == list(range(80))


# ---------------------------------------------------------------- channels drawn before every batch


def test_every_batch_redraws_the_pending_users_channels():
    env = make("fading", deadline=2.0)
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
    env = make("bls")
    _, info = env.reset(seed=0)
    state = env.np_random.bit_generator.state
    helpers.random_rollout(env, np.random.default_rng(0), info["action_mask"])
    assert env.np_random.bit_generator.state == state
    assert np.array_equal(env.schedule.user_upload_ns, env.instance.upload_ns[env.schedule.users])
