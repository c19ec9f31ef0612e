"""Properties that hold for every instance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import baselines
import pl_env
from pl_env.wireless import bandwidth_shares
from tests import helpers

SOLVERS = {"optimal-dp": helpers.clustered_blocks, "exhaustive": helpers.arbitrary_blocks}

for_every_solver = pytest.mark.parametrize("solver", SOLVERS)
modestly = settings(max_examples=150, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def draw(rng: np.random.Generator, solver: str) -> pl_env.Instance:
    """An instance of the kind that the solver covers, sometimes with a resident model."""
    return helpers.random_instance(rng, SOLVERS[solver], resident=bool(rng.integers(2)), most_users=9, most_models=5)


def optimum(instance: pl_env.Instance, solver: str) -> int:
    schedule = baselines.solve(instance, solver)
    assert schedule.status == "optimal"
    return schedule.served


@for_every_solver
@modestly
@given(seeds)
def test_the_order_of_users_does_not_matter(solver, seed):
    rng = np.random.default_rng(seed)
    instance = draw(rng, solver)
    order = rng.permutation(instance.n_users)
    shuffled = helpers.changed(
        instance,
        requested_model=instance.requested_model[order],
        upload_ns=instance.upload_ns[order],
        mean_snr=instance.mean_snr[order],
    )
    assert optimum(shuffled, solver) == optimum(instance, solver)


@for_every_solver
@modestly
@given(seeds)
def test_the_order_of_models_does_not_matter(solver, seed):
    rng = np.random.default_rng(seed)
    instance = draw(rng, solver)
    order = rng.permutation(instance.n_models)
    place = np.argsort(order)
    names = ("has_block", "compute_ns_per_sample", "compute_ns_per_batch", "max_batch")
    shuffled = helpers.changed(
        instance,
        table={name: getattr(instance, name)[order] for name in names},
        requested_model=place[instance.requested_model],
        resident=int(place[instance.resident]) if instance.resident >= 0 else -1,
    )
    assert optimum(shuffled, solver) == optimum(instance, solver)


@for_every_solver
@modestly
@given(seeds)
def test_more_time_never_serves_fewer(solver, seed):
    rng = np.random.default_rng(seed)
    instance = draw(rng, solver)
    longer = helpers.changed(instance, deadline_ns=instance.deadline_ns + int(rng.integers(20)))
    assert optimum(longer, solver) >= optimum(instance, solver)


@for_every_solver
@modestly
@given(seeds)
def test_more_bandwidth_never_serves_fewer(solver, seed):
    rng = np.random.default_rng(seed)
    instance = draw(rng, solver)
    shorter = helpers.changed(instance, upload_ns=rng.integers(0, instance.upload_ns + 1))
    assert optimum(shorter, solver) >= optimum(instance, solver)


@for_every_solver
@modestly
@given(seeds)
def test_more_sharing_never_serves_fewer(solver, seed):
    """One model gets a copy of its own of a block that it shared: in a cluster the topmost, so that prefixes stay."""
    rng = np.random.default_rng(seed)
    instance = draw(rng, solver)
    shared = instance.has_block & (instance.has_block.sum(axis=0) > 1)
    models = np.flatnonzero(shared.any(axis=1))
    if len(models) == 0:
        return
    model = rng.choice(models)
    block = np.flatnonzero(shared[model]).max()
    has_block = np.hstack([instance.has_block, np.zeros((instance.n_models, 1), dtype=bool)])
    has_block[model, block], has_block[model, -1] = False, True
    sizes = np.append(instance.block_load_ns, instance.block_load_ns[block])
    apart = {"has_block": has_block, "block_bytes": sizes, "block_load_ns": sizes}
    assert optimum(instance, solver) >= optimum(helpers.changed(instance, table=apart), solver)


@modestly
@given(st.lists(st.integers(0, 10**14), min_size=1, max_size=9))
def test_bandwidth_shares_equalise_finish_times_and_sum_to_one(uploads):
    """A user with share y takes p / y; that is the sum of p for every user who sends anything."""
    p = np.array(uploads, dtype=np.int64)
    shares = bandwidth_shares(p)
    assert shares.sum() == pytest.approx(1.0, abs=1e-12)
    assert (shares >= 0).all()
    sending = p > 0
    if sending.any():
        np.testing.assert_allclose(p[sending] / shares[sending], p.sum(), rtol=1e-12)
        assert not shares[~sending].any()


@modestly
@given(
    arrays(bool, st.tuples(st.integers(1, 6), st.integers(0, 8))).flatmap(
        lambda has: st.tuples(st.just(has), arrays(np.int64, has.shape[1], elements=st.integers(0, 2**36)))
    )
)
def test_compaction_changes_no_loading_size(matrix):
    """With zero-size blocks, unused blocks, empty models, and blocks that belong to the same models."""
    has_block, block_bytes = matrix
    library = pl_env.ModelLibrary(has_block, block_bytes, ("toy",) * len(has_block))
    compact = library.compact()

    def loading(one: pl_env.ModelLibrary) -> list[list[int]]:
        missing = [[one.has_block[i] & ~one.has_block[a] for i in range(one.n_models)] for a in range(one.n_models)]
        return [[int(one.block_bytes[blocks].sum()) for blocks in row] for row in missing]

    assert loading(compact) == loading(library)
    assert compact.model_bytes.tolist() == library.model_bytes.tolist()
    assert len({tuple(column) for column in compact.has_block.T.tolist()}) == compact.n_blocks <= library.n_blocks
    assert compact.has_block.any(axis=0).all()
    server = pl_env.EdgeServer(1e9, 1e9, 1e-3, 10**15, (pl_env.ComputeProfile("toy", 0, 0, 0),))
    found = server.table(compact, 1).load_ns
    np.testing.assert_allclose(found, server.table(library, 1).load_ns, rtol=0, atol=library.n_blocks)


@for_every_solver
@modestly
@given(seeds)
def test_what_remains_of_an_optimal_schedule_is_optimal(solver, seed):
    """Users served so far and the optimum of the rest always add up to the optimum of the whole."""
    rng = np.random.default_rng(seed)
    instance = draw(rng, solver)
    schedule = baselines.solve(instance, solver)
    env = helpers.env_for(instance)
    env.reset(options={"instance": instance})
    for action in schedule.actions(env):
        env.step(action)
        assert env.schedule.served + optimum(env.remaining(), solver) == schedule.served
    assert env.schedule.served == schedule.served


@modestly
@given(seeds)
def test_any_way_to_act_is_a_schedule_that_the_optimum_is_not_below(seed):
    rng = np.random.default_rng(seed)
    instance = draw(rng, "optimal-dp")
    env = helpers.env_for(instance)
    _, info = env.reset(options={"instance": instance})
    total, _ = helpers.random_rollout(env, rng, info["action_mask"])
    pl_env.check(env.schedule, instance)
    assert total == pytest.approx(env.schedule.served_ratio)
    assert env.schedule.served <= optimum(instance, "optimal-dp")
