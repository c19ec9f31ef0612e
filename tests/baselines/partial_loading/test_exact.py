"""`exact` against brute force and the other solvers, on both of its roads: Held-Karp and CP-SAT."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import baselines
import baselines.partial_loading.exact
import pl_env
from baselines.partial_loading.exact import sharing_clusters
from baselines.partial_loading.held_karp import cluster_frontier
from baselines.partial_loading.runs import NEVER, prepare
from tests import helpers

BLOCKS = (helpers.arbitrary_blocks, helpers.clustered_blocks, helpers.unshared_blocks)

HEURISTICS = ("greedy", "local-search", "paper-greedy", "max-overlap", "independent")


def one_cluster(n_models: int, deadline_s: float, n_users: int, seed: int) -> pl_env.Instance:
    scenario = pl_env.Scenario.preset(
        "general-hard", n_models=n_models, deadline=deadline_s, n_users=n_users, resample_library=True
    )
    return scenario.sample(np.random.default_rng(seed))


@pytest.mark.parametrize("blocks", BLOCKS)
def test_equals_brute_force_by_held_karp(blocks):
    rng = np.random.default_rng(1)
    for _ in range(200):
        instance = helpers.random_instance(rng, blocks, resident=True)
        schedule = baselines.solve(instance, "exact")
        assert schedule.served == schedule.upper_bound == helpers.brute_force_served(instance)
        assert schedule.status == "optimal"


@pytest.mark.parametrize("blocks", BLOCKS)
@pytest.mark.parametrize("largest", [0, 2])
def test_equals_brute_force_by_cp_sat(blocks, largest, monkeypatch):
    """All clusters, or those of more than two models, go to CP-SAT; the others join by their frontier."""
    monkeypatch.setattr(baselines.partial_loading.exact, "HELD_KARP_MODELS", largest)
    # Without the shortcut of a heuristic that meets the bound, every instance reaches CP-SAT.
    monkeypatch.setattr(baselines.partial_loading.exact, "upper_bound", lambda problem: problem.instance.n_users)
    rng = np.random.default_rng(2)
    for _ in range(25):
        instance = helpers.random_instance(rng, blocks, resident=True)
        schedule = baselines.solve(instance, "exact", workers=2)
        assert schedule.served == schedule.upper_bound == helpers.brute_force_served(instance)


def test_both_roads_agree_on_a_cluster_of_real_size(monkeypatch):
    instance = one_cluster(14, 0.25, 80, seed=0)
    by_held_karp = baselines.solve(instance, "exact")
    monkeypatch.setattr(baselines.partial_loading.exact, "HELD_KARP_MODELS", 0)
    by_cp_sat = baselines.solve(instance, "exact")
    assert by_held_karp.status == by_cp_sat.status == "optimal"
    assert by_held_karp.served == by_cp_sat.served < instance.n_users


@pytest.mark.parametrize("seed", range(3))
def test_papers_size_is_proven_and_no_heuristic_is_above(seed):
    instance = one_cluster(25, 0.35, 80, seed)
    schedule = baselines.solve(instance, "exact")
    assert schedule.status == "optimal"
    assert schedule.upper_bound == schedule.served <= baselines.upper_bound(instance)
    for name in HEURISTICS:
        assert baselines.solve(instance, name).served <= schedule.served


@pytest.mark.parametrize("resident", [False, True])
def test_equals_optimal_dp_on_bottom_layer_sharing(resident):
    scenario = pl_env.Scenario.preset("bls", resample_library=True)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        instance = scenario.sample(rng)
        if resident:
            everyone = np.arange(instance.n_users)
            instance = instance.remaining(everyone, instance.upload_ns, int(rng.integers(instance.n_models)), 10**8)
        assert baselines.solve(instance, "exact").served == baselines.solve(instance, "optimal-dp").served


def test_several_large_clusters_and_small_ones_beside(monkeypatch):
    """Two clusters of 8 models by CP-SAT and one of 7 by its frontier serve as many as Held-Karp for all three."""
    scenario = pl_env.Scenario.preset(
        "general",
        n_models=23,
        backbones=("resnet18", "resnet34", "resnet50"),
        deadline=0.25,
        resample_library=True,
    )
    instance = scenario.sample(np.random.default_rng(0))
    sizes = sorted(len(cluster) for cluster in sharing_clusters(prepare(instance)))
    assert len(sizes) == 3
    assert sizes[0] < sizes[1]
    expected = baselines.solve(instance, "exact").served
    monkeypatch.setattr(baselines.partial_loading.exact, "HELD_KARP_MODELS", sizes[0])
    monkeypatch.setattr(baselines.partial_loading.exact, "upper_bound", lambda problem: problem.instance.n_users)
    schedule = baselines.solve(instance, "exact")
    assert schedule.served == expected == schedule.upper_bound


def test_a_time_limit_leaves_a_schedule_and_a_valid_bound(monkeypatch):
    instance = one_cluster(50, 0.5, 120, seed=2)
    monkeypatch.setattr(baselines.partial_loading.exact, "upper_bound", lambda problem: problem.instance.n_users)
    cut = baselines.solve(instance, "exact", time_limit=0.01, workers=1)
    assert cut.status == "feasible"
    assert cut.served >= baselines.solve(instance, "local-search").served
    full = baselines.solve(instance, "exact")
    assert cut.served <= full.served <= cut.upper_bound


def test_a_gap_of_one_needs_no_proof(monkeypatch):
    """With gap=1 a bound of twice the heuristic is near enough, so CP-SAT is not even called."""
    monkeypatch.setattr(baselines.partial_loading.exact, "search", None)
    instance = one_cluster(25, 0.35, 80, seed=0)
    schedule = baselines.solve(instance, "exact", gap=1.0)
    assert schedule.served <= schedule.upper_bound


def test_the_resident_model_joins_clusters_nobody_else_joins():
    """Models 0 and 1 share nothing with each other, but both with model 2, which is resident and has no users."""
    table = pl_env.ServingTable(
        has_block=np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]], dtype=bool),
        block_bytes=np.array([10, 10, 3, 2]),
        block_load_ns=np.array([10, 10, 3, 2]),
        compute_ns_per_sample=np.zeros(3, dtype=int),
        compute_ns_per_batch=np.ones(3, dtype=int),
        max_batch=np.full(3, 4),
    )
    # From model 2: model 0 costs 3 + 1; then model 1 costs 10 + 2 + 1, as model 0 displaced its block. The other
    # order: 2 + 1, then 10 + 3 + 1. Both end at 17, one nanosecond past the deadline.
    instance = pl_env.Instance(
        table=table,
        requested_model=np.array([0, 1]),
        upload_ns=np.zeros(2, dtype=int),
        deadline_ns=16,
        resident=2,
    )
    assert len(sharing_clusters(prepare(instance))) == 1
    assert baselines.solve(instance, "exact").served == 1
    longer = pl_env.Instance(
        table=table, requested_model=np.array([0, 1]), upload_ns=np.zeros(2, dtype=int), deadline_ns=17, resident=2
    )
    assert baselines.solve(longer, "exact").served == 2


def test_frontier_of_two_models_worked_by_hand():
    """Model 0 loads 5 + 2 and serves its users in 1 and 4; model 1 loads 5 + 3, in 2. 5 is shared."""
    table = pl_env.ServingTable(
        has_block=np.array([[1, 1, 0], [1, 0, 1]], dtype=bool),
        block_bytes=np.array([5, 2, 3]),
        block_load_ns=np.array([5, 2, 3]),
        compute_ns_per_sample=np.zeros(2, dtype=int),
        compute_ns_per_batch=np.zeros(2, dtype=int),
        max_batch=np.full(2, 4),
    )
    instance = pl_env.Instance(
        table=table, requested_model=np.array([0, 0, 1]), upload_ns=np.array([1, 3, 2]), deadline_ns=100
    )
    problem = prepare(instance)
    members = np.array([0, 1])
    least_ns, attained_by = cluster_frontier(problem.run_table, members)
    assert least_ns.tolist() == [0, 8, 11, 16]  # nobody; model 0 once; model 0 twice (both: 13); both, 10 + 6
    assert attained_by.tolist() == [0, 1, 1, 3]
    short, _ = cluster_frontier(problem.run_table._replace(deadline_ns=12), members)
    assert short.tolist() == [0, 8, 11, NEVER]


def test_empty_instances():
    for instance in (
        one_cluster(25, 0.35, 1, seed=0).remaining(np.array([], dtype=np.int64), np.array([1]), 3, 0),
        one_cluster(25, 0.001, 80, seed=0),
    ):
        schedule = baselines.solve(instance, "exact")
        assert (schedule.served, schedule.status) == (0, "optimal")


def test_measured_loading_times_are_refused():
    instance = helpers.random_instance(np.random.default_rng(0))
    table = instance.table
    measured = table.load_ns + 1
    np.fill_diagonal(measured, 0)
    arrays = {**table.arrays(), "load_ns": measured}
    table = pl_env.ServingTable(**arrays, load_overhead_ns=table.load_overhead_ns, affine=False)
    instance = pl_env.Instance(table=table, requested_model=np.array([0]), upload_ns=np.array([1]), deadline_ns=5)
    with pytest.raises(pl_env.UnsupportedInstance, match=r"exact needs affine loading times.*local-search"):
        baselines.solve(instance, "exact")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_limit": 0}, r"time_limit is 0; it must be a finite number at least 0\.01"),
        ({"workers": 0}, "workers is 0; it must be an integer from 1 to 256"),
        ({"gap": -0.1}, r"gap is -0\.1; it must be a finite number at least 0 and at most 1"),
        ({"seed": -1}, "seed is -1; it must be an integer from 0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(pl_env.InvalidValue, match=message):
        baselines.solve(one_cluster(3, 0.35, 5, seed=0), "exact", **options)


def test_without_or_tools_one_message_names_the_extra():
    """In a process of its own, where importing ortools fails; small clusters do not need it."""
    code = """
import sys
sys.modules["ortools"] = None
import numpy as np, baselines, baselines.partial_loading.exact, pl_env
small = pl_env.Scenario.preset("general-hard", n_models=9).sample(np.random.default_rng(0))
print(baselines.solve(small, "exact").status)
baselines.partial_loading.exact.upper_bound = lambda problem: problem.instance.n_users
large = pl_env.Scenario.preset("general-hard").sample(np.random.default_rng(0))
try:
    baselines.solve(large, "exact")
except pl_env.MissingPackage as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, message = done.stdout.splitlines()
    assert status == "optimal"
    assert "pip install 'pl-env[exact]'" in message
