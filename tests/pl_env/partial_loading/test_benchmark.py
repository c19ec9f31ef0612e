"""The benchmark sets that ship with the package."""

from __future__ import annotations

import dataclasses
import importlib
import json

import gymnasium
import numpy as np
import pytest

import pl_env
from pl_env.partial_loading.benchmark import BenchmarkSet

benchmark_module = importlib.import_module("pl_env.partial_loading.benchmark")  # a function has the name, too

NAMES = ("bls-100", "general-100", "general-hard-100", "large-10", "mixed-100")


def small_set() -> BenchmarkSet:
    """Three instances of different sizes; the schedules are not optimal, and need not be."""
    scenario = pl_env.Scenario.preset("general-hard", n_models=4, n_users=(3, 9), resample_library=True)
    instances = []
    for n in range(3):
        drawn = scenario.sample(np.random.default_rng(n))
        instances.append(
            pl_env.Instance(
                table=drawn.table,
                requested_model=drawn.requested_model,
                upload_ns=drawn.upload_ns,
                deadline_ns=drawn.deadline_ns - n,
                resident=n - 1,
            )
        )
    return BenchmarkSet(
        name="small",
        scenario=scenario,
        seed=5,
        instances=tuple(instances),
        upper_bound=np.array([2, 3, 0]),
        run_start=np.array([0, 1, 3, 3]),
        run_models=np.array([0, 1, 2]),
        run_counts=np.array([1, 1, 2]),
        made_by={"solver": "nobody"},
    )


def test_all_sets_ship():
    assert pl_env.benchmark_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_what_its_name_says(name):
    benchmark = pl_env.benchmark(name)
    assert benchmark.name == name
    assert len(benchmark) == int(name.rpartition("-")[2])
    assert (benchmark.served <= benchmark.upper_bound).all()
    assert set(benchmark.made_by) == {"solver", "options", "versions"}
    assert len({instance.content_hash() for instance in benchmark.instances}) == len(benchmark)
    for n in range(0, len(benchmark), 7):
        models, counts = benchmark.runs(n)
        asked = np.bincount(benchmark.instances[n].requested_model, minlength=benchmark.instances[n].n_models)
        assert len(set(models.tolist())) == len(models)
        assert (counts <= asked[models]).all()


def test_large_10_is_large():
    for instance in pl_env.benchmark("large-10").instances:
        assert (instance.n_users, instance.n_models) == (2000, 200)


@pytest.mark.parametrize("name", ["bls-100", "general-hard-100", "mixed-100"])
def test_the_environment_plays_the_optimum(name):
    """The stored schedule, replayed action by action through the environment, serves what the set says."""
    benchmark = pl_env.benchmark(name)
    env = gymnasium.make("PartialLoading-v0", scenario=benchmark.scenario)
    cap = benchmark.scenario.max_batch_size
    for n in (0, 17, 99):
        env.reset(options={"instance": benchmark.instances[n]})
        for model, count in zip(*benchmark.runs(n), strict=True):
            while count > 0:
                size = min(count, cap)
                _, reward, *_, info = env.step(model * cap + size - 1)
                assert reward == size / benchmark.instances[n].n_users
                count -= size
        assert info["served"] == benchmark.served[n]


def test_saving_and_loading_changes_nothing(tmp_path):
    before = small_set()
    before.save(tmp_path / "small.npz")
    after = BenchmarkSet.load(tmp_path / "small.npz")
    assert after == before
    assert after.instances == before.instances
    assert after.scenario == before.scenario
    assert after.served.tolist() == [1, 3, 0]
    assert after.is_optimal.tolist() == [False, True, True]
    assert [part.tolist() for part in after.runs(1)] == [[1, 2], [1, 2]]


