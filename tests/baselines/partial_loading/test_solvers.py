"""Every solver against brute force, and against each other."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

import baselines
import pl_env
from tests import helpers

N_BRUTE_FORCE = 500  # for each of: empty GPU, resident model


@pytest.mark.parametrize("resident", [False, True])
def test_optimal_dp_and_exhaustive_equal_a_batch_level_brute_force(resident):
    rng = np.random.default_rng(1 + resident)
    for _ in range(N_BRUTE_FORCE):
        instance = helpers.random_instance(rng, resident=resident)
        expected = helpers.brute_force_served(instance)
        schedule = baselines.solve(instance, "optimal-dp")
        assert schedule.served == schedule.upper_bound == expected
        assert schedule.status == "optimal"
        assert baselines.solve(instance, "exhaustive").served == expected


def test_serving_the_cheapest_users_loses_nothing():
    """Theorem 2, which the brute force above assumes: any users in any batches serve no more."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        instance = helpers.random_instance(rng, helpers.arbitrary_blocks, resident=True, most_users=5, most_models=3)
        assert helpers.brute_force_any_users(instance) == helpers.brute_force_served(instance)


def test_exhaustive_equals_brute_force_for_arbitrary_sharing():
    rng = np.random.default_rng(4)
    for _ in range(300):
        instance = helpers.random_instance(rng, helpers.arbitrary_blocks, resident=True)
        assert baselines.solve(instance, "exhaustive").served == helpers.brute_force_served(instance)


@pytest.mark.parametrize("blocks", [helpers.clustered_blocks, helpers.arbitrary_blocks])
def test_exhaustive_in_slots_equals_a_slotted_brute_force_over_all_orders(blocks):
    rng = np.random.default_rng(8)
    n_below = 0
    for _ in range(200):
        instance = helpers.random_instance(rng, blocks, resident=True)
        orders = list(itertools.permutations(range(instance.n_models)))
        schedule = baselines.solve(instance, "exhaustive", slotted=True)
        assert schedule.served == helpers.slotted_served(instance, orders)
        assert schedule.upper_bound == instance.n_users  # slots are no constraint, so it proves nothing
        n_below += schedule.served < baselines.solve(instance, "exhaustive").served
    assert n_below > 0


def corollary_order(instance: pl_env.Instance) -> tuple[int, ...]:
    """Corollary 1 for any resident model: its cluster first, climbing to the top and descending below it."""
    shared = instance.has_block & (instance.has_block.sum(axis=0) > 1)
    level = shared @ instance.block_load_ns
    resident = int(instance.resident)

    def key(model: int) -> tuple:
        mates = np.flatnonzero((shared & shared[model]).any(axis=1))
        cluster = min([model, *mates])
        private = instance.block_load_ns[instance.has_block[model] & ~shared[model]].sum() > 0
        at_home = resident >= 0 and bool((shared[resident] & shared[model]).any())
        if model == resident:
            return (0, 0)
        if at_home and level[model] < level[resident]:
            return (0, 2, -level[model], not private, -model)
        if at_home:
            return (0, 1, level[model], private, model)
        return (1, cluster, level[model], private, model)

    return tuple(sorted(range(instance.n_models), key=key))


@pytest.mark.parametrize("resident", [False, True])
def test_paper_dp_equals_a_slotted_brute_force(resident):
    rng = np.random.default_rng(5 + resident)
    for _ in range(300):
        instance = helpers.random_instance(rng, resident=resident)
        expected = helpers.slotted_served(instance, [corollary_order(instance)])
        assert baselines.solve(instance, "paper-dp").served == expected


def test_slots_make_the_order_of_models_matter():
    """In slots Corollary 1's order is not always the best: rounding up breaks the theorem behind it.

    So `paper-dp` is optimal among schedules in that order, not among all schedules in slots.
    """
    rng = np.random.default_rng(7)
    beaten = 0
    for _ in range(400):
        instance = helpers.random_instance(rng)
        orders = list(itertools.permutations(range(instance.n_models)))
        any_order = helpers.slotted_served(instance, orders)
        in_order = baselines.solve(instance, "paper-dp").served
        assert any_order >= in_order
        beaten += any_order > in_order
    assert beaten > 0


