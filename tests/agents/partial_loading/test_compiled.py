"""The small network that plays in one compiled loop, and how it is trained."""

from __future__ import annotations

import copy
import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

import agents
import baselines
import pl_env
from agents.checkpoint import load_checkpoint, save_checkpoint
from agents.evolution import EvolutionConfig
from agents.partial_loading.compiled.agent import CompiledAgent, play_greedily
from agents.partial_loading.compiled.improving import ImprovementConfig, Trials, _loss, _to_try, try_actions
from agents.partial_loading.compiled.network import CompiledNetwork, NetworkConfig
from agents.partial_loading.compiled.playing import Player, compiled_weights, record
from agents.partial_loading.compiled.training import CompiledTrainingConfig, WholeEpisodes, train
from baselines.partial_loading.expected_uploads import later_upload_ns
from pl_env.partial_loading.episodes import Episodes
from tests.helpers import run_python

QUICK = CompiledTrainingConfig(
    message=4,
    hidden=8,
    threads=1,
    improvement=ImprovementConfig(rounds=2, updates=2, episodes=6, actions=3),
    evolution=EvolutionConfig(rounds=2, generations=2, pairs=3, episodes=4),
)


def some_agent(batch_cap: int = 8, seed: int = 0) -> CompiledAgent:
    torch.manual_seed(seed)
    network = CompiledNetwork(NetworkConfig(batch_cap, message=4, hidden=8))
    with torch.no_grad():
        network.out.normal_()
        network.edge_bias.normal_()
        network.action_bias.normal_()
    return CompiledAgent(network, {"note": "untrained"})


def sampled(preset: str, count: int, **overrides) -> list[pl_env.Instance]:
    return agents.Family.named(preset, **overrides).sample(np.random.default_rng(3), count)


# ---------------------------------------------------------------- what it reads


