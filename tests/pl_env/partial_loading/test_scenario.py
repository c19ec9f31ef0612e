"""Scenarios: every field's range, presets, and what is drawn."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import pl_env
from pl_env.times import LONGEST_UPLOAD_NS

NAN, INF = float("nan"), float("inf")
MANY = 100_000


def real(bound: str) -> str:
    return f"a finite number {bound}"


def count(low: int, high: int | None = None) -> str:
    return f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"


# Field, values out of range, and the range that the message states.
OUT_OF_RANGE = {
    "n_users": ([0, -1, 1.5, True, None, "80", 10**7], count(1, 10**6)),
    "n_models": ([0, 2.0, 10**6], count(1, 100_000)),
    "sharing": (["some", None, 3], "one of 'bls', 'general'"),
    "backbones": (["resnet18", None, 3], "a tuple of architectures"),
    "theta": ([-0.1, 1.1, NAN, "0.5", True], real("at least 0 and at most 1")),
    "theta_spread": ([-0.1, 1.1, NAN, None], real("at least 0 and at most 1")),
    "library_seed": ([-1, 0.5, None], count(0)),
    "resample_library": ([1, None, "yes"], "True or False"),
    "library": ([3, "resnets"], "a ModelLibrary"),
    "request_skew": ([-1, 11, NAN], real("at least 0 and at most 10")),
    "radius_m": ([0.5, -250, 1e7, NAN], real("at least 1 and at most 1e+06")),
    "bandwidth_hz": ([0, -1e6, INF], real("at least 1 and at most 1e+12")),
    "tx_power_w_per_hz": ([0, -1e-9, 2, NAN], real("above 0 and at most 1")),
    "noise_w_per_hz": ([0, -1e-20, 2, NAN], real("above 0 and at most 1")),
    "path_loss_exponent": ([-1, 11, INF], real("at least 0 and at most 10")),
    "link_loss_db": ([-0.1, 201, NAN, None, "16"], real("at least 0 and at most 200")),
    "fading": (["rayleigh", None, 0], "one of 'episode', 'batch'"),
    "upload_bits": ([0, -8, INF], real("above 0 and at most 1e+15")),
    "deadline": ([0, -1, 1e-10, 3601, NAN], real("at least 1e-09 and at most 3600")),
    "slot": ([0, 1e-7, 3601, NAN], real("at least 1e-06 and at most 3600")),
    "max_batch_size": ([0, 1025, 2.0, None], count(1, 1024)),
    "server": (["fast", None, 3], "an EdgeServer"),
}


def test_every_field_has_values_out_of_range():
    assert OUT_OF_RANGE.keys() == {field.name for field in dataclasses.fields(pl_env.Scenario)}


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [(field, value, allowed) for field, (values, allowed) in OUT_OF_RANGE.items() for value in values],
)
def test_a_field_out_of_range_gives_one_sentence(field, value, allowed):
    for make in (pl_env.Scenario, pl_env.Scenario().override, lambda **f: pl_env.Scenario.preset("bls", **f)):
        with pytest.raises(pl_env.InvalidValue) as caught:
            make(**{field: value})
        assert str(caught.value) == f"{field} is {value!r}; it must be {allowed}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((0, 5), "n_users[0] is 0; it must be an integer from 1 to 1000000"),
        ((5, 4), "n_users[1] is 4; it must be an integer from 5 to 1000000"),
        ((5, 10**7), "n_users[1] is 10000000; it must be an integer from 5 to 1000000"),
        ((5, 6, 7), "n_users is (5, 6, 7); it must be an integer or a range (low, high)"),
    ],
)
def test_a_range_of_users_out_of_range(value, message):
    with pytest.raises(pl_env.InvalidValue) as caught:
        pl_env.Scenario(n_users=value)
    assert str(caught.value) == message


def test_unknown_names():
    for make, message in [
        (lambda: pl_env.Scenario.preset("blz"), "no preset 'blz'; known are: bls, fading, general, general-hard, tiny"),
        (lambda: pl_env.Scenario.preset(["bls"]), "there is no preset ['bls']"),
        (
            lambda: pl_env.Scenario.preset("bls", users=3),
            "there is no scenario field 'users'; known are: backbones, ba",
        ),
        (lambda: pl_env.Scenario().override(K=3), "there is no scenario field 'K'"),
        (lambda: pl_env.Scenario(backbones=("vgg",)), "no backbone 'vgg'; known are: resnet18, resnet34, resnet50"),
        (lambda: pl_env.Scenario(server=pl_env.EdgeServer(profiles=())), "no compute profile for the architecture"),
    ]:
        with pytest.raises(pl_env.UnknownName) as caught:
            make()
        assert message in str(caught.value)


def test_backbones_may_not_be_empty():
    with pytest.raises(pl_env.InvalidValue, match=r"backbones is \(\); it must be at least one architecture"):
        pl_env.Scenario(backbones=())


def test_a_library_that_disagrees():
    library = pl_env.Scenario.preset("tiny").library
    unknown = pl_env.ModelLibrary(library.has_block, library.block_bytes, ("other",) * 3)
    server = pl_env.Scenario.preset("tiny").server
    assert pl_env.Scenario.preset("bls", library=library, server=server).n_models == 3
    for fields, message in [
        ({"library": library, "n_models": 4, "server": server}, "n_models is 4; it must be 3, as in the library"),
        ({"library": library, "n_models": 3}, "there is no compute profile for the architecture 'toy'"),
        ({"library": unknown, "n_models": 3, "server": server}, "there is no compute profile for the architecture 'ot"),
        ({"library": library, "n_models": 3, "server": server, "resample_library": True}, "resample_library is True"),
    ]:
        with pytest.raises(pl_env.PlEnvError) as caught:
            pl_env.Scenario(**fields)
        assert message in str(caught.value)


def test_a_library_says_how_many_models_there_are():
    tiny = pl_env.Scenario.preset("tiny")
    scenario = pl_env.Scenario(library=tiny.library, server=tiny.server)
    assert scenario.n_models == 3
    assert scenario == pl_env.Scenario().override(library=tiny.library, server=tiny.server)
    assert scenario.to_dict()["n_models"] == 3
    assert pl_env.Scenario.from_dict(scenario.to_dict(), tiny.library) == scenario
    assert pl_env.Scenario().n_models == pl_env.Scenario(n_models=50).n_models == 50
    assert pl_env.Scenario() == pl_env.Scenario(n_models=50)
    assert scenario.override(n_users=7).n_models == 3


def test_the_shortest_deadline_is_a_nanosecond():
    assert pl_env.Scenario(deadline=1e-9, n_users=2).sample(np.random.default_rng(0)).deadline_ns == 1


def test_presets():
    def facts(name):
        s = pl_env.Scenario.preset(name)
        return s.n_users, s.n_models, s.sharing, s.deadline, s.bandwidth_hz, s.fading

    assert set(pl_env.Scenario.presets()) == {"bls", "general", "general-hard", "fading", "tiny"}
    assert facts("bls") == (80, 50, "bls", 0.7, 200e6, "episode")
    assert facts("general") == (80, 25, "general", 0.7, 200e6, "episode")
    assert facts("general-hard") == (80, 25, "general", 0.35, 200e6, "episode")
    assert facts("fading") == (80, 50, "bls", 0.7, 20e6, "batch")
    assert facts("tiny")[:2] == (5, 3)
    assert pl_env.Scenario.preset("general").backbones == ("resnet50",)
    assert pl_env.Scenario.preset("bls") == pl_env.Scenario()
    assert pl_env.Scenario.preset("bls", n_users=[3, 7]).n_users == (3, 7)


@pytest.mark.parametrize("name", pl_env.Scenario.presets())
def test_json_round_trip(name):
    scenario = pl_env.Scenario.preset(name, n_users=(3, 5), server=pl_env.Scenario.preset(name).server)
    stored = json.loads(json.dumps(scenario.to_dict()))
    again = pl_env.Scenario.from_dict(stored, scenario.library)
    assert again == scenario
    assert hash(again) == hash(scenario)
    assert again.to_dict() == scenario.to_dict() == stored
    assert again.sample(np.random.default_rng(1)) == scenario.sample(np.random.default_rng(1))


def test_numbers_of_numpy_survive_json():
    scenario = pl_env.Scenario(n_users=np.int64(7), deadline=np.float32(0.5), n_models=np.int32(3))
    stored = json.loads(json.dumps(scenario.to_dict()))
    assert (stored["n_users"], stored["deadline"], stored["n_models"]) == (7, 0.5, 3)
    assert pl_env.Scenario.from_dict(stored) == scenario


def test_a_description_without_link_loss_had_none():
    """Files of before there was a link loss say what they were drawn from, and it stays so."""
    stored = pl_env.Scenario().to_dict()
    assert stored.pop("link_loss_db") == 16
    assert pl_env.Scenario.from_dict(stored) == pl_env.Scenario(link_loss_db=0)


def test_link_loss_is_taken_off_every_link():
    """10 dB are a tenth of the power; the users stay where they are, and without loss nothing is multiplied."""

    def drawn(**fields):
        return pl_env.Scenario(n_users=1000, **fields).sample(np.random.default_rng(3))

    without, lossy = drawn(link_loss_db=0), drawn(link_loss_db=10)
    less_power = drawn(link_loss_db=0, tx_power_w_per_hz=5e-10)
    np.testing.assert_allclose(lossy.mean_snr, without.mean_snr / 10, rtol=1e-12)
    np.testing.assert_allclose(lossy.upload_ns, less_power.upload_ns, rtol=1e-9, atol=1)
    assert (lossy.upload_ns > without.upload_ns).all()
    assert (lossy.requested_model == without.requested_model).all()
    assert pl_env.Scenario(link_loss_db=0).radio[1] == 5e-9 / 10**-20.4
    assert pl_env.Scenario().radio[1] == pytest.approx(5e-9 / 10**-20.4 / 39.81072, rel=1e-6)


def test_descriptions_that_do_not_fit():
    tiny = pl_env.Scenario.preset("tiny")
    stored = tiny.to_dict()
    default = pl_env.Scenario().to_dict()
    other = pl_env.ModelLibrary(tiny.library.has_block, tiny.library.block_bytes + 1, ("toy",) * 3)
    for values, library, message in [
        (stored, None, f"library is None; it must be the library with hash {stored['library']}"),
        (stored, other, f"it must be the library with hash {stored['library']}"),
        (default, tiny.library, "it must be the library with hash None"),
        (default | {"users": 3}, None, "there is no scenario field 'users'"),
        (default | {"theta": 2}, None, "theta is 2; it must be"),
        (default | {"server": None}, None, "server is None; it must be as to_dict wrote it"),
        (default | {"server": default["server"] | {"profiles": [{"size": 3}]}}, None, "it must be as to_dict wrote it"),
        ({}, None, "server is None; it must be as to_dict wrote it"),
    ]:
        with pytest.raises(pl_env.PlEnvError) as caught:
            pl_env.Scenario.from_dict(values, library)
        assert message in str(caught.value)


@pytest.mark.parametrize("name", pl_env.Scenario.presets())
def test_sampling_is_determined_by_the_generator(name):
    scenario = pl_env.Scenario.preset(name)
    first, second = np.random.default_rng(5), np.random.default_rng(5)
    one, again, later = scenario.sample(first), scenario.sample(second), scenario.sample(first)
    assert one == again
    assert one != later
    assert later == pl_env.Scenario.preset(name).sample(second)
    assert one.table is later.table is scenario.table
    assert (one.n_users, one.n_models, one.resident) == (scenario.n_users, scenario.n_models, -1)
    assert one.deadline_ns == round(scenario.deadline * 1e9)
    assert one.slot_ns == 10_000_000


def test_a_range_of_users_is_drawn_uniformly_both_ends_included():
    scenario = pl_env.Scenario(n_users=(2, 5))
    rng = np.random.default_rng(0)
    numbers = [scenario.sample(rng).n_users for _ in range(400)]
    counts = np.bincount(numbers, minlength=6)
    assert counts[:2].sum() == 0
    assert counts[2:].min() > 60
    assert scenario.most_users == 5


def test_the_library_stays_unless_resampled():
    rng = np.random.default_rng(0)
    fixed = pl_env.Scenario(library_seed=1)
    assert fixed.table.arrays()["block_bytes"].tolist() != pl_env.Scenario().table.block_bytes.tolist()
    fresh = pl_env.Scenario(resample_library=True)
    one, two = fresh.sample(rng), fresh.sample(rng)
    assert one.block_bytes.tolist() != two.block_bytes.tolist()
    assert max(one.n_blocks, two.n_blocks) <= fresh.most_blocks
    assert fixed.most_blocks == fixed.sample(rng).n_blocks


@pytest.fixture(scope="module")
def crowd():
    """A hundred thousand users of the default scenario: (scenario, instance)."""
    scenario = pl_env.Scenario(n_users=MANY)
    return scenario, scenario.sample(np.random.default_rng(2503))


def fading_power(scenario, instance) -> np.ndarray:
    """|h|² of every user, from the upload times: R = D / (B t), SNR = 2^R - 1."""
    snr = 2.0 ** (scenario.unit_upload_ns / instance.upload_ns) - 1
    return snr / instance.mean_snr


def test_users_stand_uniformly_in_the_cell(crowd):
    """(d / r)² is uniform in [0, 1]: mean 1/2, variance 1/12; within half the radius a quarter."""
    scenario, instance = crowd
    tx_to_noise = scenario.tx_power_w_per_hz / scenario.noise_w_per_hz / 10**1.6  # 16 dB
    distance = (tx_to_noise / instance.mean_snr) ** 0.25
    area = (distance / scenario.radius_m) ** 2
    assert distance.min() >= 1
    assert distance.max() <= 250 * (1 + 1e-9)
    assert area.mean() == pytest.approx(1 / 2, abs=5e-3)
    assert area.var() == pytest.approx(1 / 12, abs=2e-3)
    assert (distance < 125).mean() == pytest.approx(1 / 4, abs=7e-3)


def test_fading_is_exponential_and_independent_of_place_and_request(crowd):
    """Mean and variance 1, above 1 with probability 1/e; within five standard errors."""
    scenario, instance = crowd
    power = fading_power(scenario, instance)
    assert power.mean() == pytest.approx(1.0, abs=0.016)
    assert power.var() == pytest.approx(1.0, abs=0.05)
    assert (power > 1).mean() == pytest.approx(np.exp(-1), abs=8e-3)
    assert abs(np.corrcoef(power, instance.mean_snr**-0.25)[0, 1]) < 0.016
    assert abs(np.corrcoef(power, instance.requested_model)[0, 1]) < 0.016
    assert instance.upload_ns.max() < LONGEST_UPLOAD_NS


@pytest.mark.parametrize("skew", [0.0, 1.0, 2.5])
def test_requests_follow_zipf(skew):
    scenario = pl_env.Scenario(n_users=MANY, n_models=20, request_skew=skew)
    requests = scenario.sample(np.random.default_rng(3)).requested_model
    weights = np.arange(1, 21) ** -skew
    expected = weights / weights.sum()
    found = np.bincount(requests, minlength=20) / MANY
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / MANY) + 1e-9).all()


def test_uploads_are_inverse_to_bandwidth():
    narrow = pl_env.Scenario(bandwidth_hz=20e6).sample(np.random.default_rng(0))
    wide = pl_env.Scenario(bandwidth_hz=200e6).sample(np.random.default_rng(0))
    assert narrow.requested_model.tolist() == wide.requested_model.tolist()
    np.testing.assert_allclose(narrow.upload_ns, 10 * wide.upload_ns, atol=10)


def test_extreme_scenarios_still_give_valid_instances():
    """Every user out of reach; every user next to the antenna."""
    far = pl_env.Scenario(radius_m=1e6, path_loss_exponent=10, n_users=5).sample(np.random.default_rng(0))
    assert (far.upload_ns == LONGEST_UPLOAD_NS).all()
    near = pl_env.Scenario(radius_m=1, upload_bits=1e-9, n_users=5).sample(np.random.default_rng(0))
    assert near.upload_ns.max() <= 1
