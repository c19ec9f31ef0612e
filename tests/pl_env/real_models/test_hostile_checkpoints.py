"""Checkpoints made to do harm: each is one short sentence, and takes no more memory than a file of its size may."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import pl_env
from pl_env.real_models.checkpoints import checkpoint_files, read_checkpoint
from pl_env.real_models.scanning import scan
from tests import hostile

if not Path("/proc/self/statm").exists():
    pytest.skip("memory is read from /proc", allow_module_level=True)

IMPORTS = """
from pathlib import Path
from pl_env.real_models.checkpoints import read_checkpoint
import torch
torch.load  # nothing of it is imported later
"""
TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


class Call:
    """Calls a function where it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def safetensors_files(folder: Path) -> list[Path]:
    entry = json.dumps(TENSOR).encode()
    headers = {
        "deep": hostile.DEEP,
        "deep-value": b'{"x":' + hostile.DEEP,
        "wide": b'{"x":[' + b'{"":[]},' * ((7 << 20) // 8) + b"0]}",
        "many": b"{" + b",".join(b'"%d":%s' % (n, entry.replace(b"[2]", b"[0]").replace(b"8", b"0"))
                                  for n in range(100_000)) + b"}",
        "long": b'{"x":"' + b"x" * (12 << 20) + b'"}',
        "digits-400": b'{"x":' + entry.replace(b"[2]", b"[" + hostile.MANY_DIGITS + b"]") + b"}",
        "digits-5000": b'{"x":' + entry.replace(b"[2]", b"[" + hostile.MANY_DIGITS * 13 + b"]") + b"}",
        "dimensions": b'{"x":' + entry.replace(b"[2]", b"[" + b"4611686018427387904," * 100_000 + b"2]") + b"}",
        "nan": b'{"x":' + entry.replace(b"[2]", b"[NaN]") + b"}",
        "half-a-name": b'{"\\ud800":' + entry + b"}",
        "half-an-architecture": b'{"__metadata__":{"architecture":"\\udfff"},"x":' + entry + b"}",
        "half-a-key": b'{"__metadata__":{"\\ud800":""},"x":' + entry + b"}",
        "long-name": b'{"' + b"\\u001b[2J" * 9000 + b'":3}',
        "long-dtype": b'{"x":' + entry.replace(b"F32", b"\\u001b[2J" * 9000) + b"}",
        "no-utf-8": b'{"\xff\xfe":' + entry + b"}",
        "null": b"null",
    }  # fmt: skip
    paths = []
    for name, header in headers.items():
        paths.append(folder / f"{name}.safetensors")
        paths[-1].write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    paths.append(folder / "length.safetensors")
    paths[-1].write_bytes((2**63).to_bytes(8, "little") + bytes(100))
    paths.append(folder / "zeros.safetensors")
    paths[-1].write_bytes((600 << 20).to_bytes(8, "little"))
    with paths[-1].open("r+b") as file:
        file.truncate(700 << 20)
    return paths


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def zipped(path: Path, pickle: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    """A file of the zip format with any pickle."""
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("x/data.pkl", pickle)
        file.writestr("x/version", "3\n", zipfile.ZIP_STORED)
    return path


def pickled(path: Path, old: bytes, new: bytes) -> Path:
    """A tensor of 777 numbers, with its pickle changed."""
    torch.save({"x": torch.zeros(777)}, path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            assert not name.endswith(".pkl") or old in content
            file.writestr(name, content.replace(old, new) if name.endswith(".pkl") else content)
    return path


def pytorch_files(folder: Path) -> list[Path]:
    many = 10**10
    long = b"\x80\x02" + b"]" * (40 << 20) + b"."
    tensors = {
        "expanded": torch.zeros(1).expand(many),
        "expanded-more": torch.zeros(1).expand(10**12),
        "meta": torch.zeros(3, device="meta"),
        "bytes": Call(bytearray, many),
        "tensor": Call(torch.FloatTensor, many),
        "storage": Call(torch.UntypedStorage, many),
        "tensor-of-storage": Call(torch._utils._rebuild_tensor_v2, Call(torch.UntypedStorage, many), 0, (many,), (1,),
                                  False, None),
    }  # fmt: skip
    with zipfile.ZipFile(folder / "upper-case.pt", "w") as file:
        file.writestr("x/DATA.PKL", long)
        file.writestr("x/data.pkl", b"\x80\x02}.")
    return [
        *(saved(folder / f"{name}.pt", {"x": tensor}) for name, tensor in tensors.items()),
        pickled(folder / "larger-than-its-storage.pt", b"M\x09\x03\x85", b"J\xff\xff\xff\x7f\x85"),
        zipped(folder / "lists.pt", long),
        zipped(folder / "bomb.pt", long, zipfile.ZIP_DEFLATED),
        zipped(folder / "bzip2.pt", long, zipfile.ZIP_BZIP2),
        zipped(folder / "nothing-to-pop.pt", b"\x80\x02\x85R."),
        zipped(folder / "no-end.pt", b"\x80\x02}"),
        zipped(folder / "empty.pt", b""),
        zipped(folder / "opcode.pt", b"\x80\x02\xff."),
        zipped(folder / "persistent.pt", b"\x80\x02K\x01Q."),
        zipped(folder / "number.pt", b"\x80\x02K\x01."),
        zipped(folder / "escape-codes.pt", b"\x80\x02cposix\nsystem\x1b[2J\n."),
        zipped(folder / "half-a-name.pt", b"\x80\x02}X\x03\x00\x00\x00\xed\xa0\x80K\x01s."),
        hostile.long_contents(folder / "contents.pt", 400_000),
        folder / "upper-case.pt",
    ]


@pytest.mark.parametrize("files", [safetensors_files, pytorch_files])
def test_checkpoints(tmp_path, files):
    paths = files(tmp_path)
    found = hostile.load_each(paths, "read_checkpoint(Path(path))", IMPORTS)
    for path in paths:
        hostile.assert_harmless(path, *found[path.name])


def test_an_unsafe_advice_of_torch_is_not_passed_on(tmp_path):
    for path in (saved(tmp_path / "a.pt", {"x": Call(bytearray, 3)}), zipped(tmp_path / "b.pt", b"\x80\x02\x85R.")):
        with pytest.raises(pl_env.FileFormatError) as caught:
            read_checkpoint(path)
        assert "weights_only" not in str(caught.value)
        assert "torch.serialization" not in str(caught.value)


def test_what_is_unusual_and_harmless_is_read(tmp_path):
    """Conjugate and negative views show what they show, small expanded tensors and many other things are no bombs."""
    numbers = torch.complex(torch.arange(3.0), torch.arange(3.0) + 1)
    unusual = {
        "conjugate": numbers.conj(),
        "negative": numbers.clone().conj().imag,
        "expanded": torch.ones(1).expand(10),
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "unsigned": torch.ones(3, dtype=torch.uint16),
        "small": torch.ones(3).to(torch.float8_e5m2),
    }
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))]).state_dict()
    others = {"optimizer": optimizer, "dtype": torch.float16, "set": {1}, "size": torch.Size([3])}
    found = read_checkpoint(saved(tmp_path / "unusual.pt", {"state_dict": unusual, **others}))
    plain = {name: tensor.detach().resolve_conj().resolve_neg().contiguous() for name, tensor in unusual.items()}
    save_file(plain, tmp_path / "plain.safetensors")
    expected = read_checkpoint(tmp_path / "plain.safetensors")
    assert {t.name: t.content for t in found.tensors} == {t.name: t.content for t in expected.tensors}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_random_damage_is_refused_or_other_tensors(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    tensors = {"a": torch.ones(5), "b.c": torch.zeros(2, 3, dtype=torch.int64)}
    torch.save(tensors, path) if suffix == ".pt" else save_file(tensors, path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(400):
        damaged = bytearray(content)
        begin = int(rng.integers(len(content)))
        length = int(rng.choice([1, 2, 8, 64]))
        damaged[begin : begin + length] = rng.bytes(int(rng.choice([0, length])))
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except pl_env.FileFormatError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all(len(message) < 300 and message.isprintable() for message in messages)


@pytest.mark.parametrize("name", ["x" * 300 + ".pt", "nul\0.safetensors", "no/folder.pt", "loop.pt"])
def test_names_that_no_file_has(tmp_path, name):
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    good = tmp_path / "good.safetensors"
    save_file({"x": torch.ones(3)}, good)
    path = tmp_path / name
    for read in (
        lambda: read_checkpoint(path),
        lambda: scan(checkpoint_files((path,))),
        lambda: scan((path,), base=good),
        lambda: scan((good,), base=path),
    ):
        with pytest.raises(pl_env.FileFormatError) as caught:
            read()
        assert len(str(caught.value)) < 300
