"""The server: loading rates, batches that fit, compute times."""

from __future__ import annotations

import numpy as np
import pytest

import pl_env
from pl_env.layers import layer_table
from pl_env.partial_loading.server import RESNET_PROFILES


def toy_library(*sizes: int) -> pl_env.ModelLibrary:
    """Models that share a first block of 10 bytes and have one of their own of the given sizes."""
    n = len(sizes)
    has_block = np.hstack([np.ones((n, 1), dtype=bool), np.eye(n, dtype=bool)])
    return pl_env.ModelLibrary(has_block, [10, *sizes], ("toy",) * n)


def toy_server(activation_bytes=7, **fields) -> pl_env.EdgeServer:
    return pl_env.EdgeServer(profiles=(pl_env.ComputeProfile("toy", 2e-3, 30e-3, activation_bytes),), **fields)


def test_loading_takes_most_of_the_time_as_in_figure_1():
    """88.94 % of loading plus compute at batch 32, on average over the three ResNets."""
    server = pl_env.EdgeServer()
    fractions = []
    for profile in RESNET_PROFILES:
        load = sum(layer.bytes for layer in layer_table(profile.architecture)) * server.load_seconds_per_byte
        fractions.append(load / (load + 32 * profile.seconds_per_sample + profile.seconds_per_batch))
    assert np.mean(fractions) == pytest.approx(0.889, abs=0.005)


def test_disk_and_bus_work_one_after_the_other():
    assert 1 / pl_env.EdgeServer().load_seconds_per_byte == pytest.approx(1.70e9, rel=1e-3)


def test_table_by_hand():
    """At 1e9 B/s in all (2e9 and 2e9 in series): a nanosecond per byte, and 1 µs for every load of anything."""
    server = toy_server(disk_bytes_per_second=2e9, gpu_bytes_per_second=2e9, load_overhead=1e-6)
    table = server.table(toy_library(5, 0, 7), max_batch_size=4)
    assert table.block_load_ns.tolist() == [10, 5, 0, 7]
    assert table.load_ns.tolist() == [[0, 0, 1007], [1005, 0, 1007], [1005, 0, 0], [1015, 1010, 1017]]
    assert table.compute_ns_per_sample.tolist() == [2_000_000] * 3
    assert table.compute_ns_per_batch.tolist() == [30_000_000] * 3
    assert table.max_batch.tolist() == [4, 4, 4]


def test_loading_times_are_rounded_up_per_block():
    table = toy_server(disk_bytes_per_second=6e9, gpu_bytes_per_second=6e9).table(toy_library(5), 4)
    assert table.block_load_ns.tolist() == [4, 2]  # 10/3 and 5/3 ns
    assert table.load_ns[-1].tolist() == [6]


@pytest.mark.parametrize(("memory", "largest"), [(14, 0), (15, 0), (21, 0), (22, 1), (35, 2), (36, 3), (10**9, 8)])
def test_batch_caps_follow_from_memory(memory, largest):
    """15 bytes of model and 7 for each sample; a model that does not fit, alone or with one sample, has b = 0."""
    assert toy_server(memory_bytes=memory).largest_batches(toy_library(5), 8).tolist() == [largest]


def test_models_without_activations_need_only_fit_themselves():
    server = toy_server(activation_bytes=0, memory_bytes=15)
    assert server.largest_batches(toy_library(5, 6), 8).tolist() == [8, 0]


def test_default_memory_never_binds_at_the_default_cap():
    scenario = pl_env.Scenario()
    assert scenario.table.max_batch.tolist() == [8] * 50
    activations = {profile.architecture: profile.activation_bytes for profile in RESNET_PROFILES}
    assert activations["resnet18"] == 4 * sum(layer.outputs for layer in layer_table("resnet18", 10, 128))
    small = scenario.override(server=pl_env.EdgeServer(memory_bytes=150_000_000))
    free = {name: 150_000_000 - 4 * sum(layer.parameters for layer in layer_table(name)) for name in activations}
    expected = [min(8, free[name] // activations[name]) for name in ("resnet18", "resnet34", "resnet50")]
    assert small.table.max_batch[:3].tolist() == expected
    assert len(set(expected)) > 1


def test_an_architecture_without_a_profile():
    with pytest.raises(pl_env.UnknownName, match="no compute profile for the architecture 'toy'; known are: resnet18"):
        pl_env.EdgeServer().table(toy_library(5), 8)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("disk_bytes_per_second", 0.0, "a finite number at least 1"),
        ("gpu_bytes_per_second", float("inf"), "a finite number at least 1"),
        ("load_overhead", -1e-3, "a finite number at least 0 and at most 3600"),
        ("memory_bytes", 1.5, "an integer of at least 0"),
        ("memory_bytes", -1, "an integer of at least 0"),
        ("memory_bytes", 10**19, "at most 1000000000000000000"),
        ("profiles", ["resnet18"], "a tuple of ComputeProfile"),
    ],
)
def test_server_fields_out_of_range(field, value, allowed):
    with pytest.raises(pl_env.InvalidValue) as caught:
        pl_env.EdgeServer(**{field: value})
    assert str(caught.value) == f"{field} is {value!r}; it must be {allowed}"


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("architecture", 18, "a string"),
        ("seconds_per_sample", -1.0, "a finite number at least 0 and at most 3600"),
        ("seconds_per_batch", float("nan"), "a finite number at least 0 and at most 3600"),
        ("activation_bytes", True, "an integer of at least 0"),
        ("activation_bytes", 10**19, "at most 1000000000000000000"),
    ],
)
def test_profile_fields_out_of_range(field, value, allowed):
    good = {"architecture": "toy", "seconds_per_sample": 0, "seconds_per_batch": 0, "activation_bytes": 0}
    with pytest.raises(pl_env.InvalidValue) as caught:
        pl_env.ComputeProfile(**(good | {field: value}))
    assert str(caught.value) == f"{field} is {value!r}; it must be {allowed}"


def test_loads_that_no_integer_holds_are_refused():
    library = pl_env.ModelLibrary([[1]], [10**18], ("toy",))
    slow = toy_server(disk_bytes_per_second=1.0, gpu_bytes_per_second=1.0)
    with pytest.raises(pl_env.InvalidValue, match=r"max\(block_load_ns\) is 4611686018427387904; it must be"):
        slow.table(library, 8)


def test_repr_is_one_short_line():
    expected = "<EdgeServer: disk 2.3 GB/s, GPU 6.5 GB/s, 24 GB of memory, profiles of resnet18, resnet34, resnet50>"
    assert repr(pl_env.EdgeServer()) == expected
    many = tuple(pl_env.ComputeProfile(f"architecture-{n}", 0, 0, 0) for n in range(1000))
    assert len(repr(pl_env.EdgeServer(profiles=many))) < 140
    assert "profiles of nothing" in repr(pl_env.EdgeServer(profiles=()))