def printed_counterexample() -> pl_env.Instance:
    """Smallest known instance on which the printed recursion (19) is not optimal: V(s) = s seconds, mu = beta = 1.

    Models stand in ascending order of l: the fourth layer that the third model shares is in no other model, so by their
    blocks the second and the third share equally much, and the index decides.
    """
    models = [  # (cluster, layer sizes, shared layers, upload times)
        (0, [1, 7, 9, 10, 5], 1, [2, 2]),
        (0, [1, 10, 9, 10, 6], 3, [3]),
        (0, [1, 10, 9, 2, 1], 4, [1, 2]),
        (1, [10, 9, 5, 7, 7], 3, [3]),
    ]
    # Shared layers of a cluster have the same sizes in all who share them: the prefix of the one that shares most.
    columns: list[tuple[list[bool], int]] = []
    for cluster in (0, 1):
        inside = [model for model in models if model[0] == cluster]
        deepest = max(inside, key=lambda model: model[2])
        for layer in range(deepest[2]):
            columns.append(([m[0] == cluster and m[2] > layer for m in models], deepest[1][layer]))
    for n, (_, sizes, shared, _) in enumerate(models):
        columns.append(([n == m for m in range(len(models))], sum(sizes[shared:])))
    second = 1_000_000_000
    sizes = np.array([size for _, size in columns])
    table = pl_env.ServingTable(
        has_block=np.array([column for column, _ in columns]).T,
        block_bytes=sizes,
        block_load_ns=sizes * second,
        compute_ns_per_sample=[second] * 4,
        compute_ns_per_batch=[second] * 4,
        max_batch=[8] * 4,
    )
    return pl_env.Instance(
        table=table,
        requested_model=[n for n, model in enumerate(models) for _ in model[3]],
        upload_ns=[p * second for model in models for p in model[3]],
        deadline_ns=52 * second,
        slot_ns=second,
    )


def test_the_printed_recursion_loses_a_user_on_its_counterexample():
    instance = printed_counterexample()
    assert baselines.solve(instance, "paper-dp", as_printed=True).served == 2
    for name in ("paper-dp", "optimal-dp", "exhaustive"):
        assert baselines.solve(instance, name).served == 3
    assert helpers.brute_force_served(instance) == 3


def test_the_printed_recursion_never_beats_the_corrected_one():
    rng = np.random.default_rng(8)
    for _ in range(300):
        instance = helpers.random_instance(rng, resident=True)
        printed = baselines.solve(instance, "paper-dp", as_printed=True).served
        assert printed <= baselines.solve(instance, "paper-dp").served


def test_independent_is_optimal_without_sharing():
    rng = np.random.default_rng(9)
    for _ in range(300):
        instance = helpers.random_instance(rng, helpers.unshared_blocks, resident=True)
        schedule = baselines.solve(instance, "independent")
        assert schedule.served == baselines.solve(instance, "optimal-dp").served
        assert schedule.status == "optimal"


def test_independent_loads_in_full_and_is_judged_so():
    """Its own times, and those that `check` wants of it, are those of whole models."""
    instance = pl_env.Scenario.preset("bls").sample(np.random.default_rng(0))
    schedule = baselines.solve(instance, "independent")
    assert schedule.loads_in_full
    models, loads = schedule.history[:, 0], schedule.history[:, 3]
    first = np.concatenate([[True], models[1:] != models[:-1]])
    assert np.array_equal(loads, np.where(first, instance.load_ns[-1, models], 0))
    assert schedule.finish_ns > 0.95 * instance.deadline_ns  # it stops because time is over
    with pytest.raises(pl_env.InfeasibleSchedule, match="loading time"):
        pl_env.check(dataclasses.replace(schedule, loads_in_full=False), instance)
    shared = baselines.solve(instance, "greedy")
    with pytest.raises(pl_env.InfeasibleSchedule, match="its loading time is not that of the whole model"):
        pl_env.check(dataclasses.replace(shared, loads_in_full=True), instance)


