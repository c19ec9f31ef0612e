"""Whose blocks leave first: by definition, by hand, the same compiled and in an environment, and of use."""

from __future__ import annotations

import numpy as np
import pytest

import agents
from agents.online.agent import Agent
from agents.online.evicting import PENDING, ROOM, preferred_model
from agents.online.families import Drawn, Family, parameters_of
from agents.online.playing import Player, compiled_weights
from baselines.online.rules import run
from pl_env.online import Scenario, check
from pl_env.online.arrays import BLOCK_NS, COUNT, LEGAL, RECENT, Episode
from pl_env.online.env import PartialLoadingOnlineEnv
from pl_env.online.episodes import episode_of
from pl_env.seeds import VALIDATION_STREAM
from tests import online_helpers as helpers
from tests.agents.online.test_network import described, states_on_the_way


@pytest.fixture(scope="module")
def reactive() -> Agent:
    return agents.load("online/reactive")


def goodput(agent: Agent, scenario: Scenario, count: int, seed: int) -> np.ndarray:
    drawn = [scenario.sample(np.random.default_rng((VALIDATION_STREAM, seed, n))).users for n in range(count)]
    family = Family(scenario, (scenario.arrival_rate, scenario.arrival_rate), (scenario.eviction,))
    episodes = [Drawn(scenario.tables, users, parameters_of(scenario.tables)) for users in drawn]
    served, _ = Player(family, agent.network.config).play(episodes, compiled_weights(agent.network)[None])
    return served[0] / [len(users) for users in drawn]


def copied(e: Episode) -> Episode:
    return e._replace(**{name: getattr(e, name).copy() for name in Episode._fields})


def test_the_model_is_named_with_which_least_is_lost():
    """Against batches that are really run with each model preferred."""
    scenario, named, kept = Scenario(eviction="agent"), 0, 0
    has_block = scenario.table.has_block
    for tables, e in states_on_the_way(eviction="agent", every=7):
        scene = described(tables, e)
        recent, pending = has_block.T @ e.models[0, RECENT], has_block.T @ e.models[0, COUNT]
        share = recent / max(1, e.models[0, RECENT].sum())
        worth = (share + PENDING * pending - ROOM) * tables.blocks[:, BLOCK_NS]
        for model in np.flatnonzero(e.models[0, LEGAL]).tolist():
            losses = []
            for preferred in range(-1, scenario.n_models):
                again = copied(e)
                run(tables, again, 0, model * int(e.cap[0]), preferred)
                losses.append(worth[e.resident[0] & ~again.resident[0]].sum())
            chosen = preferred_model(tables, e, model, scene)
            assert losses[chosen + 1] == pytest.approx(min(losses), rel=1e-9)
            if losses[0] == pytest.approx(min(losses), rel=1e-9):
                assert chosen == -1
                kept += 1
            else:
                named += 1
    assert named >= 5
    assert kept > 5


@pytest.mark.parametrize("eviction", ["agent", "demand"])
def test_by_hand(eviction):
    """Models 0 (100 and 20 MB) and 2 (60 MB) fill 180 MB; a batch of model 1 loads its 20 MB beside the shared 100.

    Of seven users model 0 was asked for by three, who are served; model 2 by two and model 1 by two, of whom two each
    are pending. By `demand` the 60 MB of model 2 leave. Lost would be (2/7 + 2/12 - 1/36) · 60 ms; with the 20 MB of
    model 0 it is (3/7 - 1/36) · 20 ms.
    """
    instance = helpers.tiny([(0, 0), (1, 0), (2, 0), (3, 2), (4, 2), (5, 1), (6, 1)], 180, eviction, deadline=500.0)
    resident = np.ones(instance.n_blocks, dtype=bool)
    resident[instance.has_block[1] & ~instance.has_block[0]] = False
    tables, e = episode_of(helpers.changed(instance, resident_blocks=resident))
    run(tables, e, 0, 0)
    while e.models[0, COUNT, 0]:
        run(tables, e, 0, int(e.models[0, LEGAL, 0]) - 1)
    assert e.models[0, COUNT].tolist() == [0, 2, 2]
    assert e.models[0, RECENT].tolist() == [3, 2, 2]
    assert e.resident[0].tolist() == resident.tolist()
    assert preferred_model(tables, e, 1, described(tables, e)) == (0 if eviction == "agent" else -1)
    assert preferred_model(tables, e, 2, described(tables, e)) == -1, "it is in memory already"


def test_the_environment_plays_what_the_compiled_loop_plays(reactive):
    scenario = Scenario(eviction="agent", episode_seconds=3.0)
    compiled = goodput(reactive, scenario, 2, seed=3)
    for n, expected in enumerate(compiled):
        env = PartialLoadingOnlineEnv(scenario, invalid_action="raise")
        instance = scenario.sample(np.random.default_rng((VALIDATION_STREAM, 3, n)))
        observation, info = env.reset(options={"instance": instance})
        while env.any_legal:
            action = reactive.act(observation, info, env)
            assert action in env.action_space
            observation, _, _, _, info = env.step(action)
        check(env.plan, instance)
        assert (env.plan.preferred >= 0).any()
        assert info["goodput"] == expected


def test_the_choice_is_of_use(reactive):
    """On validation episodes that its numbers were not chosen on."""
    demand, chosen = (goodput(reactive, Scenario(eviction=name), 40, seed=4) for name in ("demand", "agent"))
    assert (chosen - demand).mean() > 0
