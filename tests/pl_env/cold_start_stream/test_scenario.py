"""Scenarios and instances: what is drawn, what is refused, files."""

from __future__ import annotations

import numpy as np
import pytest

from pl_env import cold_start
from pl_env.cold_start_stream import Instance, Scenario
from pl_env.errors import InvalidValue, UnknownName
from tests import cold_start_stream_helpers as helpers


def test_what_the_default_draws():
    """Not everything can stay warm, every model fits, and requests follow Zipf's law over ranks."""
    scenario = Scenario.preset("default")
    instances = [scenario.sample(np.random.default_rng(seed)) for seed in range(60)]
    counts = np.zeros(3)
    for instance in instances:
        whole = int((instance.n_layers * instance.weight_bytes).sum())
        assert 0.4 * whole < instance.memory_bytes.sum() < 0.95 * whole
        assert instance.why_not_placeable is None
        assert instance.arrival_ns[0] == 0
        counts += np.sort(np.bincount(instance.model, minlength=3))[::-1]
    assert counts[0] / counts.sum() == pytest.approx(1 / (1 + 1 / 2 + 1 / 3), abs=0.06)


def test_gaps_between_arrivals_are_multiples_of_the_unit():
    ratios = []
    for seed in range(200):
        instance = Scenario(n_prompts=20, spacing=2.0).sample(np.random.default_rng(seed))
        whole = (instance.load_ns[:, instance.model].T + instance.compute_ns) * instance.n_layers[instance.model][
            :, None
        ]
        ratios.append(np.diff(instance.arrival_ns).mean() / (1 / (1 / whole).sum(axis=1)).mean())
    assert np.mean(ratios) == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"models": ()}, "models is .*; it must be 1 to 64 models"),
        ({"models": (3,)}, "models is 3; it must be names or LanguageModels"),
        ({"n_prompts": 0}, "n_prompts is 0; it must be an integer from 1 to 1000"),
        ({"prompt_tokens": (10, 5)}, r"prompt_tokens\[1\] is 5"),
        ({"prompt_tokens": 5}, "prompt_tokens is 5; it must be a range"),
        ({"skew": -1.0}, "skew is -1"),
        ({"drift": 2.0}, "drift is 2.0"),
        ({"spacing": -1.0}, "spacing is -1"),
        ({"site": 3}, "site is 3; it must be a Scenario of the cold start"),
        ({"site": cold_start.Scenario(n_devices=17)}, "number of devices is 17"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(InvalidValue, match=message):
        Scenario(**fields)


def test_models_that_do_not_exist_or_fit():
    with pytest.raises(UnknownName, match="nosuch"):
        Scenario(models=("nosuch",))
    small = cold_start.Scenario(devices=(cold_start.Device("one", 1e13, 1e9, 10**9),), links_bps=())
    with pytest.raises(InvalidValue, match="such as fit the site's devices"):
        Scenario(site=small).sample(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": np.array([0, 2, 0])}, "max.model. is 2"),
        ({"arrival_ns": np.array([0, 5, 4])}, "arrival_ns is .*; it must be ascending"),
        ({"compute_ns": np.zeros((2, 2), dtype=np.int64)}, "compute_ns.shape"),
        ({"activation_bytes": np.zeros(3, dtype=np.int64)}, "min.activation_bytes. is 0"),
        ({"used_at": np.full((2, 2, 2), 2)}, "max.used_at. is 2|min.used_at. is 2"),
        ({"used_at": np.ones((2, 2, 2), dtype=np.int64)}, "it must be what fits into memory_bytes"),
        ({"used_at": np.zeros((2, 2, 3), dtype=np.int64)}, "used_at.shape"),
        ({"placed": 2}, "placed is 2; it must be an integer from 0 to 1"),
        ({"previous": 0}, "previous is 0"),
        ({"ready_ns": 5}, "ready_ns is 5"),
        ({"used": np.array([True, False])}, "used is"),
        ({"stamp": 0}, "stamp is 0"),
    ],
)
def test_instances_that_are_refused(fields, message):
    given = helpers.by_hand([0, 1, 0], [0, 5, 10])
    with pytest.raises(InvalidValue, match=message):
        Instance(**(given.tables._asdict() | fields))


def test_a_stream_under_way_is_saved(tmp_path):
    given = helpers.placeable(np.random.default_rng(1), n_prompts=3, going_on=True)
    given.save(tmp_path / "stream.npz")
    assert Instance.load(tmp_path / "stream.npz") == given
