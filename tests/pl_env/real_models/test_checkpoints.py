"""Files of tensors: read as the safetensors library reads them, hashed by content, refused where anything is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import pl_env
from pl_env.real_models import checkpoints
from pl_env.real_models.checkpoints import checkpoint_files, read_checkpoint
from tests import helpers

TENSORS = {
    "a.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "a.bias": torch.zeros(4),
    "count": torch.tensor(7),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "flags": torch.tensor([True, False]),
    "empty": torch.zeros((0, 3)),
}


@pytest.fixture
def path(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"architecture": "toy"})
    return tmp_path / "model.safetensors"


def write(path: Path, header: object, data: bytes = b"") -> Path:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(pl_env.FileFormatError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tensors_are_where_the_library_of_safetensors_finds_them(path):
    checkpoint = read_checkpoint(path)
    assert (checkpoint.name, checkpoint.metadata) == ("model", {"architecture": "toy"})
    content = path.read_bytes()
    with safe_open(path, "pt") as reference:
        assert {tensor.name for tensor in checkpoint.tensors} == set(reference.keys())
        for tensor in checkpoint.tensors:
            expected = reference.get_tensor(tensor.name)
            raw = content[tensor.offset : tensor.offset + tensor.n_bytes]
            assert raw == expected.reshape(-1).view(torch.uint8).numpy().tobytes()
            assert tensor.shape == tuple(expected.shape)
            assert getattr(torch, checkpoints.TORCH_DTYPES[tensor.dtype]) == expected.dtype
            assert tensor.content == hashlib.sha256(f"{tensor.dtype} {tensor.shape}".encode() + raw).hexdigest()


def test_pytorch_files_have_the_same_content_hashes(path, tmp_path):
    expected = {tensor.name: tensor.content for tensor in read_checkpoint(path).tensors}
    for n, saved in enumerate((TENSORS, {"state_dict": TENSORS, "epoch": 3}, {"model": TENSORS})):
        torch.save(saved, tmp_path / f"{n}.pt")
        assert {tensor.name: tensor.content for tensor in read_checkpoint(tmp_path / f"{n}.pt").tensors} == expected


def test_strided_tensors_of_a_pytorch_file_count_as_what_they_show(tmp_path):
    torch.save({"w": torch.arange(12.0).reshape(3, 4).T}, tmp_path / "view.pth")
    save_file({"w": torch.arange(12.0).reshape(3, 4).T.contiguous()}, tmp_path / "plain.safetensors")
    view, plain = (read_checkpoint(tmp_path / name).tensors[0] for name in ("view.pth", "plain.safetensors"))
    assert (view.content, view.shape) == (plain.content, plain.shape)


def test_the_hash_sees_dtype_shape_and_bytes(tmp_path):
    variants = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32), torch.tensor([0, 0, 0, 1.0])]
    hashes = set()
    for n, tensor in enumerate([*variants, torch.zeros(4)]):
        save_file({"x": tensor}, tmp_path / f"{n}.safetensors")
        hashes.add(read_checkpoint(tmp_path / f"{n}.safetensors").tensors[0].content)
    assert len(hashes) == len(variants)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_large_file_needs_little_memory(tmp_path, suffix):
    """Half a gigabyte with less than 48 MB; pages of a mapped file are not memory of the process."""
    path = tmp_path / f"large{suffix}"
    if suffix == ".pt":
        torch.save({"x": torch.zeros(1 << 27)}, path)
    else:
        write(path, {"x": entry(shape=(1 << 27,), offsets=(0, 1 << 29))})
        os.truncate(path, path.stat().st_size + (1 << 29))
    code = f"""
import re, sys, threading, time
from pathlib import Path
from pl_env.real_models.checkpoints import read_checkpoint
if {suffix!r} == ".pt":
    import torch
def memory():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
before, peaks, done = memory(), [], False
def watch():
    while not done:
        peaks.append(memory())
        time.sleep(0.005)
watcher = threading.Thread(target=watch)
watcher.start()
(tensor,) = read_checkpoint(Path({str(path)!r})).tensors
done = True
watcher.join()
assert tensor.n_bytes == 1 << 29
assert len(peaks) > 5
assert max(peaks) - before < 48e6, max(peaks) - before
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    helpers.run_python(code)


# ---------------------------------------------------------------- refused


