"""Files: whole or not at all, and every damaged or foreign one is refused."""

from __future__ import annotations

import errno
import json
import os
import re

import numpy as np
import pytest

import pl_env
from pl_env.files import content_hash, load_arrays, save_arrays, write_atomically

ARRAYS = {"a": np.arange(3), "b": np.array([[True, False]]), "c": np.zeros((0, 2))}
HEADER = {"name": "x", "value": 0.1}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "thing.npz"  # the folder does not exist yet


def save(path, header=HEADER, arrays=ARRAYS, kind="thing"):
    save_arrays(path, kind, header, arrays)
    return path


def assert_refused(path, message):
    with pytest.raises(pl_env.FileFormatError) as caught:
        load_arrays(path, "thing")
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def rewritten(path, **changes):
    """Write the file again with entries of the archive changed, the header's hash kept."""
    with np.load(path) as archive:
        entries = dict(archive)
    np.savez(path, **(entries | changes))


def test_round_trip(path):
    header, arrays = load_arrays(save(path), "thing")
    assert header == HEADER
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_hash_sees_names_types_shapes_bytes_and_header():
    reference = content_hash(HEADER, ARRAYS)
    assert content_hash(dict(reversed(HEADER.items())), dict(reversed(ARRAYS.items()))) == reference
    others = [
        (HEADER | {"value": 0.2}, ARRAYS),
        (HEADER, ARRAYS | {"a": np.array([0, 1, 3])}),
        (HEADER, ARRAYS | {"a": np.arange(3, dtype=np.int32)}),
        (HEADER, ARRAYS | {"a": np.arange(3).reshape(1, 3)}),
        (HEADER, ARRAYS | {"c": np.zeros((0, 3))}),
        (HEADER, {"z" if name == "a" else name: array for name, array in ARRAYS.items()}),
    ]
    assert len({reference, *(content_hash(*other) for other in others)}) == len(others) + 1


def test_missing_file_and_folder(path):
    assert_refused(path, "there is no such file")
    path.mkdir(parents=True)
    assert_refused(path, "not a thing file, or damaged")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x93NUMPY", b'{"format": "thing"}'])
def test_foreign_content(path, content):
    write_atomically(path, content)
    assert_refused(path, "not a thing file, or damaged")


def test_foreign_archives(path):
    path.parent.mkdir()
    np.savez(path, a=np.arange(3))
    assert_refused(path, "not a thing file, or damaged")
    np.savez(path, header=np.frombuffer(json.dumps(["no", "header"]).encode(), dtype=np.uint8))
    assert_refused(path, "not a thing file, or damaged")
    np.savez(path, header=np.array([{"format": "thing"}], dtype=object), allow_pickle=True)
    assert_refused(path, "not a thing file, or damaged")
    np.save(path.with_suffix(".npy"), np.arange(3))
    assert_refused(path.with_suffix(".npy"), "not a thing file, or damaged")


def test_other_kind_and_newer_version(path, monkeypatch):
    assert_refused(save(path, kind="library"), "holds a library, not a thing")
    monkeypatch.setattr("pl_env.files.FORMAT_VERSION", 2)
    save(path)
    monkeypatch.undo()
    assert_refused(path, "format version 2; this release reads version 1")


def test_tampered_content(path):
    rewritten(save(path), a=np.array([0, 1, 7]))
    assert_refused(path, "damaged, its content does not match its hash")
    rewritten(save(path), another=np.arange(2))
    assert_refused(path, "damaged, its content does not match its hash")


def test_every_truncation_is_refused(path):
    content = save(path).read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert_refused(path, "not a thing file, or damaged")


def test_flipped_bits_are_refused_or_harmless(path):
    """One flipped bit in any byte, among them flags that make an entry look encrypted or oddly compressed."""
    content = save(path).read_bytes()
    whole = content_hash(*load_arrays(path, "thing"))
    refused = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 8 if position % 3 else 0)
        path.write_bytes(damaged)
        try:
            assert content_hash(*load_arrays(path, "thing")) == whole
        except pl_env.FileFormatError as error:
            refused += str(error).startswith(f"{path}: ")
    assert refused > len(content) / 3


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(path, monkeypatch, failing):
    before = save(path).read_bytes()

    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="no space left"):
        save(path, HEADER | {"value": 7})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_is_interrupted_leaves_nothing(path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(path)
    assert list(path.parent.iterdir()) == []


def test_others_may_read_the_file_as_the_umask_says(path):
    old = os.umask(0o027)
    try:
        save(path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    target = tmp_path / "file" / "x.json"
    with pytest.raises(OSError, match=re.escape(f"{str(target)!r}")):
        write_atomically(target, b"x")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # says no name

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "x.json", b"x")
    assert caught.value.filename == str(tmp_path / "x.json")
    assert os.listdir(tmp_path) == ["file"]
