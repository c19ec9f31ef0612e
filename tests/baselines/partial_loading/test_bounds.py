"""The upper bound against brute force, the solvers, and cases worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pl_env
from baselines.partial_loading import bounds
from baselines.partial_loading.bounds import upper_bound
from baselines.partial_loading.exhaustive import exhaustive
from baselines.partial_loading.greedy import greedy
from baselines.partial_loading.local_search import local_search
from baselines.partial_loading.optimal_dp import optimal_dp
from baselines.partial_loading.runs import prepare
from pl_env.times import LONGEST_NS, LONGEST_UPLOAD_NS
from tests import helpers

BLOCKS = (helpers.arbitrary_blocks, helpers.clustered_blocks, helpers.unshared_blocks)


def bound_of(instance: pl_env.Instance, channels: int = 0) -> int:
    return upper_bound(prepare(instance, channels))


@pytest.mark.parametrize("blocks", BLOCKS)
def test_nothing_exceeds_it_and_mostly_something_attains_it(blocks):
    rng = np.random.default_rng(1)
    n_tight = 0
    for n in range(400):
        instance = helpers.random_instance(rng, blocks, resident=n % 2 > 0, most_users=7, most_models=5)
        bound, served = bound_of(instance), helpers.brute_force_served(instance)
        assert bound >= served
        n_tight += bound == served
    assert n_tight >= 380


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_nothing_exceeds_it_with_equal_channels(channels):
    rng = np.random.default_rng(2)
    for _ in range(60):
        instance = helpers.random_instance(rng, helpers.arbitrary_blocks, resident=True, most_users=5, most_models=3)
        assert bound_of(instance, channels) >= helpers.brute_force_any_users(instance, channels)


def with_measured_loads(instance: pl_env.Instance, rng: np.random.Generator) -> pl_env.Instance:
    """Any loading matrix, where going by way of model 0 is often shorter."""
    load_ns = rng.integers(0, rng.integers(1, 40), size=instance.load_ns.shape)
    load_ns[0] = load_ns[0] // 8
    load_ns[:, 0] = load_ns[:, 0] // 8
    np.fill_diagonal(load_ns, 0)
    return helpers.changed(instance, {"affine": False, "load_ns": load_ns})


def served_by_any_walk(instance: pl_env.Instance) -> int:
    """Most users served by batches in any order, where models may be returned to, by the loading matrix."""
    uploads = helpers.uploads_of(instance)
    start = (tuple([0] * instance.n_models), int(instance.resident))
    least, frontier = {start: 0}, {start}
    while frontier:
        following = set()
        for counts, resident in frontier:
            for model, done in enumerate(counts):
                for size in range(1, min(int(instance.max_batch[model]), len(uploads[model]) - done) + 1):
                    finish = least[counts, resident] + int(instance.load_ns[resident, model])
                    finish += sum(uploads[model][done : done + size])
                    finish += size * int(instance.compute_ns_per_sample[model])
                    finish += int(instance.compute_ns_per_batch[model])
                    after = ((*counts[:model], done + size, *counts[model + 1 :]), model)
                    if finish <= min(instance.deadline_ns, least.get(after, finish + 1) - 1):
                        least[after] = finish
                        following.add(after)
        frontier = following
    return max(sum(counts) for counts, _ in least)


def test_nothing_exceeds_it_with_a_measured_loading_matrix():
    rng = np.random.default_rng(3)
    n_returning = 0
    for _ in range(400):
        instance = helpers.random_instance(rng, resident=True, most_users=7, most_models=5)
        instance = with_measured_loads(instance, rng)
        served = served_by_any_walk(instance)
        assert bound_of(instance) >= served
        n_returning += served > exhaustive(prepare(instance)).counts.sum()  # which never returns to a model
    assert n_returning > 0


def test_attained_by_the_optimum_of_bottom_layer_sharing():
    """There Edmonds' sets are those of the models that hold a block, and the dynamic program is `optimal-dp`'s."""
    scenario = pl_env.Scenario.preset("bls", n_users=(20, 120), n_models=12, deadline=0.3, resample_library=True)
    rng = np.random.default_rng(4)
    for _ in range(50):
        problem = prepare(scenario.sample(rng))
        assert upper_bound(problem) == optimal_dp(problem.instance).served


@pytest.mark.parametrize(
    ("scenario", "most_mean_gap"),
    [
        (pl_env.Scenario.preset("general-hard", resample_library=True), 0.006),
        (pl_env.Scenario.preset("general-hard", resample_library=True, link_loss_db=0), 0.005),
        (
            pl_env.Scenario.preset(
                "general",
                n_models=27,
                backbones=("resnet18", "resnet34", "resnet50"),
                deadline=0.3,
                resample_library=True,
            ),
            0.01,
        ),
        (pl_env.Scenario.preset("general", n_users=1000, n_models=100, deadline=1.0), 0.02),
    ],
    ids=["general-hard", "short uploads", "mixed", "large"],
)
def test_close_to_what_local_search_serves(scenario, most_mean_gap):
    gaps = []
    for n in range(20):
        problem = prepare(scenario.sample(np.random.default_rng(n)))
        bound, served = upper_bound(problem), local_search(problem).counts.sum()
        assert bound >= served
        gaps.append(bound / served - 1)
    assert np.mean(gaps) <= most_mean_gap


def test_tiny_worked_by_hand():
    """`tests/baselines/partial_loading/test_solvers.py` works out the optima: 3 users, and 4 from 204.4 ms on."""
    requests = [0, 1, 1, 2, 2]
    assert bound_of(helpers.tiny_with_requests(requests)) == 3
    assert bound_of(helpers.tiny_with_requests(requests, 0.2044)) == 4
    assert bound_of(helpers.tiny_with_requests(requests, 0.204399)) == 3


def one_user_each(load_ns: list[list[int]], deadline_ns: int, resident: int = -1) -> pl_env.Instance:
    """One user of each model, served in no time, with a measured loading matrix."""
    n_models = len(load_ns[0])
    table = pl_env.ServingTable(
        has_block=np.zeros((n_models, 0), dtype=bool),
        block_bytes=[],
        block_load_ns=[],
        compute_ns_per_sample=[0] * n_models,
        compute_ns_per_batch=[0] * n_models,
        max_batch=[1] * n_models,
        affine=False,
        load_ns=load_ns,
    )
    return pl_env.Instance(
        table=table,
        requested_model=range(n_models),
        upload_ns=[0] * n_models,
        deadline_ns=deadline_ns,
        resident=resident,
    )


def test_two_models_that_load_quickly_after_each_other_must_still_be_reached():
    """0 and 1 take 1 ns after each other and 10 ns otherwise: cheapest loads alone would allow both within 2 ns."""
    load_ns = [[0, 1], [1, 0], [10, 10]]
    assert bound_of(one_user_each(load_ns, 9)) == 0
    assert bound_of(one_user_each(load_ns, 10)) == 1
    assert bound_of(one_user_each(load_ns, 11)) == 2


def test_only_one_model_follows_another():
    """0 takes 2 ns, the others 1 ns after it and 6 ns otherwise: 2 + 1 + 6 + 6, where a tree takes 2 + 1 + 1 + 1."""
    load_ns = [[0, 1, 1, 1], [6, 0, 6, 6], [6, 6, 0, 6], [6, 6, 6, 0], [2, 6, 6, 6]]
    assert bound_of(one_user_each(load_ns, 14)) == 3
    assert bound_of(one_user_each(load_ns, 15)) == 4


def test_a_resident_model_loads_nothing():
    load_ns = [[0, 7], [7, 0], [9, 9]]
    assert bound_of(one_user_each(load_ns, 6, resident=0)) == 1
    assert bound_of(one_user_each(load_ns, 7, resident=0)) == 2
    assert bound_of(one_user_each(load_ns, 8)) == 0


def test_nobody_is_served_where_nothing_fits_or_nobody_asks():
    instance = helpers.tiny_with_requests([0, 1, 1, 2, 2])
    assert bound_of(helpers.changed(instance, deadline_ns=0)) == 0
    assert bound_of(helpers.changed(instance, {"max_batch": [0, 0, 0]})) == 0
    assert bound_of(helpers.tiny_with_requests([])) == 0


def test_the_longest_times_do_not_overflow():
    """Users in the deepest fade, loads of weeks and a deadline of an hour."""
    n_models, users_each = 20, 50
    rng = np.random.default_rng(5)
    load_ns = rng.integers(LONGEST_NS, 1000 * LONGEST_NS, size=(n_models + 1, n_models))
    load_ns[:, 0] = 1
    np.fill_diagonal(load_ns, 0)
    table = pl_env.ServingTable(
        has_block=np.zeros((n_models, 0), dtype=bool),
        block_bytes=[],
        block_load_ns=[],
        compute_ns_per_sample=[1] * n_models,
        compute_ns_per_batch=[LONGEST_NS // 2] * n_models,
        max_batch=[users_each] * n_models,
        affine=False,
        load_ns=load_ns,
    )
    upload_ns = np.where(np.arange(n_models * users_each) % users_each < 3, 0, LONGEST_UPLOAD_NS)
    instance = pl_env.Instance(
        table=table,
        requested_model=np.repeat(np.arange(n_models), users_each),
        upload_ns=upload_ns,
        deadline_ns=LONGEST_NS,
    )
    assert bound_of(instance) == greedy(prepare(instance)).counts.sum() == 3


def test_another_process_finds_the_same():
    code = (
        "import numpy as np, pl_env\n"
        "from baselines.partial_loading.bounds import upper_bound\n"
        "from baselines.partial_loading.runs import prepare\n"
        "scenario = pl_env.Scenario.preset('general-hard', resample_library=True)\n"
        "print([upper_bound(prepare(scenario.sample(np.random.default_rng(n)))) for n in range(20)])\n"
    )
    scenario = pl_env.Scenario.preset("general-hard", resample_library=True)
    here = [bound_of(scenario.sample(np.random.default_rng(n))) for n in range(20)]
    assert helpers.run_python(code).strip() == str(here)


# ---------------------------------------------------------------- Edmonds' algorithm


def cheapest_arborescence(arc_ns: np.ndarray, start_ns: np.ndarray) -> int:
    """By trying all choices of an arc into each model."""
    n_models = len(start_ns)
    best = None
    for tails in itertools.product(range(n_models + 1), repeat=n_models):
        reached, grows = {n_models}, True
        while grows:
            more = {i for i in range(n_models) if i not in reached and tails[i] in reached}
            reached |= more
            grows = bool(more)
        if len(reached) == n_models + 1:
            cost = sum(start_ns[i] if a == n_models else arc_ns[i, a] for i, a in enumerate(tails))
            best = cost if best is None else min(best, cost)
    return best


def test_prices_are_paid_by_no_arc_twice_and_add_up_to_the_cheapest_arborescence():
    rng = np.random.default_rng(6)
    for _ in range(200):
        n_models = int(rng.integers(1, 6))
        arc_ns = rng.integers(0, 10, size=(n_models, n_models))
        start_ns = rng.integers(0, 30, size=n_models)
        ones = np.ones(n_models, dtype=np.int64)
        cluster = bounds._Cluster(arc_ns, start_ns, ones, ones, ones)
        sets = bounds._single_models(cluster, np.zeros(n_models + 1, dtype=np.int64), ones)
        n_sets = bounds._raise_prices(sets, n_models, n_models + 1)
        members = [{s} for s in range(n_sets)]
        for s in range(n_sets):
            if sets.parent[s] >= 0:
                members[sets.parent[s]] |= members[s]
        for i, a in itertools.product(range(n_models), range(n_models + 1)):
            paid = sum(sets.price_ns[s] for s in range(n_sets) if i in members[s] and a not in members[s])
            assert paid <= (start_ns[i] if a == n_models else arc_ns[i, a]) or a == i
        tails = bounds._arborescence(sets, n_sets, n_models)
        cost = sum(start_ns[i] if a == n_models else arc_ns[i, a] for i, a in enumerate(tails))
        assert cost == sets.price_ns[:n_sets].sum() == cheapest_arborescence(arc_ns, start_ns)
