"""The look ahead: which batches are left, and that what comes of them is what `replan` finds."""

from __future__ import annotations

import numpy as np
import pytest

from agents.online.features import AHEAD
from agents.online.looking import drain_parameters, look_ahead
from baselines.online.policies import tuned
from baselines.online.replan import best_batch, candidate_batches
from pl_env.online.arrays import N_PENDING, allocate
from tests.agents.online.test_network import described, states_on_the_way


@pytest.mark.parametrize("eviction", ["demand", "lru"])
@pytest.mark.parametrize("most", [3, 8])
def test_the_best_of_what_it_finds_is_replans_batch(eviction, most):
    checked = 0
    for tables, e in states_on_the_way(eviction=eviction, every=13):
        scratch = allocate(tables, int(e.cap[0]), e.pending.shape[1], has_users=False, keeps_finish=False)
        scratch = scratch._replace(users=e.users, before=e.before, cap=e.cap)
        scene, drain = described(tables, e), drain_parameters(tables)
        look_ahead(tables, e, scratch, drain, most, scene)
        count = int(scene.counts[1])
        cells, numbers = scene.cell[:count], scene.action[:count]
        candidates, values = candidate_batches(tables, e, 0, tuned(tables))
        best = candidates[np.argsort(-values, kind="stable")[:most]]
        assert sorted(cells.tolist()) == sorted(best.tolist())
        assert numbers[:, AHEAD].max() == 0
        assert -e.state[0, N_PENDING] <= numbers[:, AHEAD].min()
        assert ((numbers[:, AHEAD + 2] == 1) == (numbers[:, AHEAD] == 0)).all()
        if eviction == "demand":  # else `replan` ranks its candidates by other parameters
            ends = np.where(numbers[:, AHEAD] == 0, numbers[:, AHEAD + 1], np.inf)
            chosen = best_batch(tables, e, scratch, drain, most)
            assert ends[cells.tolist().index(chosen)] == ends.min()
        checked += 1
    assert checked > 5
