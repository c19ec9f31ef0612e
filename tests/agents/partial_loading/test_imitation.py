from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import agents
import pl_env
from agents.partial_loading.imitation import LabelledStates, Teacher, _loss, play
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork
from agents.partial_loading.recipes import RECIPES, recipe
from agents.partial_loading.teachers import plays_for
from baselines.partial_loading.action_values import ILLEGAL, action_values


def exact(episodes, later_ns, scores, wanted, rng):
    return action_values(episodes, later_ns)


EXACT = Teacher(exact)


def played(family, config, rng, network=None, teacher=EXACT, teacher_plays=False):
    if network is None:
        torch.manual_seed(0)
        network = SchedulingNetwork(NetworkConfig(2, 8))
    return play(network, family.sample(rng, config.episodes), teacher, config, rng, teacher_plays)


def test_the_teachers_own_episodes_are_optimal(tiny):
    """Without exploration the value of the first state is what each episode serves, so states' values fall by sizes."""
    config = agents.ImitationConfig(episodes=12, exploration=0.0, easy_share=1.0)
    states = played(agents.Family(tiny), config, np.random.default_rng(0), teacher_plays=True)
    assert np.isnan(states.reached)
    assert len(states.values) == len(states.n_users) == len(states.observation["budget"])
    assert states.loading.shape == (1, 4, 3)
    begun = states.observation["budget"][:, 0] == 1
    assert begun.sum() == 12
    assert states.values[begun].max(axis=1).mean() > 3


def test_states_where_the_learner_is_sure_are_mostly_left_out(tiny):
    counts = []
    for easy_share in (0.0, 1.0):
        config = agents.ImitationConfig(episodes=40, easy_share=easy_share)
        counts.append(len(played(agents.Family(tiny), config, np.random.default_rng(1))))
    assert counts[0] < counts[1]


def test_costly_labels_are_asked_for_where_they_are_learnt_from(tiny):
    """And at first, and where the teacher plays."""
    asked = []

    def label(episodes, later_ns, scores, wanted, rng):
        asked.append(len(wanted))
        values = np.full(episodes.mask.shape, ILLEGAL, dtype=np.float32)
        values[wanted] = action_values(episodes, later_ns)[wanted]
        return values

    config = agents.ImitationConfig(episodes=40, easy_share=0.1, teacher_share=0.0)
    states = played(agents.Family(tiny), config, np.random.default_rng(1), teacher=Teacher(label, costly=True))
    assert asked[0] == 40
    assert len(states) <= sum(asked)
    assert (states.values.max(axis=1) >= 1).all(), "every state that is learnt from has its values"


def test_a_part_depends_on_its_arguments_only(tiny):
    config = agents.ImitationConfig(episodes=6, teacher_rounds=1)
    [play_part] = plays_for(agents.Family(tiny), config)
    torch.manual_seed(0)
    network = SchedulingNetwork(NetworkConfig(2, 8))
    again = pickle.loads(pickle.dumps(play_part))
    one, two = (each(network, 3, np.random.default_rng(5)) for each in (play_part, again))
    np.testing.assert_array_equal(one.values, two.values)
    other = play_part(network, 3, np.random.default_rng(6))
    assert one.values.shape != other.values.shape or not np.array_equal(one.values, other.values)


def test_states_of_different_libraries_are_joined():
    """Padding changes no score, and the models that are added cannot be chosen."""
    torch.manual_seed(0)
    network = SchedulingNetwork(NetworkConfig(8, 16))
    torch.nn.init.normal_(network.score[-1].weight)
    config = agents.ImitationConfig(episodes=3, easy_share=1.0)
    parts = [
        played(agents.Family(pl_env.Scenario(n_models=n, n_users=9)), config, np.random.default_rng(n), network, EXACT)
        for n in (4, 7)
    ]
    joined = LabelledStates.join(parts)
    assert len(joined) == len(parts[0]) + len(parts[1])
    assert joined.reachable == parts[0].reachable + parts[1].reachable
    first = 0
    for part, n_models in zip(parts, (4, 7), strict=True):
        rows = np.arange(len(part))
        alone, together = part.take(rows), joined.take(first + rows)
        scores, value = network(alone[0])
        padded, same_value = network(together[0])
        torch.testing.assert_close(padded[:, : 8 * n_models], scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(same_value, value, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(together[1][:, : 8 * n_models], alone[1])
        assert (together[1][:, 8 * n_models :] == ILLEGAL).all()
        first += len(part)


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_change_no_bits(tmp_path, processes):
    """Four parts, which are played here or in two other processes while this one learns; stopped and resumed, too."""
    imitation = agents.ImitationConfig(rounds=4, episodes=8, parts=2, teacher_rounds=1, minibatch_size=16)
    config = agents.TrainingConfig(width=8, layers=1, heads=2, imitation=imitation)
    family = agents.Family.named("any-library", n_users=(5, 9), n_models=(3, 6))
    whole = agents.train(family, replace(config, processes=1), tmp_path / "whole", progress=False)

    def stop(agent, states):
        if agent.trained_on["rounds"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agents.train(family, replace(config, processes=processes), tmp_path / "two", progress=False, watch=stop)
    resumed = agents.train(
        family, replace(config, processes=4 - processes), tmp_path / "two", resume=True, progress=False
    )
    torch.testing.assert_close(resumed.agent.network.state_dict(), whole.agent.network.state_dict(), rtol=0, atol=0)


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
    states = played(agents.Family(tiny), agents.ImitationConfig(episodes=5), np.random.default_rng(1), network)
    rows = np.arange(len(states))
    with_it, regret = _loss(network, states, rows, agents.ImitationConfig(value_weight=0.0))
    without, same = _loss(network, states, rows, agents.ImitationConfig(value_weight=0.0, best_weight=0.0))
    assert without == regret == same < with_it


@pytest.mark.parametrize("preset", ["fading", "general-hard"])
def test_other_teachers_train_too(preset, tmp_path):
    scenario = pl_env.Scenario.preset(preset, n_users=10, n_models=5)
    imitation = agents.ImitationConfig(rounds=2, episodes=3, teacher_rounds=0, searched_actions=2, minibatch_size=16)
    config = agents.TrainingConfig(width=8, layers=1, heads=2, processes=1, imitation=imitation)
    result = agents.train(agents.Family(scenario), config, tmp_path / "first", progress=False)
    assert len(result.curve) == 2
    onwards = agents.TrainingConfig(
        width=8, layers=1, heads=2, processes=1, initial=str(tmp_path / "first" / "checkpoint"), imitation=imitation
    )
    agents.train(agents.Family(scenario), onwards, tmp_path / "second", progress=False)
    with pytest.raises(pl_env.InvalidValue, match="network of the initial agent is"):
        agents.train(
            agents.Family(scenario),
            agents.TrainingConfig(initial=str(tmp_path / "first" / "checkpoint"), imitation=imitation),
            tmp_path / "third",
            progress=False,
        )
