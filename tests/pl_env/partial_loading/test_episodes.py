"""Episodes side by side against the environment, bit for bit."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest

import pl_env
from pl_env.partial_loading.arrays import EpisodeArrays
from pl_env.partial_loading.episodes import Episodes
from tests import helpers


def mixed_scenarios() -> list[pl_env.Scenario]:
    """Six models and at most three users a batch in all; libraries, deadlines, users, D / B and fading differ."""
    base = pl_env.Scenario(n_models=6, max_batch_size=3, n_users=30)
    return [
        base,
        base.override(fading="batch", deadline=0.4),
        base.override(library_seed=1, deadline=0.31, n_users=12),
        base.override(sharing="general", n_users=45, bandwidth_hz=30e6, fading="batch"),
        base.override(backbones=("resnet50",), deadline=1.2, n_users=1),  # too long for int32
        base.override(upload_bits=30, fading="batch"),  # many equal uploads
    ]


def assert_like(episodes: Episodes, n: int, env: pl_env.PartialLoadingEnv) -> None:
    """Equal to the bit; another library may have more blocks."""
    for name, value in env.episodes.observations.items():
        here = episodes.observations[name][n]
        width = value.shape[1]
        np.testing.assert_array_equal(here[:width], value[0], err_msg=name)
        assert not here[width:].any()
    assert episodes.running[n] == env.any_legal
    np.testing.assert_array_equal(episodes.mask[n], env.action_masks() & env.any_legal)
    assert episodes.remaining(n) == env.remaining()
    assert episodes.served[n] == env.schedule.served
    assert episodes.pending_users(n).tolist() == env.pending_users.tolist()


def test_mixed_episodes_are_those_of_environments():
    """Random legal actions, and now and then an illegal one, which ends the episode as in the environment."""
    envs = [pl_env.PartialLoadingEnv(scenario) for scenario in mixed_scenarios() for _ in range(3)]
    twins = []
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
        twins.append(copy.deepcopy(env.np_random))  # draws what the environment will draw
    episodes = Episodes([env.instance for env in envs], 3)
    rng = np.random.default_rng(0)
    ties = n_illegal = 0
    while True:
        for n, env in enumerate(envs):
            assert_like(episodes, n, env)
        if not episodes.running.any():
            break
        uniforms = np.ones((len(envs), 45))  # of which nobody reads what is not drawn
        actions = np.full(len(envs), -1, dtype=np.int64)
        for n, env in enumerate(envs):
            if not env.any_legal:
                continue
            rest = env.remaining()
            pairs = np.stack([rest.upload_ns, rest.requested_model])
            ties += pairs.shape[1] - np.unique(pairs, axis=1).shape[1]
            actions[n] = rng.choice(np.flatnonzero(env.action_masks()))
            if rng.random() < 0.02:
                actions[n] = int(env.action_masks().argmin())
            if episodes.mask[n, actions[n]]:
                uniforms[n, : env.n_users] = twins[n].random(env.n_users) if rest.fading == "batch" else 1.0
            else:
                n_illegal += 1
            env.step(actions[n])
        episodes.step(actions, uniforms)
    assert ties > 0
    assert n_illegal > 0


def test_branches_go_on_by_themselves():
    """As the episode itself would; the original does not move."""
    instances = [scenario.sample(np.random.default_rng(1)) for scenario in mixed_scenarios()]
    episodes = Episodes(instances, 3)
    rng = np.random.default_rng(2)
    episodes.step(episodes.mask.argmax(axis=1), rng.random((6, 45)))
    before = [array.copy() for array in episodes.arrays]
    which = np.array([3, 0, 3, 5, 3])
    branches = episodes.branch(which)
    for branch, n in enumerate(which):
        assert branches.remaining(branch) == episodes.remaining(n)
    uniforms = rng.random((6, 45))
    for _ in range(3):
        actions = branches.mask.argmax(axis=1)
        branches.step(actions, uniforms[which])
    for array, then in zip(episodes.arrays, before, strict=True):
        np.testing.assert_array_equal(array, then)
    assert branches.remaining(0) == branches.remaining(2)
    branches.place(0, instances[1])  # and has arrays of its own
    for array, then in zip(episodes.arrays, before, strict=True):
        np.testing.assert_array_equal(array, then)
    for _ in range(3):
        episodes.step(episodes.mask.argmax(axis=1), uniforms)
    for branch, n in list(enumerate(which))[1:]:
        assert branches.remaining(branch) == episodes.remaining(n)
        for name, value in branches.observations.items():
            np.testing.assert_array_equal(value[branch], episodes.observations[name][n])


@pytest.mark.parametrize("preset", ["bls", "fading"])
def test_branches_of_environments(preset):
    """They have no generator: nobody foresees the environment's channels."""
    single = pl_env.PartialLoadingEnv(preset, n_users=20)
    single.reset(seed=3)
    vector = pl_env.PartialLoadingVectorEnv(2, preset, n_users=20)
    vector.reset(seed=3)
    action = single.action_masks().argmax()
    uniforms = np.random.default_rng(0).random((1, 20))
    state = single.np_random.bit_generator.state
    ends = []
    for episodes in (single.episodes, vector.episodes):
        branch = episodes.branch(np.array([0]))
        assert branch.remaining(0).requested_model.tolist() == episodes.remaining(0).requested_model.tolist()
        if preset == "fading":
            with pytest.raises(AssertionError):
                branch.step(np.array([action]))
        branch.step(np.array([action]), uniforms)
        ends.append({name: value.copy() for name, value in branch.observations.items()})
    assert single.np_random.bit_generator.state == state
    assert single.n_batches == 0
    for name, value in ends[0].items():
        np.testing.assert_array_equal(value, ends[1][name])


