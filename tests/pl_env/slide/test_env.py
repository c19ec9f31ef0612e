"""The environment: spaces, masks and observations in plain Python, the guarantee, illegal actions, rendering."""

from __future__ import annotations

import copy
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import pl_env
from pl_env.slide import Plan, Scenario, SlideEnv, check
from tests import slide_helpers as helpers
from tests.contract import slide as case

PRESETS = Scenario.presets()


def play(env, rng, seed=None, options=None):
    """A random episode: yields the info and the action of every step, before it."""
    _, info = env.reset(seed=seed, options=options)
    while env.unwrapped.any_legal:
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        yield info, action
        _, _, _, _, info = env.step(action)


@pytest.mark.parametrize("preset", PRESETS)
def test_gymnasium_checks_every_preset_without_a_warning(preset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make("Slide-v0", scenario=preset, n_users=5).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_gymnasium_checks_rendering_without_a_warning(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make("Slide-v0", scenario="tiny", render_mode=mode).unwrapped)


def test_spaces():
    env = SlideEnv("zoo")
    assert env.action_space == gym.spaces.Discrete(6)
    shapes = {key: space.shape for key, space in env.observation_space.items()}
    assert shapes == {
        "time": (1,), "to_come": (1,), "load": (16,), "need": (5, 16), "download": (5,), "deadline": (1,)
    }  # fmt: skip


# ---------------------------------------------------------------- the guarantee


def is_late_somewhere(instance, models) -> bool:
    """The condition on intervals, by sorted sums in NumPy's integers."""
    jobs = helpers.jobs_of(instance, models)
    for r in {arrival for arrival, _, _ in jobs}:
        steps = [
            (due, amount)
            for arrival, dues, download in jobs
            if arrival >= r
            for due, amount in zip(dues, np.diff(download, prepend=0).tolist(), strict=True)
        ]
        due, size = np.array(sorted(steps)).T
        if (np.cumsum(size) > due - r).any():
            return True
    return False


def masked_and_admitted(preset) -> tuple[int, int]:
    """In 20 episodes: masked models of users who could be served alone, each of which is tried, and admissions."""
    env, rng = SlideEnv(preset, **({} if preset == "tiny" else {"n_users": 24})), np.random.default_rng(0)
    masked = admitted = 0
    for seed in range(20):
        for user, (info, action) in enumerate(play(env, rng, seed)):
            instance, models = env.instance, env.plan.models.tolist()
            for model in range(env.scenario.n_models):
                pair = helpers.pair_of(instance, user, model)
                if info["action_mask"][1 + model]:
                    assert pair is not None
                elif pair is not None:
                    due = helpers.due_of(pair[1], int(instance.deadline_ns[user]))
                    if all(amount <= time for amount, time in zip(pair[0], due, strict=True)):
                        masked += 1
                        assert is_late_somewhere(instance, [*models, model])
                        with pytest.raises(pl_env.InfeasibleSchedule):
                            Plan.from_models(instance, np.array([*models, model]))
            admitted += action > 0
        check(env.plan, env.instance)
        assert not is_late_somewhere(env.instance, env.plan.models.tolist()) or env.plan.served == 0
    return masked, admitted


def test_120_episodes_nobody_is_late_and_every_masked_admission_would_make_somebody_late():
    """A model that is masked is out, or too late even alone, or somebody would be late."""
    counts = {preset: masked_and_admitted(preset) for preset in PRESETS}
    assert len(counts) * 20 == 120
    assert min(admitted for _, admitted in counts.values()) > 15
    assert min(masked for masked, _ in counts.values()) > 0
    assert sum(masked for masked, _ in counts.values()) > 302, counts


def test_what_remains_is_worth_what_is_left():
    """In mid-episode the same admissions are legal in the rest alone as in the whole episode."""
    env, rng = SlideEnv("default", n_users=16), np.random.default_rng(0)
    for seed in range(5):
        for user, _ in enumerate(play(env, rng, seed)):
            if user != 8:
                continue
            rest, twin = SlideEnv("default", n_users=16), copy.deepcopy(env)
            rest.reset(options={"instance": env.remaining()})
            while rest.any_legal:
                np.testing.assert_array_equal(rest.action_masks(), twin.action_masks())
                action = int(rng.choice(np.flatnonzero(rest.action_masks())))
                rest.step(action)
                twin.step(action)
            check(rest.plan, rest.instance)
            assert twin.plan.models[8:].tolist() == rest.plan.models.tolist()


# ---------------------------------------------------------------- observations in plain Python


def test_observations():
    env, rng = SlideEnv("default", n_users=12), np.random.default_rng(0)
    longest = env.scenario.longest_deadline_ns
    points = [longest * h // 16 for h in range(1, 17)]
    observation, info = env.reset(seed=3)
    for user in range(12):
        instance = env.instance
        now = int(instance.arrival_ns[user])
        assert observation["time"][0] == pytest.approx(now / 2e9)
        assert observation["to_come"][0] == pytest.approx((11 - user) / 12)
        assert observation["deadline"][0] == pytest.approx(instance.deadline_ns[user] / longest)
        promised = env.remaining()
        for h, time in enumerate(points):
            due = promised.committed_rest_ns[promised.committed_due_ns <= time].sum()
            assert observation["load"][h] == pytest.approx(min(1, due / time))
        assert info["backlog_seconds"] == pytest.approx(promised.committed_rest_ns.sum() / 1e9)
        for model in range(3):
            pair = helpers.pair_of(instance, user, model)
            due = [] if pair is None else helpers.due_of(pair[1], int(instance.deadline_ns[user]))
            if pair is None or any(amount > time for amount, time in zip(pair[0], due, strict=True)):
                assert (observation["need"][model] == 1).all()
                assert observation["download"][model] == 1
                continue
            assert observation["download"][model] == pytest.approx(min(1, pair[0][-1] / longest))
            for h, time in enumerate(points):
                need = max([amount for amount, at in zip(pair[0], due, strict=True) if at <= time], default=0)
                assert observation["need"][model, h] == pytest.approx(min(1, need / time))
        action = int(rng.choice(np.flatnonzero(info["action_mask"])))
        observation, reward, terminated, truncated, info = env.step(action)
        assert reward == (1 / 12 if action else 0)
        assert (terminated, truncated) == (user == 11, False)
        if action:
            download, compute, frequency = helpers.pair_of(instance, user, action - 1)
            assert info["frequency_hz"] == frequency
            assert info["download_seconds"] == pytest.approx(download[-1] / 1e9)
            assert info["compute_seconds"] == pytest.approx(sum(compute) / 1e9)
        else:
            assert info["frequency_hz"] == info["download_seconds"] == info["compute_seconds"] == 0
    assert (observation["need"] == 1).all()
    assert (observation["download"] == 1).all()
    assert observation["to_come"][0] == 0
    assert info["action_mask"].all()
    assert info["served"] == env.plan.served > 0
    assert env.remaining().n_users == 0


def test_the_environment_draws_what_the_scenario_samples():
    env = SlideEnv("zoo", n_users=7)
    env.reset(seed=5)
    assert env.instance == env.scenario.sample(np.random.default_rng(5))
    assert env.elapsed_seconds == env.instance.arrival_ns[0] / 1e9


def test_the_time_is_0_where_all_are_present():
    env = SlideEnv("paper", n_users=3)
    assert env.reset(seed=0)[0]["time"] == 0


# ---------------------------------------------------------------- illegal actions and arguments


def test_illegal_actions_end_the_episode_or_raise():
    instance, _ = case.tiny()
    env = helpers.env_for(instance)
    env.reset(options={"instance": instance})
    for _ in range(2):
        env.step(1)
    _, reward, terminated, _, info = env.step(1)
    assert (reward, terminated, info["invalid_action"], info["served"]) == (0, True, True, 2)
    env = helpers.env_for(instance, invalid_action="raise")
    env.reset(options={"instance": instance})
    env.step(1)
    env.step(1)
    for action, message in ((1, "does not answer the request"), (2, "somebody would be late")):
        with pytest.raises(
            pl_env.InvalidAction, match=f"action is {action}, model {action - 1} for user 2; .*{message}"
        ):
            env.step(action)
    env.step(0)
    with pytest.raises(pl_env.InvalidAction, match="all users have been decided on"):
        env.step(0)
    check(env.plan, instance)


def test_why_a_model_is_illegal():
    models = [([2], [6])]
    for fields, message in (({"energy": [1]}, "more energy than the device has"), ({}, "even alone it would be late")):
        given = helpers.instance(models, [7], **fields)
        env = helpers.env_for(given, invalid_action="raise")
        env.reset(options={"instance": given})
        with pytest.raises(pl_env.InvalidAction, match=message):
            env.step(1)


def test_bad_arguments():
    for arguments, message in (
        ({"scenario": "bls"}, "there is no preset 'bls'"),
        ({"invalid_action": "ignore"}, "invalid_action is 'ignore'"),
        ({"render_mode": "svg"}, "render_mode is 'svg'"),
        ({"n_users": 0}, "n_users is 0; it must be an integer from 1 to"),
    ):
        with pytest.raises(pl_env.PlEnvError, match=message):
            SlideEnv(**arguments)
    env = SlideEnv("tiny")
    for ask in (lambda: env.instance, lambda: env.step(0), env.remaining, env.action_masks):
        with pytest.raises(gym.error.ResetNeeded):
            ask()
    for options in ({"users": 3}, {"instance": 3}):
        with pytest.raises(pl_env.InvalidValue):
            env.reset(options=options)
    with pytest.raises(pl_env.InvalidValue, match=r"instance.n_models is 1; it must be 2"):
        env.reset(options={"instance": helpers.instance([([1], [1])], [9])})


def test_instances_of_other_sizes_are_replayed_and_nobody_at_all():
    env = SlideEnv("default", n_users=5)
    for n_users in (9, 5, 1):
        instance = Scenario.preset("default", n_users=n_users).sample(np.random.default_rng(0))
        for _ in play(env, np.random.default_rng(0), options={"instance": instance}):
            pass
        assert len(env.plan) == n_users
    env.reset(options={"instance": env.remaining()})
    assert not env.any_legal
    assert env.plan.objective == 0
    assert env.step(0)[2]


# ---------------------------------------------------------------- rendering


def test_rendering():
    text = SlideEnv("tiny", render_mode="ansi")
    for _ in play(text, np.random.default_rng(0), 0):
        assert "of 3" in text.render()
    assert "served" in text.render()
    assert "█" in text.render()
    frames = SlideEnv("tiny", render_mode="rgb_array")
    frames.reset(seed=0)
    before = frames.render()
    frames.step(int(np.flatnonzero(frames.action_masks())[-1]))
    after = frames.render()
    assert before.shape == after.shape
    assert (before != after).any()
    frames.close()


def test_a_window_is_drawn_at_every_step(monkeypatch):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(plt, "pause", lambda seconds: drawn.append(seconds))
    drawn: list[float] = []
    with plt.rc_context({"backend": "agg"}):
        env = SlideEnv("tiny", render_mode="human")
        for _ in play(env, np.random.default_rng(0), 0):
            pass
        env.close()
    assert len(drawn) == 4
