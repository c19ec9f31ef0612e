"""Instances: frozen, validated, stored whole."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle

import numpy as np
import pytest

import pl_env
from pl_env.files import save_arrays
from pl_env.times import LONGEST_UPLOAD_NS
from tests import helpers

ARRAYS = ("requested_model", "upload_ns", "mean_snr", "has_block", "block_bytes", "block_load_ns", "load_ns",
          "compute_ns_per_sample", "compute_ns_per_batch", "max_batch")  # fmt: skip


@pytest.fixture(scope="module")
def instance() -> pl_env.Instance:
    return pl_env.Scenario.preset("tiny", n_users=6, fading="batch").sample(np.random.default_rng(0))


def test_shapes_and_types_of_the_public_names(instance):
    n_users, n_models, n_blocks = 6, 3, 4
    assert (instance.n_users, instance.n_models, instance.n_blocks) == (n_users, n_models, n_blocks)
    shapes = [(n_users,)] * 3 + [(n_models, n_blocks), (n_blocks,), (n_blocks,), (n_models + 1, n_models)]
    shapes += [(n_models,)] * 3
    assert [getattr(instance, name).shape for name in ARRAYS] == shapes
    for name in ARRAYS:
        expected = {"mean_snr": np.float64, "has_block": np.bool_}.get(name, np.int64)
        assert getattr(instance, name).dtype == expected
    assert instance.load_overhead_ns == 0


@pytest.mark.parametrize(
    "of", [lambda i: i, copy.deepcopy, lambda i: pickle.loads(pickle.dumps(i)), dataclasses.replace]
)
def test_arrays_are_read_only(instance, of):
    """Copies and unpickled ones, too; NumPy itself forgets the flag there."""
    same = of(instance)
    assert same == instance
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(same, name)[:1] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        same.deadline_ns = 3


def test_arrays_are_no_one_elses(instance):
    uploads = np.array([1, 2], dtype=np.int64)
    mine = pl_env.Instance(table=instance.table, requested_model=[0, 1], upload_ns=uploads, deadline_ns=5)
    uploads[0] = 9
    assert mine.upload_ns.tolist() == [1, 2]
    assert mine.mean_snr.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": None}, "table is None; it must be a ServingTable"),
        ({"requested_model": [0, 3]}, "max(requested_model) is 3; it must be an integer from 0 to 2"),
        ({"requested_model": [-1, 0]}, "min(requested_model) is -1; it must be an integer from 0 to 2"),
        ({"requested_model": [0, 0.5]}, "requested_model is 'array of float64'; it must be exactly representable"),
        ({"requested_model": [[0], [1, 2]]}, "requested_model cannot be read as an array of int64"),
        ({"requested_model": None}, "requested_model cannot be read as an array of int64"),
        ({"requested_model": 1}, "requested_model.shape is (); it must be of 1 dimension"),
        ({"upload_ns": [1]}, "upload_ns.shape is (1,); it must be (2,), one per user"),
        ({"upload_ns": [1, -1]}, "min(upload_ns) is -1; it must be an integer from 0 to 100000000000000"),
        ({"upload_ns": [1, LONGEST_UPLOAD_NS + 1]}, "max(upload_ns) is 100000000000001; it must be an integer from 0"),
        ({"deadline_ns": -1}, "deadline_ns is -1; it must be an integer from 0 to 3600000000000"),
        ({"deadline_ns": 1e9}, "deadline_ns is 1000000000.0; it must be an integer from 0 to 3600000000000"),
        ({"slot_ns": 0}, "slot_ns is 0; it must be an integer from 1 to 3600000000000"),
        ({"resident": 3}, "resident is 3; it must be an integer from -1 to 2"),
        ({"resident": -2}, "resident is -2; it must be an integer from -1 to 2"),
        ({"fading": "rayleigh"}, "fading is 'rayleigh'; it must be one of 'episode', 'batch'"),
        ({"mean_snr": [1.0]}, "mean_snr.shape is (1,); it must be (2,), one per user"),
        ({"mean_snr": [1.0, -1.0]}, "min(mean_snr) is -1.0; it must be a finite number at least 0"),
        ({"mean_snr": [1.0, float("nan")]}, "min(mean_snr) is nan; it must be a finite number at least 0"),
        ({"mean_snr": [1.0, float("inf")]}, "max(mean_snr) is inf; it must be a finite number at least 0"),
        ({"unit_upload_ns": -1.0}, "unit_upload_ns is -1.0; it must be a finite number at least 0"),
        ({"fading": "batch"}, "mean_snr and unit_upload_ns is 'unknown'; it must be above 0 where fading is 'batch'"),
    ],
)
def test_fields_out_of_range(instance, changes, message):
    good = {"table": instance.table, "requested_model": [0, 1], "upload_ns": [1, 2], "deadline_ns": 5}
    pl_env.Instance(**good)
    with pytest.raises(pl_env.InvalidValue) as caught:
        pl_env.Instance(**(good | changes))
    assert str(caught.value).startswith(message)


def test_every_field_is_covered_above():
    fields = {field.name for field in dataclasses.fields(pl_env.Instance)}
    cases = next(mark for mark in test_fields_out_of_range.pytestmark if mark.name == "parametrize").args[1]
    assert {name for changes, _ in cases for name in changes} == fields


def test_the_hash_changes_with_anything(instance):
    table_changes = [
        {"has_block": ~instance.has_block},
        {"block_bytes": instance.block_bytes + 1},
        {"block_load_ns": instance.block_load_ns + 1},
        {"compute_ns_per_sample": instance.compute_ns_per_sample + 1},
        {"compute_ns_per_batch": instance.compute_ns_per_batch + 1},
        {"max_batch": instance.max_batch + 1},
        {"load_overhead_ns": 1},
        {"affine": False, "load_ns": instance.load_ns},
        {"affine": False, "load_ns": instance.load_ns * 2},
    ]
    changes = [
        {"requested_model": (instance.requested_model + 1) % 3},
        {"upload_ns": instance.upload_ns + 1},
        {"mean_snr": instance.mean_snr * 1.0000001},
        {"deadline_ns": 1},
        {"slot_ns": 1},
        {"resident": 0},
        {"fading": "episode"},
        {"unit_upload_ns": instance.unit_upload_ns + 1},
    ]
    assert {name for change in table_changes for name in change} == {
        f.name for f in dataclasses.fields(pl_env.ServingTable)
    }
    assert {name for change in changes for name in change} | {"table"} == {
        f.name for f in dataclasses.fields(pl_env.Instance)
    }
    others = [helpers.changed(instance, **change) for change in changes]
    others += [helpers.changed(instance, table=change) for change in table_changes]
    hashes = {other.content_hash() for other in others}
    assert len(hashes | {instance.content_hash()}) == len(others) + 1
    assert hash(instance) == hash(copy.deepcopy(instance))
    assert instance != "something else"


@pytest.mark.parametrize("name", pl_env.Scenario.presets())
def test_save_and_load(tmp_path, name):
    original = pl_env.Scenario.preset(name).sample(np.random.default_rng(1))
    original.save(tmp_path / "instance.npz")
    loaded = pl_env.Instance.load(tmp_path / "instance.npz")
    assert loaded == original
    assert (loaded.deadline_ns, loaded.slot_ns, loaded.fading) == (original.deadline_ns, 10_000_000, original.fading)
    assert all(np.array_equal(getattr(loaded, name), getattr(original, name)) for name in ARRAYS)


def test_save_and_load_of_a_measured_table_and_of_nobody(tmp_path, instance):
    measured = helpers.changed(instance, table={"affine": False, "load_ns": instance.load_ns * 2}, resident=1)
    nobody = helpers.changed(instance, requested_model=[], upload_ns=[], mean_snr=[])
    for original in (measured, nobody):
        original.save(tmp_path / "instance.npz")
        assert pl_env.Instance.load(tmp_path / "instance.npz") == original


def test_bad_files_are_refused_with_their_path(tmp_path, instance):
    path = tmp_path / "instance.npz"
    instance.save(path)
    content = path.read_bytes()
    with np.load(path) as archive:
        entries = dict(archive)

    def truncated():
        path.write_bytes(content[: len(content) // 2])

    def foreign():
        path.write_bytes(b"model,users\n1,2\n")

    def missing():
        path.unlink()

    def other_kind():
        pl_env.Scenario.preset("tiny").library.save(path)

    def tampered():
        np.savez(path, **(entries | {"upload_ns": entries["upload_ns"] * 0}))

    def impossible():
        header, arrays = instance._stored()
        save_arrays(path, "instance", header | {"deadline_ns": -5}, arrays)

    def incomplete():
        header, arrays = instance._stored()
        save_arrays(path, "instance", header, {k: v for k, v in arrays.items() if k != "upload_ns"})

    def with_another_field():
        header, arrays = instance._stored()
        save_arrays(path, "instance", header | {"weather": "fine"}, arrays)

    for damage in (truncated, foreign, missing, other_kind, tampered, impossible, incomplete, with_another_field):
        damage()
        with pytest.raises(pl_env.FileFormatError) as caught:
            pl_env.Instance.load(path)
        assert str(caught.value).startswith(f"{path}: "), damage
        path.write_bytes(content)
        assert pl_env.Instance.load(path) == instance


def test_a_failing_write_leaves_the_old_file(tmp_path, instance, monkeypatch):
    path = tmp_path / "instance.npz"
    instance.save(path)

    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        helpers.changed(instance, deadline_ns=1).save(path)
    assert pl_env.Instance.load(path) == instance
    assert os.listdir(tmp_path) == ["instance.npz"]


def test_remaining_by_hand(instance):
    """Users 1, 3 and 4 are left after 30 ms, model 2 is resident."""
    uploads = np.arange(6) * 1000
    rest = instance.remaining(np.array([1, 3, 4]), uploads, 2, 30_000_000)
    assert rest.requested_model.tolist() == instance.requested_model[[1, 3, 4]].tolist()
    assert rest.upload_ns.tolist() == [1000, 3000, 4000]
    assert rest.mean_snr.tolist() == instance.mean_snr[[1, 3, 4]].tolist()
    assert (rest.deadline_ns, rest.resident) == (instance.deadline_ns - 30_000_000, 2)
    assert rest.table is instance.table
    kept = ("slot_ns", "fading", "unit_upload_ns")
    assert [getattr(rest, name) for name in kept] == [getattr(instance, name) for name in kept]


def test_repr_is_one_short_line(instance):
    assert repr(instance) == "<Instance: 6 users, 3 models of 4 blocks, deadline 180 ms>"