def test_every_truncation_is_refused(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(pl_env.FileFormatError, match=r"truncated|damaged"):
            read_checkpoint(path)
    path.write_bytes(content + b"\0")
    assert_refused(path, "truncated or damaged")


def test_flipped_bits_of_the_header_are_refused_or_other_tensors(path):
    """Never another exception."""
    content = path.read_bytes()
    header_bytes = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for position in range(header_bytes):
        damaged = bytearray(content)
        damaged[position] ^= 1 << (position % 7)
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
        except pl_env.FileFormatError:
            refused += 1
    assert refused > header_bytes / 2


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"hello", "header: Expecting value"),
        (b"[1]", "not a JSON object"),
        (b"[" * 50_000, "not a safetensors file, or damaged"),
        (b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{}}', "a name stands there twice"),
        ({"x": 3}, "tensor 'x' has no proper dtype, shape and place"),
        ({"x": {"dtype": "F32", "shape": [2]}}, "tensor 'x' has no proper dtype, shape and place"),
        ({"x": entry(offsets=(0, 8, 9))}, "tensor 'x' has no proper dtype, shape and place"),
        ({"x": entry(dtype="F4")}, "tensor 'x' has dtype 'F4'; known are BOOL, "),
        ({"x": entry(dtype=["F32"])}, "tensor 'x' has no proper dtype, shape and place"),
        ({"x": entry(shape=(3,))}, "the place of tensor 'x' does not agree with its shape"),
        ({"x": entry(shape=(-2,), offsets=(8, 0))}, "the place of tensor 'x' does not agree with its shape"),
        ({"x": entry(shape=(2.0,))}, "the place of tensor 'x' does not agree with its shape"),
        ({"x": entry(), "y": entry()}, "tensor 'y' does not begin where the one before it ends"),
        ({"x": entry(offsets=(4, 12))}, "tensor 'x' does not begin where the one before it ends"),
        ({"x": entry(shape=(4,), offsets=(0, 16))}, "16 bytes of tensors are due, 8 there"),
        ({"__metadata__": {"a": 3}, "x": entry()}, "its metadata is not text by key"),
        ({"__metadata__": []}, "its metadata is not text by key"),
    ],
)
def test_damaged_headers(tmp_path, header, message):
    assert_refused(write(tmp_path / "x.safetensors", header, bytes(8)), message)


def test_a_model_with_no_parameters(tmp_path):
    assert_refused(write(tmp_path / "none.safetensors", {}), "a model with no parameters")
    save_file({"x": torch.zeros((0, 2))}, tmp_path / "empty.safetensors")
    assert_refused(tmp_path / "empty.safetensors", "a model with no parameters")
    torch.save({}, tmp_path / "none.pt")
    assert_refused(tmp_path / "none.pt", "a model with no parameters")


class Malicious:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path):
    torch.save({"x": torch.zeros(3), "y": Malicious(tmp_path / "ran")}, tmp_path / "evil.pt")
    assert_refused(tmp_path / "evil.pt", "refused, it holds more than tensors and could run code")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PyTorch file of zip format, or damaged"),
        (b"hello", "not a PyTorch file of zip format, or damaged"),
        ([torch.zeros(2)], "holds no state dict"),
        ({3: torch.zeros(2)}, "holds no state dict"),
        ({"x": 3.0}, "'x' is not a dense tensor of a known dtype"),
        ({"x": torch.zeros(2, dtype=torch.complex128)}, "'x' is not a dense tensor of a known dtype"),
        ({"x": torch.eye(2).to_sparse()}, "'x' is not a dense tensor of a known dtype"),
    ],
)
def test_pytorch_files_that_are_no_state_dicts(tmp_path, content, message):
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    assert_refused(path, message)


def test_truncated_pytorch_files(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(TENSORS, path)
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        assert_refused(path, "")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_that_changes_meanwhile_is_refused(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".pt":
        torch.save(TENSORS, path)
    else:
        save_file(TENSORS, path)
    digest = checkpoints._digest

    def touching(*arguments):
        os.utime(path, ns=(1, 1))
        return digest(*arguments)

    monkeypatch.setattr(checkpoints, "_digest", touching)
    assert_refused(path, "changed while it was read")


def test_a_file_that_shrinks_meanwhile_is_refused(path, monkeypatch):
    header = checkpoints._check_header

    def shrinking(*arguments):
        os.truncate(path, path.stat().st_size - 4)
        return header(*arguments)

    monkeypatch.setattr(checkpoints, "_check_header", shrinking)
    assert_refused(path, "changed while it was read")


def test_missing_files_folders_and_other_kinds(tmp_path):
    assert_refused(tmp_path / "no.safetensors", "cannot be read (No such file or directory)")
    (tmp_path / "folder.safetensors").mkdir()
    assert_refused(tmp_path / "folder.safetensors", "cannot be read (Is a directory)")
    assert_refused(tmp_path / "weights.bin", "not a checkpoint; known are .safetensors, .pt, .pth")


def test_without_torch_a_pytorch_file_names_the_extra(tmp_path, monkeypatch):
    torch.save(TENSORS, tmp_path / "x.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(pl_env.PlEnvError, match=r"this needs torch; install it with: pip install 'pl-env\[agents\]'"):
        read_checkpoint(tmp_path / "x.pt")


# ---------------------------------------------------------------- which files


def test_files_and_folders_of_files(tmp_path):
    for name in ("b.safetensors", "a.pt", "c.pth", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in checkpoint_files((tmp_path,))] == ["a.pt", "b.safetensors", "c.pth"]
    chosen = (tmp_path / "c.pth", tmp_path / "a.pt")
    assert checkpoint_files(chosen) == chosen


def test_two_files_of_one_name(tmp_path):
    (tmp_path / "a.pt").touch()
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(pl_env.InvalidValue, match=r"two files are named 'a': .*a.pt and .*a.safetensors"):
        checkpoint_files((tmp_path,))


def test_no_files(tmp_path):
    with pytest.raises(pl_env.InvalidValue, match=r"there is no checkpoint \(.safetensors, .pt, .pth\) in"):
        checkpoint_files((tmp_path,))
    with pytest.raises(pl_env.InvalidValue, match="in nothing"):
        checkpoint_files(())
