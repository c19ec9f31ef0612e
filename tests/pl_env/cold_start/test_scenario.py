"""Scenarios and instances: what is drawn, what follows, what is refused, what is stored."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pl_env
from pl_env.cold_start import (
    BenchmarkSet,
    Device,
    Instance,
    LanguageModel,
    Scenario,
    benchmark,
    benchmark_names,
    check,
)
from pl_env.cold_start.dynamics import whole_ns
from tests import cold_start_helpers as helpers


def samples(count: int, preset: str = "default", **fields) -> list[Instance]:
    scenario = Scenario.preset(preset, **fields)
    return [scenario.sample(np.random.default_rng(seed)) for seed in range(count)]


def test_what_default_draws():
    drawn = samples(400)
    assert {instance.n_devices for instance in drawn} == {4, 5, 6, 7, 8}
    for instance in drawn:
        assert instance.n_layers == 40
        assert instance.equal_layers
        assert instance.why_not_placeable is None
        tokens = instance.activation_bytes[0] / 10240
        assert tokens == round(tokens)
        assert 128 <= tokens <= 8192
        read = 660_602_880e9 / instance.load_ns[:, 0]
        assert ((read > 0.999e9) & (read < 6.001e9)).all()
        assert not instance.transfer_ns[0].any()
        assert (np.diagonal(instance.transfer_ns, axis1=1, axis2=2) == 0).all()
    tokens = [instance.activation_bytes[0] / 10240 for instance in drawn]
    assert 800 < np.exp(np.mean(np.log(tokens))) < 1300  # the middle of 128 to 8192 is 1024
    factor = [instance.memory_bytes.sum() / instance.weight_bytes.sum() for instance in drawn]
    assert 1.1 < min(factor) < 1.2
    assert 1.5 < np.mean(factor) < 1.65


def test_tight_instances_fit_at_last():
    """At 1.05 the whole layers that fit can be too few; then there is 5 % more, until they are not."""
    for instance in samples(200, "tight", memory_factor=(1.0, 1.0)):
        assert instance.capacity.sum() >= 40
        needed = instance.memory_bytes.sum() / instance.weight_bytes.sum()
        assert needed == pytest.approx(1.05 ** round(np.log(needed) / np.log(1.05)), rel=1e-6)


def test_a_fixed_prompt_and_given_devices():
    assert len({instance.content_hash() for instance in samples(5, "paper", prompt_tokens=256)}) == 1
    assert len({instance.content_hash() for instance in samples(5, "paper")}) == 5
    assert samples(1, "paper")[0].names == ("device 1", "device 2", "device 3", "device 4")


def test_the_radius_and_the_floor():
    near, far = samples(1, radius_m=0.5, fading=False)[0], samples(1, radius_m=50.0, fading=False)[0]
    assert near.transfer_ns.sum() < far.transfer_ns.sum()
    again = samples(1, radius_m=1.0, fading=False)[0]
    assert (near.transfer_ns == again.transfer_ns).all(), "nobody stands closer than a metre"


def test_a_deep_fade_takes_an_hour():
    instance = samples(1, reference_gain_db=-200.0, path_loss_exponent=10.0)[0]
    assert instance.transfer_ns.max() == 3600 * 10**9


def test_links_that_are_given():
    fields = {"links_bps": [[0, 1e9], [2e9, 0]], "devices": Scenario.preset("tiny").devices}
    instance = samples(1, "tiny", **fields)[0]
    assert instance.transfer_ns[1].tolist() == [[0, 24_000_000], [12_000_000, 0]]


def test_nanoseconds_are_rounded_up_but_for_noise():
    assert whole_ns(1.2e-9) == 2
    assert whole_ns(0.1 + 0.2) == 300_000_000
    assert whole_ns(1e9) == 3600 * 10**9


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=200, deadline=None)
def test_what_fits_where(seed, equal):
    """`lowest`, `capacity` and `reach` against their definitions."""
    instance = helpers.random_instance(np.random.default_rng(seed), equal=equal)
    n, k = instance.n_layers, instance.n_devices

    def fits(device, first, last):
        own = slice(first, last)
        needed = instance.activation_bytes[own].max() + instance.weight_bytes[own].sum() if last > first else 0
        return needed <= instance.memory_bytes[device]

    for device in range(k):
        for last in range(n + 1):
            least = min(first for first in range(last + 1) if fits(device, first, last))
            assert instance.problem.lowest[device, last] == least
    for devices in range(1 << k):
        placed = {n}  # layers from which on others hold all
        for _ in range(k):
            placed |= {first for device in range(k) if devices >> device & 1 for last in placed
                       for first in range(last) if fits(device, first, last)}  # fmt: skip
        if devices == 0:
            assert instance.reach[devices] == n
        elif devices & (devices - 1) == 0:
            device = devices.bit_length() - 1
            assert instance.reach[devices] == instance.problem.lowest[device, n]
    assert (instance.why_not_placeable is None) == (helpers.brute_force(instance) is not None)


def test_the_worst_of_test_a():
    """12 to load, 16 to compute, a transfer of 2."""
    assert helpers.test_a().worst_ns == 30


def test_nothing_wraps_around():
    """The largest models that there can be, with the longest prompt: an hour for each layer, no less."""
    model = LanguageModel("m", 2, 1000, 100_000, 1, 900, 1, 1)
    instance = samples(1, model=model, prompt_tokens=10**6, n_devices=2)[0]
    assert (instance.compute_ns == 3600 * 10**9).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "vgg"}, "there is no model 'vgg'; known are: gpt2, llama3-8b, qwen3-14b"),
        ({"weight_bits": 5.5}, "weight_bits is 5.5; it must be one of"),
        ({"ends": 1}, "ends is 1; it must be True or False"),
        ({"prompt_tokens": 0}, "prompt_tokens is 0; it must be an integer from 1 to 1000000"),
        ({"prompt_tokens": (9, 8)}, "prompt_tokens[1] is 8; it must be an integer from 9 to 1000000"),
        ({"prompt_tokens": (1, 2, 3)}, "prompt_tokens is (1, 2, 3); it must be a number or a range (low, high)"),
        ({"n_devices": 129}, "n_devices is 129; it must be an integer from 1 to 128"),
        ({"memory_factor": (2, 1)}, "memory_factor[1] is 1; it must be a finite number at least 2"),
        ({"utilisation": 0.5}, "utilisation is 0.5; it must be a range (low, high)"),
        ({"band_share": 2}, "band_share is 2; it must be a finite number at least 1e-09 and at most 1"),
        ({"devices": (1,)}, "devices is (1,); it must be at most 128 Devices"),
        ({"links_bps": ((0, 1),)}, "it must be none, or 0 rows of 0 numbers"),
        ({"fade": True}, "there is no scenario field 'fade'"),
    ],
)
def test_fields_out_of_range(fields, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        Scenario().override(**fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"compute_ns": [[1]]}, r"compute_ns.shape is \(1, 1\); it must be \(2, 4\), as of load_ns"),
        ({"load_ns": [1]}, "load_ns.shape"),
        ({"transfer_ns": np.zeros((4, 2, 3))}, "transfer_ns.shape"),
        ({"activation_bytes": [0, 1, 1, 1]}, r"min\(activation_bytes\) is 0; it must be an integer from 1"),
        ({"memory_bytes": [-1, 1]}, r"min\(memory_bytes\) is -1"),
        ({"weight_bytes": [0.5] * 4}, "weight_bytes is"),
        ({"previous": 2}, "previous is 2; it must be an integer from -1 to 1"),
        ({"ready_ns": 3}, "ready_ns is 3; it must be 0 where previous is -1"),
        ({"names": ("a",)}, "names is .*; it must be 2 strings"),
    ],
)
def test_instances_out_of_range(fields, message):
    with pytest.raises(pl_env.InvalidValue, match=message):
        replace(helpers.test_a(), **fields)


def test_devices_out_of_range():
    for fields in ({"name": ""}, {"peak_flops": 0}, {"utilisation": 0}, {"memory_bytes": 1.5}, {"distance_m": 0}):
        good = {"name": "d", "peak_flops": 1e12, "read_bytes_per_second": 1e9, "memory_bytes": 10**9}
        with pytest.raises(pl_env.InvalidValue, match=next(iter(fields))):
            Device(**(good | fields))


def test_instances_are_stored(tmp_path):
    for instance in (helpers.test_b(), *samples(2), helpers.random_instance(np.random.default_rng(0), going_on=True)):
        instance.save(tmp_path / "instance.npz")
        twin = Instance.load(tmp_path / "instance.npz")
        assert twin == instance == pickle.loads(pickle.dumps(instance))
        assert not twin.load_ns.flags.writeable
        assert twin.names == instance.names


def test_the_set_that_ships(tmp_path):
    assert benchmark_names() == ("cold-start-100",)
    found = benchmark("cold-start-100")
    assert len(found) == 100
    assert found.is_optimal.all()
    for n in (0, 50, 99):
        assert found.instances[n] == Scenario().sample(np.random.default_rng((13, 0, n)))
        plan = found.plan(n)
        check(plan, found.instances[n])
        assert plan.status == "optimal"
        assert plan.objective == found.objective[n]
    found.save(tmp_path / "set.npz")
    assert BenchmarkSet.load(tmp_path / "set.npz") == found
    with pytest.raises(pl_env.UnknownName, match="there is no benchmark set 'bls-100'"):
        benchmark("bls-100")
