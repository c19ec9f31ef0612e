"""Checkpoints on disk: which tensors a file holds, where they are, and a hash of each one's content.

Safetensors files are read here, without torch: a header of JSON, then the tensors' bytes. They are hashed a megabyte at
a time, so a file of any size needs little memory. PyTorch files go through ``torch.load(weights_only=True,
mmap=True)``, which runs no code of the file, once its list of contents says that it holds tensors and little else.
Nothing else is read. A file may be damaged, or made to do harm: no memory is taken that it does not hold itself.
"""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pl_env.errors import FileFormatError, InvalidValue, abbreviated, shown
from pl_env.files import MOST_JSON_BYTES, FileInPieces, parse_json, reason
from pl_env.packages import require_package

PYTORCH_SUFFIXES = (".pt", ".pth")
SUFFIXES = (".safetensors", *PYTORCH_SUFFIXES)

_CHUNK_BYTES = 1 << 20
_MOST_PICKLE_BYTES = 4 << 20  # of a PyTorch file, besides its tensors; its objects can take 90 times as much memory
_MOST_DIMENSIONS = 64
_DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip
_KNOWN_DTYPES = ", ".join(_DTYPE_BYTES)
TORCH_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "F8_E5M2": "float8_e5m2", "F8_E4M3": "float8_e4m3fn", "I16": "int16",
    "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "U32": "uint32", "F32": "float32",
    "F64": "float64", "I64": "int64", "U64": "uint64", "C64": "complex64",
}  # fmt: skip
"""Names of the dtypes in safetensors files, and in torch."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file.

    Attributes:
        name: Name in the state dict.
        dtype: Name of its dtype as in safetensors files, such as "F32".
        shape: Its shape.
        n_bytes: Its size in bytes.
        path: The file.
        offset: Where its bytes begin in the file; -1 in a PyTorch file.
        content: SHA-256 (hex) of dtype, shape and bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_bytes: int
    path: Path
    offset: int
    content: str


@dataclass(frozen=True)
class Checkpoint:
    """One file of a model's tensors.

    Attributes:
        name: Name of the file without folder and suffix.
        path: The file.
        state: What tells whether the file is still the same: inode, size in bytes, and nanosecond of the last change.
        metadata: Free text by key, of a safetensors file.
        tensors: The tensors, in the order in which they lie in the file.
    """

    name: str
    path: Path
    state: tuple[int, int, int]
    metadata: Mapping[str, str]
    tensors: tuple[StoredTensor, ...]


def checkpoint_files(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files among ``paths``, and the checkpoints in the folders among them, by name.

    Raises:
        InvalidValue: Nothing is found, or two files have one name.
        FileFormatError: A folder cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        try:
            inside = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES) if path.is_dir() else [path]
        except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
            raise FileFormatError(f"{path}: cannot be read ({reason(error)})") from None
        files.extend(inside)
    if not files:
        raise InvalidValue(
            f"there is no checkpoint ({', '.join(SUFFIXES)}) in {', '.join(map(str, paths)) or 'nothing'}"
        )
    of_name: dict[str, Path] = {}
    for path in files:
        if path.stem in of_name:
            raise InvalidValue(f"two files are named {path.stem!r}: {of_name[path.stem]} and {path}")
        of_name[path.stem] = path
    return tuple(files)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file's table of tensors and hash each one.

    Raises:
        FileFormatError: The file is missing, damaged, of another kind, holds no parameters, would run code, or
            changes while it is read.
        MissingPackage: A PyTorch file, without torch.
    """
    if path.suffix not in SUFFIXES:
        raise FileFormatError(f"{path}: not a checkpoint; known are {', '.join(SUFFIXES)}")
    with _unchanged(path) as state:
        read = _read_pytorch if path.suffix in PYTORCH_SUFFIXES else _read_safetensors
        metadata, tensors = read(path)
        if not any(tensor.n_bytes for tensor in tensors):
            raise FileFormatError(f"{path}: a model with no parameters")
    return Checkpoint(path.stem, path, state, metadata, tuple(tensors))