def test_an_episode_is_placed_anew():
    """With more users, a longer deadline and another library than there was room for; its neighbours stay."""
    scenarios = mixed_scenarios()
    small, large = scenarios[2].sample(np.random.default_rng(0)), scenarios[0].sample(np.random.default_rng(0))
    episodes = Episodes([small, small], 3)
    episodes.step(episodes.mask.argmax(axis=1))
    kept = episodes.remaining(1)
    for instance in (helpers.changed(large, deadline_ns=2 * 10**9), small, large):
        episodes.place(0, instance)
        assert episodes.remaining(0) == instance
        assert episodes.remaining(1) == kept
        alone = Episodes([instance], 3)
        for _ in range(3):
            action = int(alone.mask.argmax())
            alone.step(np.array([action]))
            episodes.step(np.array([action, -1]))
            assert episodes.remaining(0) == alone.remaining(0)
            for name, value in alone.observations.items():
                width = value.shape[1]
                np.testing.assert_array_equal(episodes.observations[name][0, :width], value[0])
    assert len(episodes.libraries) == 2


@pytest.mark.parametrize("of", [copy.deepcopy, lambda episodes: pickle.loads(pickle.dumps(episodes))])
@pytest.mark.parametrize("drawn", [True, False])
def test_a_copy_made_in_mid_episode_goes_on_alike(of, drawn):
    scenario = mixed_scenarios()[1].override(n_users=(10, 20), resample_library=True)
    rng = np.random.default_rng(0)
    if drawn:
        episodes = Episodes.of_scenario(scenario, 3)
        episodes.use_generators([np.random.default_rng(n) for n in range(3)])
        episodes.draw(np.arange(3))
    else:
        episodes = Episodes([scenario.sample(rng) for _ in range(3)], 3)
    uniforms = None if drawn else rng.random(episodes.arrays.uniforms.shape)
    episodes.step(episodes.mask.argmax(axis=1), uniforms)
    twin = of(episodes)
    for one in (episodes, twin):
        for _ in range(4):
            one.step(one.mask.argmax(axis=1), uniforms)
        if drawn:
            one.draw(np.array([1]))
    for n in range(3):
        assert episodes.remaining(n) == twin.remaining(n)
    for name, array, other in zip(EpisodeArrays._fields, episodes.arrays, twin.arrays, strict=True):
        if name != "generators":
            np.testing.assert_array_equal(array, other, err_msg=name)
            assert not np.shares_memory(array, other)


def test_drawn_episodes_are_what_the_scenario_samples():
    scenario = mixed_scenarios()[1].override(n_users=(10, 20), resample_library=True)
    episodes = Episodes.of_scenario(scenario, 3)
    episodes.use_generators([np.random.default_rng(n) for n in range(3)])
    samplers = [np.random.default_rng(n) for n in range(3)]
    for which in ([0, 1, 2], [1], [2, 0], [1]):
        episodes.draw(np.array(which))
        for n in which:
            assert episodes.remaining(n) == scenario.sample(samplers[n])
    assert len(episodes.libraries) == 3


def test_episodes_of_one_library_share_its_row():
    scenario = pl_env.Scenario()
    instances = [scenario.sample(np.random.default_rng(n)) for n in range(5)]
    episodes = Episodes(instances, 8)
    assert len(episodes.arrays.load_ns) == len(episodes.libraries) == 1
    assert len(gym.make_vec("PartialLoading-v0", num_envs=5).unwrapped.episodes.arrays.load_ns) == 1


def test_what_it_refuses():
    with pytest.raises(pl_env.InvalidValue, match="numbers of models is"):
        Episodes([pl_env.Scenario.preset(name).sample(np.random.default_rng(0)) for name in ("bls", "general")], 8)
    with pytest.raises(pl_env.InvalidValue, match="numbers of models is"):
        Episodes([], 8)


def test_the_plan_of_an_environment_is_its_schedule():
    env = pl_env.PartialLoadingEnv("tiny")
    env.reset(seed=0)
    env.step(int(env.action_masks().argmax()))
    assert env.plan.history.tolist() == env.schedule.history.tolist()
    assert len(env.plan) == 1


def test_repr_is_one_short_line():
    episodes = Episodes.of_scenario(pl_env.Scenario.preset("tiny"), 7)
    assert repr(episodes) == "<Episodes: 7 episodes, 3 models, batches of at most 2 users>"
