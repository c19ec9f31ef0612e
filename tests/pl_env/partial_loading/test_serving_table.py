"""The serving table: loading times, and the clusters that planners rely on."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

import pl_env
from pl_env.partial_loading import serving_table
from tests import helpers


def table_of(has_block, block_load_ns=None, **fields) -> pl_env.ServingTable:
    has_block = np.array(has_block, dtype=bool)
    n_models, n_blocks = has_block.shape
    load_ns = np.arange(1, n_blocks + 1) if block_load_ns is None else np.asarray(block_load_ns)
    ones = np.ones(n_models, dtype=np.int64)
    return pl_env.ServingTable(
        **({"has_block": has_block, "block_bytes": load_ns, "block_load_ns": load_ns, "compute_ns_per_sample": ones,
            "compute_ns_per_batch": ones, "max_batch": ones} | fields)
    )  # fmt: skip


@pytest.mark.parametrize("blocks", [helpers.clustered_blocks, helpers.arbitrary_blocks, helpers.unshared_blocks])
def test_loading_times_equal_brute_force(blocks):
    rng = np.random.default_rng(0)
    for _ in range(100):
        instance = helpers.random_instance(rng, blocks, most_models=6)
        models = range(instance.n_models)
        expected = [[helpers.load_time(instance, a, i) for i in models] for a in [*models, -1]]
        assert instance.load_ns.tolist() == expected


def test_the_overhead_is_paid_only_where_something_loads():
    table = table_of([[1, 1], [1, 0]], [4, 6], load_overhead_ns=100)
    assert table.load_ns.tolist() == [[0, 0], [106, 0], [110, 104]]


def test_clusters_by_hand():
    """Models 0, 2, 3 share block 0, and 0 and 2 block 1 above it; models 1 and 4 share block 2; block 3 is unused.

    Model 3 shares least of its cluster; of 0 and 2, which share equally much, 2 has no block of its own and goes first.
    """
    has_block = [
        [1, 1, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]
    clusters = table_of(has_block, [10, 20, 30, 99, 1, 2, 3, 4]).clusters
    assert clusters.shared_ns.tolist() == [30, 30, 30, 10, 30, 0]
    assert clusters.private_ns.tolist() == [1, 2, 0, 3, 0, 4]
    assert clusters.members.tolist() == [3, 2, 0, 4, 1, 5]
    assert clusters.start.tolist() == [0, 3, 5, 6]
    assert clusters.cluster.tolist() == [0, 1, 0, 0, 1, 2]


def test_clusters_explain_the_loading_times():
    rng = np.random.default_rng(1)
    for _ in range(100):
        table = helpers.random_instance(rng, most_models=6).table
        found = table.clusters
        assert found is not None
        assert sorted(found.members.tolist()) == list(range(table.n_models))
        for members in np.split(found.members, found.start[1:-1]):
            assert len(set(found.cluster[members].tolist())) == 1
            assert (np.diff(found.shared_ns[members]) >= 0).all()
        for a in range(table.n_models):
            for i in range(table.n_models):
                common = found.shared_ns[a] if found.cluster[a] == found.cluster[i] else 0
                missing = found.private_ns[i] + max(0, found.shared_ns[i] - common) if a != i else 0
                assert table.load_ns[a, i] == missing + (table.load_overhead_ns if missing else 0)


@pytest.mark.parametrize("preset", ["bls", "fading", "tiny"])
def test_presets_with_clusters(preset):
    clusters = pl_env.Scenario.preset(preset).table.clusters
    assert len(clusters.start) - 1 == {"tiny": 2}.get(preset, 3)


@pytest.mark.parametrize(
    "has_block",
    [
        [[1, 1, 0], [0, 1, 1], [1, 0, 1]],  # a ring: overlaps that are not nested
        [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0]],
        [[1, 1], [1, 0], [0, 1]],  # nested or disjoint pair by pair, but models 1 and 2 meet only through model 0
        [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]],
    ],
)
def test_other_sharing_has_no_clusters(has_block):
    assert table_of(has_block).clusters is None
    assert table_of(has_block[::-1]).clusters is None


def test_general_presets_have_no_clusters():
    assert pl_env.Scenario.preset("general").table.clusters is None


def test_measured_loading_times():
    has = [[1, 0], [1, 1]]
    measured = [[0, 5], [3, 0], [9, 9]]
    table = table_of(has, affine=False, load_ns=measured)
    assert table.load_ns.tolist() == measured
    assert table.clusters is None
    same = table_of(has, load_ns=table_of(has).load_ns)
    assert same.clusters is not None
    for changes, message in [
        ({"load_ns": measured}, "load_ns is 'a matrix'; it must be what the blocks imply, unless affine is False"),
        ({"affine": False}, "load_ns is None; it must be given where affine is False"),
        ({"affine": False, "load_ns": [[1, 5], [3, 0], [9, 9]]}, "it must be 0 where the model is already resident"),
        ({"affine": False, "load_ns": [[0, 5], [3, 0]]}, "load_ns.shape is (2, 2); it must be (3, 2)"),
        ({"affine": False, "load_ns": [[0, -5], [3, 0], [9, 9]]}, "min(load_ns) is -5"),
        ({"affine": "no"}, "affine is 'no'; it must be True or False"),
    ]:
        with pytest.raises(pl_env.InvalidValue) as caught:
            table_of(has, **changes)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"has_block": np.zeros((0, 2))}, "has_block.shape is (0, 2); it must be (I, J) with at least one model"),
        ({"block_bytes": [1]}, "block_bytes.shape is (1,); it must be (2,)"),
        ({"block_load_ns": [1, -1]}, "min(block_load_ns) is -1; it must be an integer of at least 0"),
        ({"block_load_ns": [1, 10**13]}, "max(block_load_ns) is 10000000000000; it must be an integer from 0 to"),
        ({"compute_ns_per_sample": [1]}, "compute_ns_per_sample.shape is (1,); it must be (2,)"),
        ({"compute_ns_per_batch": [1, -1]}, "min(compute_ns_per_batch) is -1; it must be an integer of at least 0"),
        ({"max_batch": [[1, 1]]}, "max_batch.shape is (1, 2); it must be of 1 dimension"),
        ({"max_batch": [1, 1025]}, "max(max_batch) is 1025; it must be an integer from 0 to 1024"),
        (
            {"block_bytes": [1, 2**62]},
            "max(block_bytes) is 4611686018427387904; it must be an integer from 0 to 10000000",
        ),
        (
            {"block_bytes": [10**18, 1000]},
            "sum(block_bytes) is 1.000000000000001e+18; it must be at most 1000000000000000",
        ),
        ({"max_batch": [1, 1.5]}, "max_batch is 'array of float64'; it must be exactly representable as int64"),
        ({"load_overhead_ns": -1}, "load_overhead_ns is -1; it must be an integer from 0 to 3600000000000"),
        ({"load_overhead_ns": 0.5}, "load_overhead_ns is 0.5; it must be an integer from 0 to 3600000000000"),
    ],
)
def test_fields_out_of_range(changes, message):
    good = {f.name: getattr(table_of([[1, 0], [1, 1]]), f.name) for f in dataclasses.fields(pl_env.ServingTable)}
    with pytest.raises(pl_env.InvalidValue) as caught:
        pl_env.ServingTable(**(good | {"load_ns": None} | changes))
    assert str(caught.value).startswith(message)


def test_no_sum_of_loads_wraps_around():
    """1,001 hours of blocks are too long for one model, and a million blocks, of which no sum wraps, the most."""
    hour = 3_600 * 10**9
    assert table_of(np.ones((1, 1000)), np.full(1000, hour)).load_ns.max() == 1000 * hour
    with pytest.raises(pl_env.InvalidValue, match=r"max\(load_ns\) is 3603600000000000; it must be"):
        table_of(np.ones((1, 1001)), np.full(1001, hour))
    most = serving_table.MOST_BLOCKS
    assert most * hour < 2**63
    with pytest.raises(pl_env.InvalidValue, match=r"max\(load_ns\) is 3600000000000000000; it must be"):
        table_of(np.ones((1, most)), np.full(most, hour), block_bytes=np.zeros(most))
    with pytest.raises(pl_env.InvalidValue, match=r"len\(block_bytes\) is 1000001; it must be"):
        table_of(np.ones((1, most + 1)))


def test_more_users_than_a_batch_can_upload_for():
    """184,468 users, whose uploads add up to 0 ns modulo 2^64, were served at once, and that was called optimal."""
    n = 184_468
    with pytest.raises(pl_env.InvalidValue, match=r"max\(max_batch\) is 184468; it must be an integer from 0 to 1024"):
        pl_env.ServingTable(np.zeros((1, 0), bool), [], [], [0], [0], [n])
    library = pl_env.ModelLibrary(np.zeros((1, 0), bool), [], ("toy",))
    server = pl_env.EdgeServer(profiles=(pl_env.ComputeProfile("toy", 0, 0, 0),))
    with pytest.raises(pl_env.InvalidValue, match=r"max\(max_batch\) is 184468"):
        server.table(library, max_batch_size=n)


def test_repr_is_one_short_line():
    table = table_of([[1, 0], [1, 1]])
    assert repr(table) == "<ServingTable: 2 models of 2 blocks, batches of at most 1>"


def test_arrays_are_read_only_also_after_pickling_and_are_no_one_elses():
    mine = np.array([1, 2], dtype=np.int64)
    table = table_of([[1, 0], [1, 1]], mine)
    mine[0] = 77
    assert table.block_load_ns.tolist() == [1, 2]
    for copy in (table, pickle.loads(pickle.dumps(table)), dataclasses.replace(table)):
        assert len(copy.arrays()) == 7
        assert not any(array.flags.writeable for array in copy.arrays().values())
        assert not any(array.flags.writeable for array in vars(copy.clusters).values())