def file_state(path: Path) -> tuple[int, int, int]:
    """Inode, size and nanosecond of the last change.

    Raises:
        FileFormatError: There is no such file.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path}: cannot be read ({reason(error)})") from None
    return status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def _unchanged(path: Path) -> Iterator[tuple[int, int, int]]:
    """Refuse the file where it differs afterwards, whatever else seemed wrong with it."""
    before = file_state(path)
    changed = FileFormatError(f"{path}: changed while it was read; try again when nobody writes to it")
    try:
        yield before
    except FileFormatError:
        if file_state(path) != before:
            raise changed from None
        raise
    if file_state(path) != before:
        raise changed


# ---------------------------------------------------------------- safetensors


def _read_safetensors(path: Path) -> tuple[dict[str, str], list[StoredTensor]]:
    try:
        with path.open("rb", buffering=0) as file:
            header, data_start = _read_header(path, file.fileno())
            metadata, entries = _check_header(path, header, os.fstat(file.fileno()).st_size - data_start)
            buffer = memoryview(bytearray(_CHUNK_BYTES))
            tensors = []
            for begin, end, name, dtype, shape in entries:
                digest = _digest(dtype, shape)
                _hash_range(path, file.fileno(), data_start + begin, data_start + end, buffer, digest)
                tensors.append(
                    StoredTensor(name, dtype, shape, end - begin, path, data_start + begin, digest.hexdigest())
                )
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({reason(error)})") from None
    return metadata, tensors


def _digest(dtype: str, shape: tuple[int, ...]) -> hashlib._Hash:
    return hashlib.sha256(f"{dtype} {shape}".encode())


def _hash_range(path: Path, descriptor: int, begin: int, end: int, buffer: memoryview, digest: hashlib._Hash) -> None:
    while begin < end:
        got = os.preadv(descriptor, [buffer[: min(len(buffer), end - begin)]], begin)
        if got == 0:
            raise FileFormatError(f"{path}: truncated")
        digest.update(buffer[:got])
        begin += got


def _read_header(path: Path, descriptor: int) -> tuple[dict[str, Any], int]:
    """The JSON header, and where the tensors' bytes begin."""
    size = int.from_bytes(os.pread(descriptor, 8, 0), "little")
    file_bytes = os.fstat(descriptor).st_size
    if not 2 <= size <= min(MOST_JSON_BYTES, file_bytes - 8):
        raise FileFormatError(f"{path}: not a safetensors file, or truncated (header of {size} bytes)")
    try:
        header = parse_json(os.pread(descriptor, size, 8), _without_repetition)
    except ValueError as error:
        raise FileFormatError(f"{path}: not a safetensors file, or damaged (header: {error})") from None
    if not isinstance(header, dict):
        raise FileFormatError(f"{path}: not a safetensors file, or damaged (header: not a JSON object)")
    return header, 8 + size


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands there twice")
    return dict(pairs)


def _is_text(value: object) -> bool:
    """Whether it is a text that can be written; JSON can hold halves of characters (surrogates)."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


_Entry = tuple[int, int, str, str, tuple[int, ...]]
"""Begin and end in the data, name, dtype, shape."""


def _check_header(path: Path, header: dict[str, Any], data_bytes: int) -> tuple[dict[str, str], list[_Entry]]:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(map(_is_text, (*metadata, *metadata.values()))):
        raise FileFormatError(f"{path}: damaged, its metadata is not text by key")
    entries: list[_Entry] = []
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
            integers = all(type(number) is int and 0 <= number < 2**63 for number in (*shape, begin, end))
            known = dtype in _DTYPE_BYTES
        except (TypeError, KeyError, ValueError):
            raise FileFormatError(
                f"{path}: damaged, tensor {shown(name)} has no proper dtype, shape and place"
            ) from None
        if not _is_text(name):
            raise FileFormatError(f"{path}: damaged, tensor {shown(name)} has no name of text")
        if not known:
            raise FileFormatError(f"{path}: tensor {shown(name)} has dtype {shown(dtype)}; known are {_KNOWN_DTYPES}")
        if not integers or len(shape) > _MOST_DIMENSIONS or end - begin != math.prod(shape) * _DTYPE_BYTES[dtype]:
            raise FileFormatError(f"{path}: damaged, the place of tensor {shown(name)} does not agree with its shape")
        entries.append((begin, end, name, dtype, shape))
    entries.sort()
    position = 0
    for begin, end, name, _, _ in entries:
        if begin != position:
            raise FileFormatError(f"{path}: damaged, tensor {shown(name)} does not begin where the one before it ends")
        position = end
    if position != data_bytes:
        raise FileFormatError(f"{path}: truncated or damaged, {position} bytes of tensors are due, {data_bytes} there")
    return metadata, entries


# ---------------------------------------------------------------- PyTorch


_TENSOR_GLOBALS = {
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "torch._utils _rebuild_sparse_tensor"),
    *("torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state", "torch.nn.parameter Parameter"),
    *("torch.storage UntypedStorage", "torch.serialization _get_layout", "torch Size", "torch device"),
    *("collections OrderedDict", "collections Counter", "__builtin__ set"),
}
"""What a PyTorch file may name, besides ``torch.FloatStorage`` and its like, and dtypes.

