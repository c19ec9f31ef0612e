"""What the network reads, that its two forms agree, and that what it reads of memory is what happens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.online.features import MOST_MODELS, TOKEN, describe, new_scene
from agents.online.network import CompiledNetwork, NetworkConfig, layers_of, new_codes, score_actions
from agents.online.playing import compiled_weights
from agents.pairwise import States
from baselines.online.policies import tuned
from baselines.online.rules import URGENT_GREEDY, choose, run
from pl_env.errors import InvalidValue
from pl_env.online import Scenario
from pl_env.online.arrays import CHOICES, COUNT, LEGAL, MISSING_NS, N_EVICTED, OVERHEAD, RECENT, Episode, Tables
from pl_env.online.dynamics import load_ns
from pl_env.online.episodes import episode_of, with_room

CONFIG = NetworkConfig(4, 8)


def some_network(seed: int = 0) -> CompiledNetwork:
    """Weights of which none is zero."""
    torch.manual_seed(seed)
    network = CompiledNetwork(CONFIG)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.3)
    return network


def states_on_the_way(every: int = 7, **fields):
    """Decisions of an episode that `urgent-greedy` plays."""
    fields = {"episode_seconds": 2.0, "arrival_rate": 200.0} | fields
    tables, e = episode_of(Scenario(**fields).sample(np.random.default_rng(0)))
    step = 0
    while e.state[0, CHOICES] > 0:
        if step % every == 0:
            yield tables, e
        run(tables, e, 0, choose(tables, e, 0, URGENT_GREEDY, tuned(tables)))
        e = with_room(e, int(e.state[0, N_EVICTED]))
        step += 1


def described(tables: Tables, e: Episode):
    scene = new_scene(tables.models.shape[1], len(tables.blocks), tables.models.shape[1] * int(e.cap[0]))
    describe(tables, e, 0, tuned(tables), scene)
    return scene


def for_torch(scene) -> States:
    count, actions = (int(number) for number in scene.counts[:2])
    place = scene.place[:actions]
    arrays = (
        scene.token[:count],
        np.ones(count, dtype=bool),
        place,
        scene.edge[place, :count],
        scene.action[:actions],
    )
    return States(*(torch.from_numpy(np.ascontiguousarray(array))[None] for array in arrays))


@pytest.mark.parametrize("eviction", ["demand", "lru"])
def test_compiled_scores_are_those_of_torch(eviction):
    network, compared = some_network(), 0
    layers = layers_of(compiled_weights(network), CONFIG.message, CONFIG.hidden)
    for tables, e in states_on_the_way(eviction=eviction):
        scene = described(tables, e)
        codes = new_codes(tables.models.shape[1], len(scene.cell), CONFIG.message, CONFIG.hidden)
        score_actions(scene, layers, codes)
        with torch.inference_mode():
            expected = network(for_torch(scene))[0].numpy()
        np.testing.assert_allclose(codes.score[: len(expected)], expected, rtol=1e-4, atol=1e-4)
        compared += len(expected)
    assert compared > 200


def test_every_legal_batch_of_the_models_that_are_read_is_scored():
    fewer = False
    for tables, e in states_on_the_way(arrival_rate=400.0, every=3):
        scene, legal = described(tables, e), e.models[0, LEGAL]
        count, actions = scene.counts[0], scene.counts[1]
        models, cap = scene.model[0, :count], int(e.cap[0])
        assert count == min(MOST_MODELS, np.count_nonzero(legal))
        assert (np.diff(models) > 0).all()
        expected = [model * cap + b for model in models for b in range(legal[model])]
        assert scene.cell[:actions].tolist() == expected
        assert np.isfinite(scene.token[:count]).all()
        assert np.isfinite(scene.action[:actions]).all()
        best = choose(tables, e, 0, URGENT_GREEDY, tuned(tables))
        assert best in expected, "the most urgent one is never left out"
        assert scene.cell[scene.action[:actions, 0].argmax()] == best
        fewer |= count < np.count_nonzero(legal)
    assert fewer


@pytest.mark.parametrize("eviction", ["demand", "lru", "previous", "agent"])
@pytest.mark.parametrize("overlap", ["none", "upload"])
def test_loads_after_a_batch_are_what_they_are_then(eviction, overlap):
    """Edge 0 against a batch that is really run; token 9 and 10 are the change of all models, weighted by demand."""
    checked = 0
    for tables, e in states_on_the_way(eviction=eviction, overlap=overlap, every=11):
        scene, overhead = described(tables, e), int(tables.options[OVERHEAD])
        count = int(scene.counts[0])
        before = e.models[0].copy()
        for c in range(count):
            again = e._replace(**{name: getattr(e, name).copy() for name in Episode._fields})
            cell = int(scene.cell[: scene.counts[1]][scene.place[: scene.counts[1]] == c][0])
            run(tables, again, 0, cell)
            after = again.models[0, MISSING_NS]
            loads = [load_ns(int(after[model]), overhead) for model in scene.model[0, :count]]
            np.testing.assert_allclose(scene.edge[c, :count, 0], np.array(loads) * 2e-8, rtol=1e-5)
            change, came = after - before[MISSING_NS], before[RECENT]
            lost = (came * np.maximum(change, 0)).sum() / max(1, came.sum()) * 2e-8
            gained = (came * np.maximum(-change, 0)).sum() / max(1, came.sum()) * 2e-8
            np.testing.assert_allclose(scene.token[c, 9:11], [lost, gained], rtol=1e-4, atol=1e-6)
            checked += 1
    assert checked > 20


def test_features_by_hand():
    """The tiny library: model 0 is 100 + 20 MB, 2 is 60 MB, at 1 GB/s; a batch takes 10 ms and 1 ms a user."""
    scenario = Scenario.preset("tiny")
    users = np.array(  # model, ready, deadline, upload, arrival
        [[0, 0, 200_000_000, 1_000_000, 0], [0, 0, 180_000_000, 2_000_000, 0], [2, 0, 150_000_000, 3_000_000, 0]]
    )
    tables, e = episode_of(scenario.instance(users))
    assert e.models[0, COUNT].tolist() == [2, 0, 1]
    scene = described(tables, e)
    assert scene.counts.tolist() == [2, 3, 2, 0]
    load, time = 120, 120 + 12 + 3  # ms, of both users of model 0
    margin = 180 - time
    expected = [2 / 4, load / 50, load / 50, 2 / 4, 180 / 100, margin / 100, np.log(2 * 10 / time), np.log(3) / 2, 1]
    np.testing.assert_allclose(scene.token[0, :9], expected, rtol=1e-6)
    # Model 2 after a batch of model 0: 60 ms as before; its user must upload 11 + 3 ms before 150 ms.
    np.testing.assert_allclose(scene.edge[0, 1], [60 / 50, 0, (136 - time - 60) / 100, 10 / (60 + 14)], rtol=1e-5)
    np.testing.assert_allclose(scene.edge[0, 0, :2], [0, -load / 50], rtol=1e-6)
    both = scene.action[1]
    upload = 3
    expected = [2 / 4, 0, margin / 100, time / 50, upload / 50, np.log(2 * 10 / time), 1, 1, 0]
    np.testing.assert_allclose(both[1:10], expected, rtol=1e-6, atol=1e-7)
    assert both[10] == pytest.approx(1 / 4), "the user of model 2 could not be served any more"
    assert scene.token.shape == (3, TOKEN)


def test_fresh_weights_are_urgent_greedy():
    torch.manual_seed(0)
    network = CompiledNetwork(CONFIG)
    layers = layers_of(compiled_weights(network), CONFIG.message, CONFIG.hidden)
    for tables, e in states_on_the_way():
        scene = described(tables, e)
        codes = new_codes(tables.models.shape[1], len(scene.cell), CONFIG.message, CONFIG.hidden)
        score_actions(scene, layers, codes)
        best = scene.cell[codes.score[: scene.counts[1]].argmax()]
        assert best == choose(tables, e, 0, URGENT_GREEDY, tuned(tables))


def test_a_network_without_units_is_refused():
    with pytest.raises(InvalidValue, match="message is 0; it must be an integer from 1"):
        NetworkConfig(message=0)
