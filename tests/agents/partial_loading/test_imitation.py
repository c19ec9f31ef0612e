from __future__ import annotations

import numpy as np
import pytest
import torch

import agents
import pl_env
from agents.partial_loading.imitation import _loss, play
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork
from agents.partial_loading.recipes import RECIPES, recipe
from agents.partial_loading.teachers import plays_for
from baselines.partial_loading.action_values import action_values


def exact(episodes, later_ns, scores, rng):
    return action_values(episodes, later_ns)


def test_the_teachers_own_episodes_are_optimal(tiny):
    """Without exploration the value of the first state is what each episode serves, so states' values fall by sizes."""
    config = agents.ImitationConfig(episodes=36, exploration=0.0, easy_share=1.0)
    torch.manual_seed(0)
    network = SchedulingNetwork(NetworkConfig(2, 8))
    states = play(network, agents.Family(tiny), exact, config, np.random.default_rng(0), teacher_plays=True)
    assert np.isnan(states.reached)
    assert len(states.values) == len(states.n_users) == len(states.observation["budget"])
    assert states.observation["loading"].shape == (1, 4, 3)
    begun = states.observation["budget"][:, 0] == 1
    assert begun.sum() == 12
    assert states.values[begun].max(dim=1).values.mean() > 3


def test_states_where_the_learner_is_sure_are_mostly_left_out(tiny):
    torch.manual_seed(0)
    network = SchedulingNetwork(NetworkConfig(2, 8))
    family = agents.Family(tiny)
    counts = []
    for easy_share in (0.0, 1.0):
        config = agents.ImitationConfig(episodes=40, easy_share=easy_share)
        counts.append(len(play(network, family, exact, config, np.random.default_rng(1)).values))
    assert counts[0] < counts[1]


def test_rounds_depend_on_their_number_and_seed_only(tiny):
    config = agents.ImitationConfig(episodes=6, teacher_rounds=1)
    play_round = plays_for(agents.Family(tiny), config)
    torch.manual_seed(0)
    network = SchedulingNetwork(NetworkConfig(2, 8))
    one, two = (play_round(network, 3, np.random.default_rng(5)) for _ in range(2))
    torch.testing.assert_close(one.values, two.values, rtol=0, atol=0)
    other = play_round(network, 3, np.random.default_rng(6))
    assert one.values.shape != other.values.shape or not torch.equal(one.values, other.values)


def test_sharing_without_clusters_has_no_teacher_under_fading():
    scenario = pl_env.Scenario.preset("general-hard", fading="batch")
    with pytest.raises(pl_env.UnsupportedInstance, match="clustered sharing where channels are drawn anew"):
        plays_for(agents.Family(scenario), agents.ImitationConfig())


def test_recipes_are_of_families_that_exist():
    for name in RECIPES:
        assert agents.Family.named(name)
    assert recipe("tiny") == agents.TrainingConfig()


def test_the_best_actions_weight_is_of_the_loss_alone(tiny):
    """Without it what is left is the expected loss of users and the value's error."""
    torch.manual_seed(0)
    network = SchedulingNetwork(NetworkConfig(2, 8))
    states = play(network, agents.Family(tiny), exact, agents.ImitationConfig(episodes=5), np.random.default_rng(1))
    rows = torch.arange(len(states.values))
    with_it, regret = _loss(network, states, rows, agents.ImitationConfig(value_weight=0.0))
    without, same = _loss(network, states, rows, agents.ImitationConfig(value_weight=0.0, best_weight=0.0))
    assert without == regret == same < with_it


@pytest.mark.parametrize("preset", ["fading", "general-hard"])
def test_other_teachers_train_too(preset, tmp_path):
    scenario = pl_env.Scenario.preset(preset, n_users=10, n_models=5)
    imitation = agents.ImitationConfig(rounds=2, episodes=3, teacher_rounds=0, searched_actions=2, minibatch_size=16)
    config = agents.TrainingConfig(width=8, layers=1, heads=2, imitation=imitation)
    result = agents.train(agents.Family(scenario), config, tmp_path / "first", progress=False)
    assert len(result.curve) == 2
    onwards = agents.TrainingConfig(
        width=8, layers=1, heads=2, initial=str(tmp_path / "first" / "checkpoint"), imitation=imitation
    )
    agents.train(agents.Family(scenario), onwards, tmp_path / "second", progress=False)
    with pytest.raises(pl_env.InvalidValue, match="network of the initial agent is"):
        agents.train(
            agents.Family(scenario),
            agents.TrainingConfig(initial=str(tmp_path / "first" / "checkpoint"), imitation=imitation),
            tmp_path / "third",
            progress=False,
        )