def test_independent_on_measured_loads_that_take_longer_after_another_model():
    table = pl_env.ServingTable(
        np.eye(2, dtype=bool), *(np.array(each) for each in ([1, 1], [5, 5], [0, 0], [0, 0], [8, 8])),
        affine=False, load_ns=np.array([[0, 50], [50, 0], [5, 5]]),
    )  # fmt: skip
    instance = pl_env.Instance(table, np.array([0, 1]), np.array([1, 1]), deadline_ns=12)
    assert baselines.solve(instance, "independent").served == 0
    longer = dataclasses.replace(instance, deadline_ns=102)
    assert baselines.solve(longer, "independent").finish_ns == 102  # 50 + 1 each, as long as a load may take
    assert baselines.solve(longer, "exhaustive").finish_ns <= 102


def test_slotted_independent_equals_a_slotted_brute_force():
    rng = np.random.default_rng(10)
    for _ in range(200):
        instance = helpers.random_instance(rng, helpers.arbitrary_blocks, resident=True)
        order = tuple(range(instance.n_models))
        expected = helpers.slotted_served(instance, [order], share=False)
        assert baselines.solve(instance, "independent", slotted=True).served == expected


def test_nothing_beats_optimal_dp():
    scenario = pl_env.Scenario.preset("bls", n_users=(20, 120), n_models=12, deadline=0.3, resample_library=True)
    rng = np.random.default_rng(11)
    for _ in range(100):
        instance = scenario.sample(rng)
        best = baselines.solve(instance, "optimal-dp").served
        for name in baselines.solvers():
            if name != "exhaustive":
                assert baselines.solve(instance, name).served <= best, name


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_equal_bandwidth_optimum_equals_brute_force(channels):
    rng = np.random.default_rng(12 + channels)
    for _ in range(40):
        instance = helpers.random_instance(rng, resident=True, most_users=5, most_models=3)
        schedule = baselines.solve(instance, "optimal-dp", equal_bandwidth_channels=channels)
        assert schedule.served == helpers.brute_force_any_users(instance, channels)


@pytest.mark.parametrize("name", sorted(baselines.solvers()))
def test_equal_bandwidth_never_serves_more(name):
    rng = np.random.default_rng(16)
    scenario = pl_env.Scenario.preset("bls", n_users=30, n_models=4, bandwidth_hz=20e6, deadline=0.2)
    if name == "exhaustive":
        scenario = scenario.override(n_users=10)
    for _ in range(10):
        instance = scenario.sample(rng)
        restricted = baselines.solve(instance, name, equal_bandwidth_channels=4).served
        assert restricted <= baselines.solve(instance, "optimal-dp").served


def test_tiny_optimum_worked_by_hand():
    """One user of model 0, two of 1, two of 2. Loads: 120 for 0 or 1, 20 for the other after it, 60 for 2 (ms).

    Models 0 and 1: 140 + (11 + 0.1) + (12 + 0.2) = 163.3 ms, 3 users. Model 2 alone: 60 + 12.2 = 72.2 ms, 2 users; with
    model 1 after it 120 + 12.2 more = 204.4 ms, too late. So 3, and 204.4 ms would serve 4.
    """
    requests = [0, 1, 1, 2, 2]
    schedule = baselines.solve(helpers.tiny_with_requests(requests), "optimal-dp")
    assert schedule.served == 3
    assert schedule.finish_seconds == pytest.approx(0.1633, abs=1e-9)
    assert baselines.solve(helpers.tiny_with_requests(requests, 0.2044), "optimal-dp").served == 4
    assert baselines.solve(helpers.tiny_with_requests(requests, 0.204399), "optimal-dp").served == 3


