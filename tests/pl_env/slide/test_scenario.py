"""Scenarios, libraries, instances, plans and benchmark sets: draws by hand, ranges, files, pictures."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

import pl_env
from baselines.slide.constant_shares import dai, static
from baselines.slide.varying_shares import edf_greedy
from pl_env.slide import (
    BenchmarkSet,
    Instance,
    Library,
    Model,
    Plan,
    Scenario,
    benchmark,
    benchmark_names,
    check,
    gantt,
)
from pl_env.slide.library import MODELS, built_in
from tests import slide_helpers as helpers


def test_draws_by_hand():
    """Rows of the seven: distance, fading, deadline, speed, energy, request, arrival; only these are sorted."""
    scenario = Scenario.preset("default", n_users=3)
    u = np.random.default_rng(7).random((7, 3))
    instance = scenario.sample(np.random.default_rng(7))
    assert instance.arrival_ns.tolist() == [round(2e9 * value) for value in sorted(u[6])]
    flop = [64 * macs for macs in (1_816_557_056, 3_667_499_520, 4_100_298_240)]
    for k in range(3):
        request = int(3 * u[5, k])
        nominal = flop[request] / (230.4 * 918e6)
        distance = max(1, 250 * math.sqrt(u[0, k]))
        snr = 5e-9 * distance**-4 * -math.log(1 - u[1, k]) / 10**-20.4
        assert instance.request[k] == request
        assert instance.rate_bps[k] == pytest.approx(100e6 * math.log2(1 + snr), abs=2)
        assert instance.speed[k] == pytest.approx(1e6 * (153.6 + 153.6 * u[3, k]), abs=2)
        assert instance.deadline_ns[k] == pytest.approx((2 + 1.5 * u[2, k]) * nominal * 1e9, abs=2)
        assert instance.energy_nj[k] == pytest.approx((0.5 + u[4, k]) * 15e9 * nominal, abs=2)


def test_nominal_times():
    scenario = Scenario.preset("zoo")
    assert scenario.nominal_seconds.tolist() == pytest.approx([0.550, 1.110, 1.241, 5.316, 6.958], abs=5e-4)
    assert scenario.longest_deadline == pytest.approx(3.5 * 6.958, abs=2e-3)


def nominal_user(scenario, request: int, rate_bps: int) -> Instance:
    """One user with the nominal device, all the time and energy that it takes, and a link."""
    speed = round(1e6 * sum(scenario.flop_per_cycle) / 2)
    return scenario.instance(np.array([[rate_bps, speed, 3_600 * 10**9, 10**14, request, 0]]))


def test_latency_against_download_then_infer_and_a_local_disk():
    """On a link of 148.33 Mbit/s; a disk reads 52.9 MB/s."""
    scenario = Scenario.preset("zoo", window=0.0)
    cuts, slowdowns = [], []
    for model in range(5):
        instance = nominal_user(scenario, model, 148_330_000)
        frequency, whole_band = np.array([918_000_000]), np.array([1_000_000])
        plans = [Plan(np.array([model]), frequency, 1, shares=whole_band, streams=streams) for streams in (True, False)]
        for plan in plans:
            check(plan, instance)
        [[streamed], [after]] = [plan.tasks(instance) for plan in plans]
        cuts.append(100 * (1 - streamed.finish_ns[-1] / after.finish_ns[-1]))
        disk = scenario.catalogue.model_bytes[model] / 52.9e6 + sum(streamed.compute_ns) / 1e9
        slowdowns.append(streamed.finish_ns[-1] / 1e9 / disk)
    assert [round(cut, 1) for cut in cuts] == [30.4, 32.1, 31.0, 35.9, 33.2]
    assert np.mean(cuts) == pytest.approx(32.5, abs=0.05)
    assert [round(ratio, 2) for ratio in slowdowns] == [1.27, 1.22, 1.25, 1.09, 1.17]
    assert np.mean(slowdowns) == pytest.approx(1.20, abs=0.005)


def test_libraries():
    """Who asks for a vision model accepts the larger ones, too; GPT-2 is answered by itself alone."""
    zoo = Scenario.preset("zoo").catalogue
    assert zoo.names == ("resnet18", "resnet34", "resnet50", "vit_b_16", "gpt2")
    expected = np.triu(np.ones((5, 5), dtype=bool))
    expected[:4, 4] = False
    np.testing.assert_array_equal(zoo.accepted, expected)
    np.testing.assert_allclose(zoo.model_bytes / 1e6, [23.38, 43.60, 51.11, 173.14, 248.88], atol=0.005)
    compressed = Scenario.preset("compressed").catalogue
    assert compressed.n_requests == 3
    np.testing.assert_array_equal(compressed.accepted[:, 3], [True, True, True])
    assert compressed.model_bytes[3] * 2 == compressed.model_bytes[2]
    assert compressed.model_flop[3] * 2 == compressed.model_flop[2] * 3
    assert Scenario(models=("resnet50-int8", "resnet18")).catalogue.names == ("resnet18", "resnet50-int8")


def test_presets_and_dicts():
    assert Scenario.presets() == ("default", "paper", "hard", "zoo", "compressed", "tiny")
    assert Scenario.preset("default").window == 2
    assert Scenario.preset("paper").window == 0
    assert (Scenario.preset("hard").bandwidth_hz, Scenario.preset("hard").window) == (50e6, 4)
    for name in Scenario.presets():
        scenario = Scenario.preset(name, n_users=3)
        assert Scenario.from_dict(scenario.to_dict()) == scenario
        assert scenario.sample(np.random.default_rng(0)).n_users == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_users": 0}, "n_users is 0; it must be an integer from 1 to 100000"),
        ({"models": ()}, "models is (); it must be a tuple of models"),
        ({"models": ("vgg",)}, "there is no model 'vgg'; known are: gpt2, resnet18"),
        ({"models": ("gpt2", "gpt2")}, "models is ('gpt2', 'gpt2'); it must be all different"),
        ({"models": ("resnet50-int8",)}, "it must be one that is asked for, at least"),
        ({"window": -1}, "window is -1; it must be a finite number at least 0"),
        ({"deadline_factor": 3}, "deadline_factor is 3; it must be a range (low, high)"),
        ({"deadline_factor": (3, 2)}, "deadline_factor[1] is 2; it must be a finite number at least 3"),
        ({"deadline_factor": (1, 9e5)}, "the longest deadline is "),
        (
            {"min_frequency_hz": 10**9},
            "min_frequency_hz is 1000000000; it must be an integer from 1000000 to 918000000",
        ),
        ({"power_w": 0}, "power_w is 0; it must be a finite number above 0"),
        ({"nobody": 3}, "there is no scenario field 'nobody'"),
    ],
)
def test_fields_out_of_range(fields, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        Scenario().override(**fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate_bps": [1]}, r"rate_bps.shape|speed.shape"),
        ({"rate_bps": [-1, 1]}, r"min\(rate_bps\) is -1"),
        ({"speed": [0, 1]}, r"min\(speed\) is 0"),
        ({"request": [0, 1]}, r"max\(request\) is 1"),
        ({"arrival_ns": [3, 2]}, "arrival_ns is .*; it must be ascending"),
        ({"committed_due_ns": [3]}, r"len\(committed_rest_ns\) is 0"),
        ({"committed_due_ns": [3, 5], "committed_rest_ns": [3, 3]}, "such that all of it is in time"),
        ({"deadline_ns": [10**13, 1]}, r"max\(deadline_ns\)"),
        ({"energy_nj": [0.5, 1]}, "energy_nj is"),
        ({"device": 3}, "device is 3; it must be a Device"),
        ({"library": 3}, "library is 3; it must be a Library"),
    ],
)
def test_instances_out_of_range(fields, message):
    instance = helpers.instance([([1], [1])], [9, 9])
    with pytest.raises(pl_env.InvalidValue, match=message):
        replace(instance, **fields)


def test_libraries_out_of_range():
    library = helpers.library([([1, 2], [3, 4]), ([5], [6])])
    for fields in (
        {"layer_start": [0, 2]},
        {"layer_start": [0, 3, 3]},
        {"layer_bytes": [1, 2]},
        {"layer_bytes": [-1, 2, 3]},
        {"layer_flop": [1, 2, 10**13]},
        {"accepted": [[True]]},
        {"accepted": [[True, True]] * 3},
    ):
        with pytest.raises(pl_env.InvalidValue):
            replace(library, **fields)
    assert isinstance(library, Library)
    for arguments in (((), ()), ((1,), (1, 2)), ((10**9, 1), (1, 1)), ((1.5,), (1,))):
        with pytest.raises(pl_env.InvalidValue):
            Model("m", *arguments)
    with pytest.raises(pl_env.UnknownName):
        built_in("vgg")
    assert built_in(MODELS[0]).name == "resnet18"


def test_instances_are_stored(tmp_path):
    rng = np.random.default_rng(0)
    for instance in (helpers.random_instance(rng, arrivals=True, committed=True), Scenario().sample(rng)):
        instance.save(tmp_path / "instance.npz")
        twin = Instance.load(tmp_path / "instance.npz")
        assert twin == instance == pickle.loads(pickle.dumps(instance))
        assert not twin.rate_bps.flags.writeable
        assert edf_greedy(twin).models.tolist() == edf_greedy(instance).models.tolist()


def test_plans_say_what_they_are():
    instance = Scenario.preset("paper", n_users=12).sample(np.random.default_rng(0))
    plan = static(instance)
    assert plan.SENSE == "max"
    assert plan.objective == plan.served_ratio == plan.served / 12
    assert len(plan) == 12
    assert "constant shares" in str(plan)
    assert "computing after the download" in str(dai(instance))
    assert len(plan.tasks(instance)) == plan.served
    for task in (*plan.tasks(instance), *edf_greedy(instance).tasks(instance)):
        assert task.finish_ns[-1] <= task.due_ns
        assert list(task.received_ns) == sorted(task.received_ns)
        assert list(task.finish_ns) == sorted(task.finish_ns)
        assert task.received_ns[0] >= task.arrival_ns
        assert helpers.recursion(task.received_ns, task.compute_ns) == task.finish_ns[-1]


@pytest.mark.parametrize("solver", [static, dai, edf_greedy])
def test_pictures(solver, tmp_path):
    instance = Scenario.preset("default", n_users=12).sample(np.random.default_rng(0))
    plan = solver(instance)
    figure = gantt(plan, instance)
    figure.savefig(tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 10_000
    [axes] = figure.axes
    assert len(axes.get_yticks()) == plan.served
    gantt(Plan.from_models(instance, np.full(12, -1)), instance, title="nobody")


# ---------------------------------------------------------------- benchmark sets


def test_the_set_that_ships():
    assert benchmark_names() == ("slide-100",)
    found = benchmark("slide-100")
    assert len(found) == 100
    assert found.is_optimal.all()
    assert found.scenario == Scenario()
    for n in (0, 50, 99):
        instance = found.instances[n]
        assert instance == Scenario().sample(np.random.default_rng((13, 0, n)))
        plan = found.plan(n)
        check(plan, instance)
        assert plan.status == "optimal"
        assert plan.served == found.served[n] == round(plan.bound * 40)
        assert edf_greedy(instance).served <= found.upper_bound[n]
    with pytest.raises(pl_env.UnknownName, match="there is no benchmark set 'bls-100'"):
        benchmark("bls-100")


def test_sets_are_stored(tmp_path):
    found = benchmark("slide-100")
    found.save(tmp_path / "set.npz")
    assert BenchmarkSet.load(tmp_path / "set.npz") == found
    n_users, most = found.users.shape[1], found.upper_bound
    for wrong in (
        {"upper_bound": most[1:]},
        {"upper_bound": np.full(len(most), n_users + 1)},
        {"upper_bound": found.served - 1},
        {"name": 3},
    ):
        with pytest.raises(pl_env.InvalidValue, match=r"(upper_bound|name).* is .*; it must be"):
            replace(found, **wrong)
    no_such_model = found.models.copy()
    no_such_model[0, np.flatnonzero(no_such_model[0] >= 0)[0]] = 2**62
    with pytest.raises(pl_env.InvalidValue, match=r"models is .* a model from 0 to 2"):
        replace(found, models=no_such_model).plan(0)
    (tmp_path / "set.npz").write_bytes(b"damaged")
    with pytest.raises(pl_env.FileFormatError):
        BenchmarkSet.load(tmp_path / "set.npz")
