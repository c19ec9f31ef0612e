"""Files made to do harm: each is one short sentence, and takes no more memory than a file of its size may."""

from __future__ import annotations

import bz2
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import pl_env
from pl_env.files import content_hash
from pl_env.partial_loading.benchmark import BenchmarkSet
from pl_env.partial_loading.server import load_measurement
from tests import hostile
from tests.pl_env.partial_loading.test_benchmark import small_set

if not Path("/proc/self/statm").exists():
    pytest.skip("memory is read from /proc", allow_module_level=True)


def tiny_instance() -> pl_env.Instance:
    return pl_env.Scenario.preset("tiny").sample(np.random.default_rng(0))


OBJECTS = {
    "ModelLibrary": lambda: pl_env.Scenario.preset("tiny").library,
    "Instance": tiny_instance,
    "BenchmarkSet": small_set,
}


def damaged(folder: Path) -> list[Path]:
    """Archives that are wrong whatever they hold."""
    library = pl_env.Scenario.preset("tiny").library
    kind, (content, arrays) = library.KIND, library._stored()
    good = [(name, hostile.npy(array)) for name, array in arrays.items()]
    head = ("header", hostile.header(kind, content, arrays))
    name, array = "block_bytes", hostile.npy(arrays["block_bytes"])
    bomb = 640 << 20

    def with_array(file: str, part: bytes | hostile.Member) -> Path:
        return hostile.archive(folder / f"{file}.npz", [head, good[0], (name, part)])

    def with_header(file: str, part: bytes | hostile.Member) -> Path:
        return hostile.archive(folder / f"{file}.npz", [("header", part), *good])

    def with_text(file: str, text: bytes) -> Path:
        return with_header(file, hostile.npy(np.frombuffer(text, dtype=np.uint8)))

    def with_json(file: str, **changes: object) -> Path:
        full = {"format": kind, "version": 1, "hash": "", "content": {}} | changes
        return with_text(file, json.dumps(full).encode())

    def described(file: str, descr: str, shape: str = "4,", n_bytes: int = 32) -> Path:
        text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': ({shape}), }}"
        return with_array(file, hostile.npy_header(text) + bytes(n_bytes))

    return [
        with_array("bomb", hostile.zeros(bomb)),
        with_array("bomb-of-another-size", hostile.zeros(bomb, size=1000)),
        with_array("bomb-of-another-shape", hostile.zeros(bomb, shape=1000)),
        with_array("bomb-that-lies", hostile.zeros(bomb, shape=1000, size=1000)),
        with_header("bomb-header", hostile.zeros(bomb)),
        hostile.archive(folder / "bomb-besides.npz", [head, *good, ("more", hostile.zeros(bomb))]),
        hostile.archive(folder / "bombs.npz", [head, *good, *((f"a{n}", hostile.zeros(60 << 20)) for n in range(12))]),
        with_array("bzip2", hostile.Member(bz2.compress(bytes(bomb)), zipfile.ZIP_BZIP2, 1000)),
        with_array("lzma", hostile.Member(array, zipfile.ZIP_LZMA)),
        with_array("no-method", hostile.Member(array, 77)),
        with_array("encrypted", hostile.Member(array, flags=1)),
        with_array("not-deflated", hostile.Member(array, zipfile.ZIP_DEFLATED)),
        with_array("ends-early", array[:-1]),
        with_array("goes-on", array + b"0"),
        described("claims-much", "'<i8'", "999999999999,"),
        described("claims-too-much", "'<i8'", "9999999999999999999, 9999999999999999999"),
        described("claims-dimensions", "'<i8'", "1, " * 999),
        described("claims-wide-numbers", "'<i9999999'"),
        described("records", "[('a', '<i8')]"),
        described("no-number", "'<i3'", n_bytes=12),
        described("no-python", "\0\0(((("),
        with_array("deep-header", hostile.npy_header("(" * 60_000)),
        with_array("objects", hostile.npy(np.array([{}, None], dtype=object))),
        with_array("text", hostile.npy(np.array(["a", "b"]))),
        with_array("complex", hostile.npy(np.array([1j]))),
        with_array("npy-2", array.replace(b"NUMPY\1", b"NUMPY\2")),
        with_array("nothing-there", b""),
        with_text("deep", hostile.DEEP),
        with_text("deep-and-closed", b'{"format":' + hostile.DEEP + b"]" * len(hostile.DEEP) + b"}"),
        with_text("wide", b'{"format":[' + b'{"":[]},' * ((7 << 20) // 8) + b"0]}"),
        with_text("long", b'{"format":"' + b"x" * (9 << 20) + b'"}'),
        with_text("no-object", b"[1, 2]"),
        with_text("nothing", b""),
        with_json("long-kind", format="\x1b[2J" * 9000),
        with_json("half-a-character", format="\ud800"),
        with_json("long-version", version=[7] * 999),
        with_json("digits", version=10**4000),
        with_json("no-content", content=None),
        with_json("no-hash", hash=None),
        hostile.long_contents(folder / "contents.npz", 400_000),
        hostile.archive(folder / "twice.npz", [head, *good, good[0]]),
        hostile.archive(folder / "no-header.npz", good),
        hostile.archive(folder / "no-members.npz", []),
    ]


def forged(folder: Path, kind: str, content: dict, arrays: dict[str, np.ndarray]) -> list[Path]:
    """Files with the right hash, in which every part is once something else."""
    changed = {
        "content-null": (None, arrays),
        "content-list": ([1], arrays),
        "content-text": ("x", arrays),
        "content-empty": ({}, arrays),
        "no-arrays": (content, {}),
    }
    for name in content:
        for what, value in (("null", None), ("digits", 10**400), ("text", ["\x1b\n" * 3000])):
            changed[f"{what}-{name}"] = (content | {name: value}, arrays)
    for name, array in arrays.items():
        changed[f"cube-{name}"] = (content, arrays | {name: np.zeros((2, 2, 2))})
        changed[f"nan-{name}"] = (content, arrays | {name: np.full(array.shape or 1, np.nan)})
    return [hostile.forged(folder / f"{name}.npz", kind, *parts) for name, parts in changed.items()]


def forged_library(folder: Path) -> list[Path]:
    kind, names = "model-library", {"architectures": ["a"], "model_names": []}
    none, huge = np.zeros(0, np.int64), np.array([2**62, 2**62])
    return [
        hostile.forged(
            folder / "nobody.npz", kind, names, {"has_block": np.zeros((10**18, 0), bool), "block_bytes": none}
        ),
        hostile.forged(folder / "bytes.npz", kind, names, {"has_block": np.ones((1, 2), bool), "block_bytes": huge}),
    ]


def forged_instance(folder: Path) -> list[Path]:
    """200,000 models without blocks, and no loading times: to derive them would take 320 GB."""
    header, arrays = tiny_instance()._stored()
    many = 200_000
    arrays = arrays | {"has_block": np.zeros((many, 0), bool)}
    arrays |= {name: np.zeros(0, np.int64) for name in ("block_bytes", "block_load_ns")}
    arrays |= {
        name: np.zeros(many, np.int64) for name in ("compute_ns_per_sample", "compute_ns_per_batch", "max_batch")
    }
    without = {name: array for name, array in arrays.items() if name != "load_ns"}
    return [
        hostile.forged(folder / "no-loads.npz", "instance", header, without),
        hostile.forged(folder / "few-loads.npz", "instance", header, arrays),
    ]


def forged_set(folder: Path) -> list[Path]:
    header, arrays = small_set()._stored()
    many, n = 20_000, 1_000_000
    lists = {name: [0] * n for name in ("load_overhead_ns", "deadline_ns", "slot_ns", "resident")}
    paths = []
    for name, changes in {
        "many-models": {"n_models": np.array([many, 4, 4])},
        "models-2-62": {"n_models": np.array([2**62, 4, 4])},
        "blocks-2-62": {"n_blocks": np.array([2**62, 4, 4])},
        "cells-2-62": {"n_models": np.full(3, 2**31), "n_blocks": np.full(3, 2**31)},
        "users-2-62": {"n_users": np.array([2**62, 4, 4])},
        "fewer-than-none": {"n_models": np.array([-1, 4, 4])},
        "fractions": {"n_models": np.array([1.5, 4, 4])},
        "short-bits": {"has_block": arrays["has_block"][:-1]},
        "long-bits": {"has_block": np.append(arrays["has_block"], np.uint8(0))},
        "negative-counts": {"run_counts": -arrays["run_counts"]},
        "counts-2-62": {"run_counts": np.full_like(arrays["run_counts"], 2**62)},
        "bound-below": {"upper_bound": np.array([0, 3, 0])},
        "bound-negative": {"upper_bound": np.array([2, 3, -1])},
        "bound-above": {"upper_bound": np.array([2, 3, 99])},
        "models-out-of-range": {"run_models": np.array([0, 1, 4])},
    }.items():
        paths.append(hostile.forged(folder / f"{name}.npz", "benchmark-set", header, arrays | changes))
    sizes = {name: np.zeros(n, np.int64) for name in ("n_users", "n_models", "n_blocks")}
    paths.append(hostile.forged(folder / "instances.npz", "benchmark-set", header | lists, arrays | sizes))
    for n, scenario in enumerate((None, [], "bls", 3, {}, {"library": None, "server": None})):
        paths.append(
            hostile.forged(folder / f"scenario-{n}.npz", "benchmark-set", header | {"scenario": scenario}, arrays)
        )
    for n, change in enumerate(({"name": 3}, {"name": None}, {"seed": "x"}, {"seed": -1}, {"made_by": [1]})):
        paths.append(hostile.forged(folder / f"type-{n}.npz", "benchmark-set", header | change, arrays))
    return paths


FORGED = {"ModelLibrary": forged_library, "Instance": forged_instance, "BenchmarkSet": forged_set}


def assert_all_harmless(paths: list[Path], name: str) -> None:
    imports = "from pl_env import *; from pl_env.partial_loading.benchmark import BenchmarkSet"
    found = hostile.load_each(paths, f"{name}.load(path)", imports, "Scenario.preset('tiny').table")
    for path in paths:
        hostile.assert_harmless(path, *found[path.name])


def test_damaged_archives(tmp_path):
    assert_all_harmless(damaged(tmp_path), "ModelLibrary")


@pytest.mark.parametrize("name", OBJECTS)
def test_forged_archives(tmp_path, name):
    stored = OBJECTS[name]()
    paths = forged(tmp_path, stored.KIND, *stored._stored()) + FORGED[name](tmp_path)
    harmless = {"digits-seed.npz"}  # an integer of any size is a seed
    assert_all_harmless([path for path in paths if path.name not in harmless], name)


def test_json_of_servers(tmp_path):
    """In the place of the server, of its number, of its profiles and of the whole."""
    server = json.dumps({"format": "edge-server", "version": 1, "server": {"profiles": []}})
    around = {
        "whole": ("", ""),
        "server": ('{"format": "edge-server", "version": 1, "server": ', "}"),
        "number": (server[:-2] + ', "disk_bytes_per_second": ', "}}"),
        "memory": (server[:-2] + ', "memory_bytes": ', "}}"),
        "profiles": ('{"format": "edge-server", "version": 1, "server": {"profiles": ', "}}"),
        "version": ('{"format": "edge-server", "server": {"profiles": []}, "version": ', "}"),
    }
    paths = []
    for name, (prefix, suffix) in around.items():
        (tmp_path / name).mkdir()
        paths += hostile.json_files(tmp_path / name, prefix, suffix, large=name == "server")
    found = hostile.load_each(paths, "pl_env.EdgeServer.load(path)")
    for path in paths:
        hostile.assert_harmless(path, *found[path.name])
    imports = "from pl_env.partial_loading.server import load_measurement"
    paths = hostile.json_files(tmp_path, '{"format": "edge-server", "version": 1, "measurement": ', "}", large=True)
    found = hostile.load_each(paths, "load_measurement(path)", imports)
    for path in paths:
        text, taken = found[path.name]
        assert taken < 512 << 20
        if text != "accepted":
            hostile.assert_harmless(path, text, taken)


@pytest.mark.parametrize("load", [pl_env.ModelLibrary.load, pl_env.Instance.load, BenchmarkSet.load,
                                  pl_env.EdgeServer.load, load_measurement])  # fmt: skip
def test_names_that_no_file_has(tmp_path, load):
    for name in ("x" * 300, "nul\0.npz", "folder/x"):
        with pytest.raises(pl_env.FileFormatError):
            load(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(pl_env.FileFormatError):
        load(tmp_path / "folder")


@pytest.mark.parametrize("name", OBJECTS)
def test_random_damage_is_refused_or_harmless(tmp_path, name):
    stored = OBJECTS[name]()
    path = tmp_path / "damaged.npz"
    stored.save(path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(150):
        damaged = bytearray(content)
        begin = int(rng.integers(len(content)))
        length = int(rng.choice([1, 2, 8, 64]))
        damaged[begin : begin + length] = rng.bytes(int(rng.choice([0, length])))
        path.write_bytes(damaged)
        try:
            assert content_hash(*type(stored).load(path)._stored()) == stored.content_hash()
        except pl_env.FileFormatError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(len(message) < 300 and message.isprintable() for message in messages)


def test_what_compresses_too_well_to_be_believed_is_written_plain(tmp_path):
    """80 MB of zeros, which would be 80 kB: what `save` writes, `load` reads."""
    library = pl_env.ModelLibrary(np.zeros((4000, 20_000), bool), np.zeros(20_000), ("a",) * 4000)
    library.save(tmp_path / "library.npz")
    assert pl_env.ModelLibrary.load(tmp_path / "library.npz") == library
    too_many = pl_env.ModelLibrary(np.zeros((3, 0), bool), np.zeros(0), ("a" * (3 << 20),) * 3)
    with pytest.raises(pl_env.InvalidValue, match="bytes of the header is 9"):
        too_many.save(tmp_path / "long.npz")
    assert not (tmp_path / "long.npz").exists()