def test_greedy_takes_the_highest_rate_first_by_hand():
    """Rates in users per ms: model 2 2/72.2, model 1 2/132.2, model 0 1/131.1; after 2 nothing fits into 107.8 ms."""
    schedule = baselines.solve(helpers.tiny_with_requests([0, 1, 1, 2, 2]), "greedy")
    assert [(batch.model, len(batch.users)) for batch in schedule.batches] == [(2, 2)]


def test_max_overlap_goes_where_most_bytes_are_shared():
    """First the most asked (1, by two, before 2 by index), then 0, which shares the base with it."""
    schedule = baselines.solve(helpers.tiny_with_requests([0, 1, 1, 2, 2]), "max-overlap")
    assert [batch.model for batch in schedule.batches] == [1, 0]


def test_greedy_breaks_ties_to_larger_counts_then_smaller_index():
    table = pl_env.ServingTable(
        has_block=np.zeros((2, 0), dtype=bool),
        block_bytes=[],
        block_load_ns=[],
        compute_ns_per_sample=[10, 10],
        compute_ns_per_batch=[0, 0],
        max_batch=[4, 4],
    )
    instance = pl_env.Instance(table=table, requested_model=[1, 1, 0, 0], upload_ns=[0] * 4, deadline_ns=100, slot_ns=1)
    schedule = baselines.solve(instance, "greedy")
    assert [(batch.model, batch.users) for batch in schedule.batches] == [(0, (2, 3)), (1, (0, 1))]


def test_solvers_for_shared_bottoms_refuse_other_sharing():
    instance = pl_env.Scenario.preset("general").sample(np.random.default_rng(0))
    for name in ("optimal-dp", "paper-dp"):
        with pytest.raises(pl_env.UnsupportedInstance, match="needs bottom-layer sharing"):
            baselines.solve(instance, name)


def test_solvers_that_need_affine_loading_refuse_a_measured_matrix():
    base = printed_counterexample().table
    measured = base.load_ns + (base.load_ns > 0) * np.arange(4)
    fields = {name: value for name, value in base.arrays().items() if name != "load_ns"}
    table = pl_env.ServingTable(**fields, affine=False, load_ns=measured)
    instance = pl_env.Instance(table=table, requested_model=[0, 1], upload_ns=[1, 1], deadline_ns=40 * 10**9)
    for name in ("optimal-dp", "paper-dp"):
        with pytest.raises(pl_env.UnsupportedInstance, match="affine loading times"):
            baselines.solve(instance, name)
    for name in ("greedy", "exhaustive", "max-overlap", "independent"):
        schedule = baselines.solve(instance, name)
        assert (schedule.served, schedule.status) == (1, "feasible")


def test_exhaustive_refuses_what_would_never_end():
    instance = pl_env.Scenario.preset("bls").sample(np.random.default_rng(0))
    with pytest.raises(pl_env.UnsupportedInstance, match="exhaustive: 80 users of 50 models"):
        baselines.solve(instance, "exhaustive")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "magic"}, "there is no solver 'magic'; known are: exact, exhaustive, greedy"),
        ({"solver": "greedy", "slotted": True}, "there is no option of greedy 'slotted'"),
        ({"solver": "paper-dp", "as_printed": 3}, "as_printed is 3; it must be True or False"),
        ({"equal_bandwidth_channels": -1}, "equal_bandwidth_channels is -1; it must be an integer from 0 to 1024"),
    ],
)
def test_bad_arguments_give_one_clear_sentence(arguments, message):
    instance = helpers.tiny_with_requests([0])
    with pytest.raises(pl_env.PlEnvError) as caught:
        baselines.solve(instance, **arguments)
    assert message in str(caught.value)
    with pytest.raises(pl_env.InvalidValue, match="instance is 3"):
        baselines.solve(3)