def test_features_by_hand():
    """Model 0: two users, 120 ms to load; model 2: one user, 60 ms; in tenths of a deadline of 180 ms."""
    table = pl_env.Scenario.preset("tiny").table
    instance = pl_env.Instance(
        table=table,
        requested_model=np.array([0, 0, 2]),
        upload_ns=np.array([2_000_000, 1_000_000, 3_000_000]),
        deadline_ns=180_000_000,
    )
    cells = np.array([[0, 1, 4]])  # one user of model 0, two of it, one of model 2
    states = record(Episodes([instance], 2), np.zeros((1, 0), dtype=np.int64), cells)
    assert states.known.tolist() == [[True, True, False]]
    assert states.own.tolist() == [[0, 0, 1]]
    first, last = 120 + 10 + 2 + 3, 60 + 10 + 1 + 3  # ms: load, batch, samples, uploads
    demand = first + last
    expected = [2 / 4, 120 / 18, 120 / 18, 15 / 18, np.log(2 * 180 / 80 / first), 2 * 180 / 80 / first, first / 180, 1]
    expected += [0, 180 / 80 / (120 + 10 + 1 + 1), np.log(demand / 180), 1]
    expected += [180 / 80 / (60 + 14), 120 / 18, 120 / 18, 60 / 18]  # after it, the other; after the other, it
    np.testing.assert_allclose(states.token[0, 0], expected, rtol=1e-6)
    # Of a batch of model 0, and model 2: its load after, the reverse, its rate after.
    rate = 180 / 80 / (60 + 14)
    np.testing.assert_allclose(states.edge[0, 0, 1], [120 / 18, 60 / 18, rate], rtol=1e-6)
    # Of model 0 and itself: nothing to load.
    np.testing.assert_allclose(states.edge[0, 0, 0], [0, 0, 2 * 180 / 80 / 15], rtol=1e-6)
    time = 120 + 10 + 1 + 1
    expected = [np.log(180 / 80 / time), 1 / 4, 1 / 4, time / 180, (180 - time) / 180, time / 18, 12 / 18, 0, 0]
    expected += [np.log(last / (180 - time)), 1 / 18, 2 / 18]
    np.testing.assert_allclose(states.action[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("preset", ["bls", "general-hard", "fading", "tiny"])
def test_compiled_scores_are_those_of_torch(preset):
    """In states on the way, every legal action; models and actions fewer and fewer."""
    instances = sampled(preset, 5)
    cap = 2 if preset == "tiny" else 8
    agent = some_agent(cap)
    episodes, player = Episodes(instances, cap), Player(agent.network.config)
    later_ns, rng = later_upload_ns(episodes), np.random.default_rng(0)
    compared = 0
    while episodes.running.any():
        rows = np.flatnonzero(episodes.running)
        scores = player.scores(episodes, compiled_weights(agent.network), later_ns)
        np.testing.assert_array_equal(np.isfinite(scores), episodes.mask)
        for n in rows:
            legal = np.flatnonzero(episodes.mask[n])
            states = record(episodes.branch(np.array([n])), later_ns[n : n + 1], legal[None])
            with torch.inference_mode():
                expected = agent.network(states)[0].numpy()
            np.testing.assert_allclose(scores[n, legal], expected, rtol=1e-4, atol=1e-4)
            compared += 1
        actions = np.where(episodes.mask, rng.random(scores.shape), -1).argmax(axis=1)
        episodes.step(actions, rng.random(episodes.arrays.uniforms.shape))
    assert compared > 5


def test_fresh_weights_are_the_greedy_rule():
    """The largest rate of users."""
    instance = sampled("bls", 1)[0]
    env = pl_env.PartialLoadingEnv("bls")
    observation, info = env.reset(options={"instance": instance})
    agent = CompiledAgent(CompiledNetwork(NetworkConfig()))
    rate = np.where(info["action_mask"], np.tile(np.arange(1, 9), 50) / observation["batch_time"].reshape(-1), 0)
    assert agent.act(observation, info, env) == rate.argmax()


# ---------------------------------------------------------------- playing


@pytest.mark.parametrize("env_id", ["PartialLoading-v0", "PartialLoadingGeneral-v0", "PartialLoadingFading-v0"])
def test_compiled_play_is_the_environment_step_by_step(env_id):
    """The same actions, users and end as through gym.make, under the environment's own draws of the channels."""
    agent, env = some_agent(), gym.make(env_id)
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        instance, k = env.unwrapped.instance, env.unwrapped.n_users
        to_come = copy.deepcopy(env.unwrapped.np_random)
        channels = to_come.random((1, k, k))
        episodes = Episodes([instance], 8)
        play = Player(agent.network.config).play(
            episodes, compiled_weights(agent.network), later_upload_ns(episodes), channels=channels
        )
        terminated, step = False, 0
        while not terminated:
            action = agent.act(observation, info, env.unwrapped)
            assert action == play.actions[0, step]
            observation, _, terminated, _, info = env.step(action)
            step += 1
        assert (play.actions[0, step:] == -1).all()
        assert info["served"] == episodes.served[0] == np.floor(play.value[0])
        pl_env.check(env.unwrapped.schedule, instance)


def test_the_part_of_one_more_user():
    """One user is served and one of another model is left, for which 0 < left < needed: the part is their ratio."""
    table = pl_env.Scenario.preset("tiny").table
    instance = pl_env.Instance(
        table=table,
        requested_model=np.array([0, 2]),
        upload_ns=np.array([1_000_000, 1_000_000]),
        deadline_ns=180_000_000,
    )
    agent = some_agent(2)
    play = Player(agent.network.config).play(
        Episodes([instance], 2), compiled_weights(agent.network), np.zeros((1, 0), dtype=np.int64), first=np.array([0])
    )
    needed = 60 + 10 + 1 + 1
    assert play.value[0] == pytest.approx(1 + (180 - 132) / needed)
    assert play.decisions == 0


@pytest.mark.parametrize("preset", ["bls", "fading"])
def test_threads_change_nothing(preset):
    agent, instances = some_agent(), sampled(preset, 7)
    channels = np.random.default_rng(0).random((7, 80, 80))
    ends = []
    for threads in (1, 3):
        episodes = Episodes(instances, 8)
        play = Player(agent.network.config, threads).play(
            episodes, compiled_weights(agent.network), later_upload_ns(episodes), channels=channels,
            channel=np.arange(7), uniforms=np.random.default_rng(1).random((7, 80)),
        )  # fmt: skip
        ends.append((play.value.tolist(), play.actions.tolist(), play.decisions))
    assert ends[0] == ends[1]


def test_many_policies_play_the_same_episodes():
    """As each alone."""
    family = agents.Family.named("bls")
    one, two = (compiled_weights(some_agent(seed=seed).network)[0].astype(np.float64) for seed in (0, 1))
    config = some_agent().network.config
    returns, _ = WholeEpisodes(family, config, 1)(np.stack([one, two]), 5, np.random.default_rng(0))
    alone, _ = WholeEpisodes(family, config, 2)(two[None], 5, np.random.default_rng(0))
    np.testing.assert_array_equal(returns[1], alone[0])
    assert (returns[0] != returns[1]).any()


def test_sampling_follows_the_scores():
    """Two actions whose scores differ by log 3 at temperature 1: three times as often."""
    table = pl_env.Scenario.preset("tiny").table
    instance = pl_env.Instance(
        table=table, requested_model=np.array([0, 2]), upload_ns=np.zeros(2, dtype=np.int64), deadline_ns=140_000_000
    )
    agent = some_agent(2)
    weights = compiled_weights(agent.network)
    episode = Episodes([instance], 2)
    player, nothing = Player(agent.network.config), np.zeros((1, 0), dtype=np.int64)
    scores = player.scores(episode, weights, nothing)[0, [0, 4]]
    n = 4000
    uniforms = (np.arange(n)[:, None] + 0.5) / n + np.zeros((1, 2))
    play = player.play(
        episode.branch(np.zeros(n, dtype=np.int64)), weights, np.zeros((n, 0), dtype=np.int64),
        uniforms=uniforms, temperature=float(abs(np.diff(scores)[0]) / np.log(3)),
    )  # fmt: skip
    assert (play.actions[:, 0] == [0, 4][scores.argmax()]).mean() == pytest.approx(0.75, abs=2 / n)


# ---------------------------------------------------------------- learning


def test_what_is_tried():
    scores = np.array([[3.0, -np.inf, 2.0, 1.0], [0.5, -np.inf, -np.inf, -np.inf]], dtype=np.float32)
    cells, tried = _to_try(scores, 3, np.random.default_rng(0))
    assert set(cells[0].tolist()) == {0, 2, 3}
    assert tried.tolist() == [[True, True, True], [True, False, False]]
    assert cells[1].tolist() == [0, 0, 0]


def test_a_tried_action_is_worth_what_the_policy_makes_of_it():
    """Each value is that of an episode that begins with the same states, played by hand through the environment."""
    family = agents.Family.named("bls", n_users=15)
    agent = some_agent()
    config = ImprovementConfig(episodes=3, actions=3)
    trials = try_actions(Player(agent.network.config), agent.network, family, config, np.random.default_rng(5))
    again = try_actions(Player(agent.network.config, 2), agent.network, family, config, np.random.default_rng(5))
    torch.testing.assert_close(trials.value, again.value, rtol=0, atol=0)
    assert trials.tried[:, 0].all()
    assert (trials.value[trials.tried] > 0).all()
    assert (trials.value <= 16).all()


def test_the_loss_prefers_what_ended_better():
    agent = some_agent()
    states = record(Episodes(sampled("bls", 1), 8), np.zeros((1, 0), dtype=np.int64), np.flatnonzero(
        Episodes(sampled("bls", 1), 8).mask[0])[None, :2])  # fmt: skip
    trials = Trials(states, torch.tensor([[True, True]]), torch.tensor([[50.0, 51.0]]), 0, 0.0)
    network = agent.network
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    before = torch.diff(network(states))[0].item()
    for _ in range(20):
        loss, regret = _loss(network, trials, 0.3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.diff(network(states))[0].item() > before
    assert 0 <= regret.item() < 1


def test_it_learns(tmp_path):
    """From the greedy rule, on eight users and three models, most of the way to the optimum."""
    family = agents.Family.named("tiny", n_users=8)
    config = CompiledTrainingConfig(
        threads=1,
        improvement=ImprovementConfig(rounds=4, updates=10, episodes=24, averaging=0.1),
        evolution=EvolutionConfig(rounds=0),
    )
    agent = train(family, config, tmp_path, progress=False).agent
    fresh = CompiledAgent(CompiledNetwork(NetworkConfig(2)))
    instances = family.sample(np.random.default_rng(9), 200)
    optimum = np.mean([baselines.solve(instance, "optimal-dp").served_ratio for instance in instances])
    before, after = (play_greedily(each, instances).mean() for each in (fresh, agent))
    assert after > before + 0.5 * (optimum - before)


@pytest.mark.parametrize("preset", ["bls", "fading"])
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_killed_and_resumed_it_ends_with_the_same_bits(preset, stop_after, tmp_path):
    family = agents.Family.named(preset, n_users=10)
    whole = train(family, QUICK, tmp_path / "whole", progress=False)

    def stop(agent, states):
        if agent.trained_on["rounds"] == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(family, QUICK, tmp_path / "cut", progress=False, watch=stop)
    more_threads = dataclasses.replace(QUICK, threads=2)
    resumed = train(family, more_threads, tmp_path / "cut", progress=False, resume=True)
    assert [point["stage"] for point in resumed.curve] == ["improvement"] * 2 + ["evolution"] * 2
    parts = [load_checkpoint(tmp_path / name / "checkpoint", "weights", "training")[1] for name in ("whole", "cut")]
    for part in ("weights", "training"):
        assert parts[0][part].keys() == parts[1][part].keys()
        for name, tensor in parts[0][part].items():
            assert torch.equal(tensor, parts[1][part][name])
    assert torch.equal(whole.agent.network.out, resumed.agent.network.out)


def test_another_process_learns_the_same(tmp_path):
    code = (
        "import agents; from pathlib import Path; from tests.agents.partial_loading.test_compiled import QUICK, train; "
        f"train(agents.Family.named('tiny'), QUICK, Path({str(tmp_path / 'there')!r}), progress=False)"
    )
    run_python(code)
    train(agents.Family.named("tiny"), QUICK, tmp_path / "here", progress=False)
    here, there = ((tmp_path / name / "checkpoint" / "weights.safetensors").read_bytes() for name in ("here", "there"))
    assert here == there


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field.name)
        for kind in (CompiledTrainingConfig, ImprovementConfig, NetworkConfig)
        for field in dataclasses.fields(kind)
        if field.name not in ("improvement", "evolution")
    ],
)
def test_every_argument_is_checked(kind, field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is -1; it must be"):
        kind(**{field: -1})


# ---------------------------------------------------------------- an agent like the others


def test_saved_and_loaded_it_acts_the_same(tmp_path):
    agent = some_agent()
    agent.save(tmp_path / "agent")
    loaded = agents.load(tmp_path / "agent")
    assert isinstance(loaded, CompiledAgent)
    instances = sampled("bls", 3)
    np.testing.assert_array_equal(play_greedily(agent, instances), play_greedily(loaded, instances))


@pytest.mark.parametrize("kind", ["JOBS", "nothing", 3])
def test_a_checkpoint_of_no_agent_is_refused(kind, tmp_path):
    agent = some_agent()
    save_checkpoint(tmp_path / "a", agent.header() | {"agent": kind}, {"weights": agent.network.state_dict()})
    with pytest.raises(pl_env.FileFormatError, match="an agent of the kind"):
        agents.load(tmp_path / "a")


def test_the_best_of_many():
    agent = some_agent()
    scenario = pl_env.Scenario.preset("bls")
    policies = {"agent": agent, "one": agents.BestOf(agent, 1), "best": agents.BestOf(agent, 16)}
    result = agents.evaluate(policies, scenario, episodes=5)
    assert result["agent"].objective.tolist() == result["one"].objective.tolist()
    assert (result["best"].objective >= result["agent"].objective).all()
    assert (result["best"].objective <= result["best"].optimum).all()
    assert result["best"].mean > result["agent"].mean


def test_another_batch_cap_is_refused():
    env = pl_env.PartialLoadingEnv("bls", max_batch_size=4)
    observation, info = env.reset(seed=0)
    with pytest.raises(pl_env.InvalidValue, match="max_batch_size of the environment is 4; it must be 8"):
        some_agent().act(observation, info, env)
