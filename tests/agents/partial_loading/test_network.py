from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
import baselines
import pl_env
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork, load_fraction
from agents.partial_loading.observing import FAR_BELOW, plan_of, planned_values
from baselines.partial_loading.action_values import action_values, later_uploads
from baselines.partial_loading.expected_uploads import expected_upload_ns, later_upload_ns
from pl_env.partial_loading.episodes import Episodes


def observations_of(scenario: pl_env.Scenario, count: int = 1, steps: int = 0) -> dict[str, torch.Tensor]:
    """Observations of some episodes, after some steps of the first legal actions."""
    env = pl_env.PartialLoadingEnv(scenario)
    rows = []
    for seed in range(count):
        observation, info = env.reset(seed=seed)
        for _ in range(steps + seed):
            if env.any_legal:
                observation, _, _, _, info = env.step(info["action_mask"].argmax())
        loading = load_fraction(env.instance.load_ns[None], np.array([env.instance.deadline_ns]))[0]
        rows.append(observation | {"loading": loading})
    return {key: torch.from_numpy(np.stack([row[key] for row in rows])) for key in rows[0]}


@pytest.fixture
def network() -> SchedulingNetwork:
    torch.manual_seed(1)
    network = SchedulingNetwork(NetworkConfig(batch_cap=8, width=32))
    torch.nn.init.normal_(network.score[-1].weight)
    return network


def test_the_order_of_models_permutes_scores_and_leaves_the_value(network):
    observation = observations_of(pl_env.Scenario(), steps=5)
    order = torch.from_numpy(np.random.default_rng(0).permutation(50))
    per_model = ("load_time", "pending", "upload_time", "batch_time")
    permuted = observation | {key: observation[key][:, order] for key in per_model}
    rows = torch.cat([order, torch.tensor([50])])
    permuted["loading"] = observation["loading"][:, rows][:, :, order]
    scores, value = network(observation)
    permuted_scores, permuted_value = network(permuted)
    torch.testing.assert_close(permuted_scores.view(50, 8), scores.view(50, 8)[order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(permuted_value, value)
    assert scores.std() > 0


def test_loading_times_between_models_matter(network):
    observation = observations_of(pl_env.Scenario())
    other = observation | {"loading": observation["loading"].flip(1)}
    assert not torch.allclose(network(observation)[0], network(other)[0])


def test_one_network_serves_any_number_of_models_and_users(network):
    for scenario in (pl_env.Scenario.preset("general"), pl_env.Scenario.preset("bls", n_models=7, n_users=3)):
        scores, value = network(observations_of(scenario))
        assert scores.shape == (1, scenario.n_models * 8)
        assert value.shape == (1, 1)


def test_states_together_score_as_each_alone(network):
    """Though they are sorted, cut into chunks and padded."""
    observation = observations_of(pl_env.Scenario(), count=70)
    scores, values = network(observation)
    for n in (0, 7, 69):
        alone = network({key: value[n : n + 1] for key, value in observation.items()})
        torch.testing.assert_close(scores[n : n + 1], alone[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(values[n : n + 1], alone[1], rtol=1e-4, atol=1e-5)


def test_every_legal_action_is_scored(network):
    """A model is left out only where none of its batches will ever be legal again."""
    env = pl_env.PartialLoadingEnv("bls")
    observation, info = env.reset(seed=3)
    terminated = False
    while not terminated:
        loading = load_fraction(env.instance.load_ns[None], np.array([env.instance.deadline_ns]))
        batch = {key: torch.from_numpy(value)[None] for key, value in observation.items()}
        scores, _ = network(batch | {"loading": torch.from_numpy(loading)})
        legal = np.flatnonzero(info["action_mask"])
        assert (scores[0, legal] != 0).all()
        observation, _, terminated, _, info = env.step(legal[0])


def test_actions_start_nearly_alike():
    """So that exploration begins with every legal action."""
    torch.manual_seed(1)
    scores, _ = SchedulingNetwork(NetworkConfig(batch_cap=8))(observations_of(pl_env.Scenario()))
    assert scores.abs().max() < 0.5


@pytest.mark.parametrize("field", ["batch_cap", "width", "layers", "heads"])
def test_sizes_out_of_range(field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is 0; it must be an integer from 1"):
        NetworkConfig(**({"batch_cap": 8} | {field: 0}))


def test_a_new_network_that_is_shown_planned_values_does_what_the_planner_does():
    torch.manual_seed(0)
    agent = agents.Agent(SchedulingNetwork(NetworkConfig(8, 16, planned_values=True)))
    torch.nn.init.zeros_(agent.network.score[-1].weight)  # at first its scores decide between equals alone
    planner, env = baselines.Lookahead(), pl_env.PartialLoadingEnv("fading")
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        while env.any_legal:
            action = agent.act(observation, info, env)
            assert action == planner.act(observation, info, env)
            observation, _, _, _, info = env.step(np.int64(action))


def test_planned_values_are_relative_to_the_best_and_bounded():
    scenario = pl_env.Scenario.preset("fading")
    episodes = Episodes([scenario.sample(np.random.default_rng(seed)) for seed in range(5)], 8)
    planned = planned_values(episodes)
    assert planned.dtype == np.float32
    np.testing.assert_array_equal(planned.max(axis=1), 0)
    assert planned.min() == -FAR_BELOW
    np.testing.assert_array_equal(planned[~episodes.mask], -FAR_BELOW)
    np.testing.assert_array_equal(planned.argmax(axis=1), action_values(episodes, fractional=True).argmax(axis=1))


def test_the_plan_for_what_is_left_is_that_of_the_episode():
    """Agents plan in the environment's own episode, learners in episodes side by side, for which they ask once."""
    scenario = pl_env.Scenario.preset("fading", n_users=25)
    env = pl_env.PartialLoadingEnv(scenario)
    env.reset(seed=2)
    episodes = Episodes([env.instance], 8)
    later_ns = later_upload_ns(episodes)
    twin = np.random.default_rng()
    twin.bit_generator.state = env.np_random.bit_generator.state
    while env.any_legal:
        expected = plan_of(episodes, later_ns)
        for name, value in plan_of(env.episodes).items():
            np.testing.assert_array_equal(value, expected[name])
        action = expected["planned_value"].argmax(axis=1)
        episodes.step(action, twin.random((1, 25)))
        env.step(action[0])
    assert env.schedule.served > 0


def test_later_uploads_are_sums_of_the_cheapest_at_the_mean_rate():
    scenario = pl_env.Scenario.preset("fading", n_users=25, n_models=4)
    instance = scenario.sample(np.random.default_rng(6))
    expected = expected_upload_ns(instance.mean_snr, instance.unit_upload_ns)
    episodes = Episodes([instance], 8)
    uploads = later_uploads(episodes, later_upload_ns(episodes, 1.0))[0]
    for model in range(4):
        times = np.sort(expected[instance.requested_model == model])[:8].cumsum() / instance.deadline_ns
        np.testing.assert_allclose(uploads[model, : len(times)], np.minimum(1, times), rtol=1e-6)
        np.testing.assert_array_equal(uploads[model, len(times) :], 1)
