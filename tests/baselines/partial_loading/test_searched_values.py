from __future__ import annotations

import numpy as np

import baselines
import pl_env
from baselines.partial_loading.action_values import ILLEGAL, action_values
from baselines.partial_loading.searched_values import searched_values
from pl_env.partial_loading.episodes import Episodes


def small_episodes(preset: str, count: int = 4) -> Episodes:
    scenario = pl_env.Scenario.preset(preset, n_users=12, n_models=5, deadline=0.2)
    rng = np.random.default_rng(3)
    return Episodes([scenario.sample(rng) for _ in range(count)], scenario.max_batch_size)


def every_action(episodes: Episodes) -> np.ndarray:
    return np.where(episodes.mask, np.arange(episodes.mask.shape[1]), -1)


def test_on_tiny_instances_the_search_values_all_actions_exactly():
    episodes = small_episodes("bls")
    exact = action_values(episodes)
    while episodes.running.any():
        searched, exact = searched_values(episodes, every_action(episodes)), action_values(episodes)
        np.testing.assert_array_equal(np.floor(searched), exact)
        episodes.step(exact.argmax(axis=1))


def test_sharing_without_clusters():
    episodes = small_episodes("general-hard")
    values = searched_values(episodes, every_action(episodes))
    np.testing.assert_array_equal(values > ILLEGAL, episodes.mask)
    for n in range(4):
        assert np.floor(values[n].max()) == baselines.solve(episodes.remaining(n), "exhaustive").served


def test_what_was_not_looked_at_counts_a_user_less_than_the_best():
    episodes = small_episodes("general-hard")
    values = searched_values(episodes, np.full((4, 1), -1))
    best = values.max(axis=1, keepdims=True)
    others = episodes.mask & (values < best)
    np.testing.assert_allclose(values[others], np.broadcast_to(best - 1, values.shape)[others])
    assert ((values == best).sum(axis=1) == 1).all()


def test_ended_episodes_have_no_values():
    episodes = small_episodes("bls")
    while episodes.running.all():
        episodes.step(episodes.mask.argmax(axis=1))
    ended = ~episodes.running
    values = searched_values(episodes, every_action(episodes))
    assert (values[ended] == ILLEGAL).all()