def test_a_file_of_before_there_was_a_link_loss(tmp_path, monkeypatch):
    """Its scenario has no such field; it loads as drawn without loss, so its instances are still its scenario's."""
    whole = pl_env.Scenario.to_dict
    with monkeypatch.context() as patched:
        patched.setattr(
            pl_env.Scenario, "to_dict", lambda self: {k: v for k, v in whole(self).items() if k != "link_loss_db"}
        )
        small_set().save(tmp_path / "small.npz")
    loaded = BenchmarkSet.load(tmp_path / "small.npz")
    assert loaded.scenario == small_set().scenario.override(link_loss_db=0)
    assert loaded.instances == small_set().instances


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "small.npz"
    small_set().save(path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"{}", content[:200] + b"x" + content[201:]):
        path.write_bytes(damaged)
        with pytest.raises(pl_env.FileFormatError):
            BenchmarkSet.load(path)
    pl_env.build_library("bls", 3, ("resnet18",), 0.5, 0.1, np.random.default_rng(0)).save(path)
    with pytest.raises(pl_env.FileFormatError, match="holds a model-library, not a benchmark-set"):
        BenchmarkSet.load(path)


def test_inconsistent_contents_are_refused(tmp_path):
    from pl_env.files import load_arrays, save_arrays

    path = tmp_path / "small.npz"
    small_set().save(path)
    header, arrays = load_arrays(path, "benchmark-set")
    for change in (
        {"n_users": arrays["n_users"] + 1},
        {"upper_bound": arrays["upper_bound"][:2]},
        {"run_start": arrays["run_start"][::-1]},
        {"upload_ns": -arrays["upload_ns"]},
    ):
        save_arrays(path, "benchmark-set", header, arrays | change)
        with pytest.raises(pl_env.FileFormatError, match="not a valid benchmark-set"):
            BenchmarkSet.load(path)
    short = json.loads(json.dumps(header))
    short["deadline_ns"].pop()
    save_arrays(path, "benchmark-set", short, arrays)
    with pytest.raises(pl_env.FileFormatError, match="not a valid benchmark-set"):
        BenchmarkSet.load(path)


def test_unknown_name():
    with pytest.raises(pl_env.UnknownName, match="there is no benchmark set 'bls-1000'; known are: bls-100, general"):
        pl_env.benchmark("bls-1000")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "name is 3; it must be a string"),
        ({"scenario": "bls"}, "scenario is 'bls'; it must be a Scenario"),
        ({"seed": -1}, "seed is -1; it must be an integer of at least 0"),
        ({"made_by": "nobody"}, "made_by is 'nobody'; it must be a dictionary"),
        ({"instances": "abc"}, "instances is 'abc'; it must be a tuple of Instance"),
        ({"run_models": [0, 1, 4]}, "run_models is array([0, 1, 4]); it must be models of their instances"),
        ({"run_models": [0, -1, 2]}, "run_models is array([ 0, -1,  2]); it must be models of their instances"),
        ({"run_counts": [1, -1, 2]}, "run_counts is array([ 1, -1,  2]); it must be from 1 to the users of"),
        ({"run_counts": [1, 1, 2**62]}, "run_counts is array([                  1,"),
        ({"upper_bound": [0, 3, 0]}, "upper_bound is array([0, 3, 0]); it must be from the users served to all users"),
        ({"upper_bound": [2, 3, -1]}, "upper_bound is array([ 2,  3, -1]); it must be from the users served to all"),
        ({"upper_bound": [2, 3, 99]}, "upper_bound is array([ 2,  3, 99]); it must be from the users served to all"),
    ],
)
def test_impossible_contents(changes, message):
    with pytest.raises(pl_env.InvalidValue) as caught:
        dataclasses.replace(small_set(), **changes)
    assert str(caught.value).startswith(message)


def test_more_than_fits_into_memory(monkeypatch):
    monkeypatch.setattr(benchmark_module, "_MOST_INSTANCES", 2)
    with pytest.raises(pl_env.InvalidValue, match=r"len\(instances\) is 3; it must be an integer from 0 to 2"):
        small_set()
    monkeypatch.setattr(benchmark_module, "_MOST_INSTANCES", 3)
    monkeypatch.setattr(benchmark_module, "_MOST_TABLE_BYTES", 100)
    with pytest.raises(pl_env.InvalidValue, match="bytes of all tables is"):
        small_set()


def test_repr_is_one_short_line():
    assert repr(small_set()) == "<BenchmarkSet 'small': 3 instances, 2 certified optima>"