Torch's own list is made against code only: it lets a file of 100 bytes call ``bytearray(10**11)``.
"""


def _read_pytorch(path: Path) -> tuple[dict[str, str], list[StoredTensor]]:
    torch = require_package("torch")
    try:
        _refuse_more_than_tensors(torch, path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        tensors = [_stored_tensor(torch, path, *item) for item in _state_dict(path, content).items()]
    except FileFormatError:
        raise
    except pickle.UnpicklingError:  # its message is long, and advises to load the file unsafely
        raise FileFormatError(f"{path}: refused, it holds more than tensors, or is damaged") from None
    except Exception as error:  # nobody says what all torch raises for damaged files
        first = (reason(error).splitlines() or [""])[0]
        raise FileFormatError(f"{path}: not a PyTorch file of zip format, or damaged ({first})") from None
    return {}, tensors


def _refuse_more_than_tensors(torch: Any, path: Path) -> None:
    """Refuse what makes `torch.load` take more memory than the file has bytes: compression, and what a pickle calls.

    Raises:
        FileFormatError: The file names something that is no part of a tensor.
        ValueError: It is compressed, or holds too much besides tensors; a damaged one raises many other things.
    """
    with FileInPieces(path) as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise ValueError("it is compressed")
            if not member.filename.lower().endswith(".pkl"):
                continue
            if member.file_size > _MOST_PICKLE_BYTES:
                raise ValueError(f"more than {_MOST_PICKLE_BYTES} bytes besides its tensors")
            with archive.open(member) as stream:
                content = stream.read(member.file_size)
            for operation, argument, _ in pickletools.genops(content):
                if operation.name == "GLOBAL" and not _is_of_tensors(torch, str(argument)):
                    what = abbreviated(str(argument).replace(" ", "."))
                    raise FileFormatError(f"{path}: refused, it holds more than tensors and could run code ({what})")


def _is_of_tensors(torch: Any, named: str) -> bool:
    module, _, name = named.partition(" ")
    is_type = name.endswith("Storage") or isinstance(getattr(torch, name, None), torch.dtype)
    return named in _TENSOR_GLOBALS or (module == "torch" and is_type)


def _stored_tensor(torch: Any, path: Path, name: str, tensor: Any) -> StoredTensor:
    names = {getattr(torch, theirs): ours for ours, theirs in TORCH_DTYPES.items() if hasattr(torch, theirs)}
    dense = isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not dense or tensor.dtype not in names:
        raise FileFormatError(f"{path}: {shown(name)} is not a dense tensor of a known dtype")
    if tensor.nbytes > path.stat().st_size:  # one number that stands for many (`expand`)
        raise FileFormatError(f"{path}: {shown(name)} of {tensor.nbytes} bytes is larger than its file")
    dtype, shape = names[tensor.dtype], tuple(tensor.shape)
    digest = _digest(dtype, shape)
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    bytes_of = plain.reshape(-1).view(torch.uint8).numpy()
    for begin in range(0, len(bytes_of), _CHUNK_BYTES):
        digest.update(bytes_of[begin : begin + _CHUNK_BYTES])
    return StoredTensor(name, dtype, shape, len(bytes_of), path, -1, digest.hexdigest())


def _state_dict(path: Path, content: Any) -> dict[str, Any]:
    """The state dict in what a PyTorch file holds: the whole, or what is named "state_dict" or "model" in it."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(map(_is_text, content)):
        raise FileFormatError(f"{path}: holds no state dict")
    return content
