"""One-file storage of arrays with a JSON header (npz, no pickle), written whole or not at all.

A file may be damaged, or made by somebody to do harm: its sizes are looked at before anything is inflated, and whatever
is wrong with it is one `FileFormatError`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import FileFormatError, shown
from pl_env.ranges import require

FORMAT_VERSION = 1

MOST_JSON_BYTES = 8 << 20
"""Longest JSON that is read: as Python's objects it can take 33 times as much memory, 270 MB."""

_PIECE_BYTES = 4 << 20
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|][biuf]\d{1,2})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,19},? ?)*)\), \} *\n"
)
"""What NumPy writes before an array of numbers; others are not read, so that nothing of the file is evaluated."""


class FileInPieces(io.FileIO):
    """A file that gives at most four megabytes at a time, however much a damaged length asks for.

    So the list of contents of a zip archive, which is read in one go, is refused where it is longer.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes."""
        return super().read(_PIECE_BYTES if size is None or size < 0 else min(size, _PIECE_BYTES))


def reason(error: Exception) -> str:
    """What an exception says, without the path that an `OSError` repeats."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    return text or type(error).__name__


def parse_json(content: bytes, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON text in UTF-8 says.

    Raises:
        ValueError: It is too long, nested too deeply, or no JSON.
    """
    if len(content) > MOST_JSON_BYTES:
        raise ValueError(f"more than {MOST_JSON_BYTES} bytes of JSON")
    try:
        return json.loads(content.decode(), object_pairs_hook=pairs_hook)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: str | os.PathLike[str], kind: str, version: int, what: str) -> dict[str, Any]:
    """Read a JSON object that says its "format" and "version".

    Args:
        path: The file.
        kind: The format it must be of.
        version: The version it must be of.
        what: What it should be, in words, such as "an edge-server file".

    Raises:
        FileFormatError: The file is missing, too long, no JSON, of another kind or of a newer version.
    """
    try:
        with open(path, "rb") as file:
            content = parse_json(file.read(MOST_JSON_BYTES + 1))
    except FileNotFoundError:
        raise FileFormatError(f"{path}: there is no such file") from None
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({reason(error)})") from None
    except ValueError as error:
        raise FileFormatError(f"{path}: not JSON, or truncated ({error})") from None
    if not isinstance(content, dict) or content.get("format") != kind:
        raise FileFormatError(f"{path}: not {what}")
    if content.get("version") != version:
        found = shown(content.get("version"))
        raise FileFormatError(f"{path}: format version {found}; this release reads version {version}")
    return content


def content_hash(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) of a JSON header and named arrays: names, dtypes, shapes and bytes, in order of name."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  # NumPy's types hide the buffer
    return digest.hexdigest()


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: to a neighbour first, which then takes the file's name.

    Its folder is made where there is none.

    Raises:
        OSError: It cannot be written; names the file.
    """
    target = Path(path)
    with blamed_on(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise


@contextmanager
def blamed_on(path: Path) -> Iterator[None]:
    """Let an `OSError` name this file or folder; a full disk names none, others a temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def save_arrays(
    path: str | os.PathLike[str], kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write arrays of numbers and a header of the given kind to one npz file, with their content hash.

    Raises:
        InvalidValue: The header is longer than `load_arrays` reads.
    """
    full = {"format": kind, "version": FORMAT_VERSION, "hash": content_hash(header, arrays), "content": dict(header)}
    encoded = np.frombuffer(json.dumps(full).encode(), dtype=np.uint8)
    require(len(encoded) <= MOST_JSON_BYTES, "bytes of the header", len(encoded), f"at most {MOST_JSON_BYTES}")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=encoded, **arrays)  # type: ignore[arg-type]
    inflated = len(encoded) + sum(array.nbytes for array in arrays.values())
    if inflated > _most_inflated_bytes(buffer.tell()) // 2:  # too good to be believed when it is read
        buffer = io.BytesIO()
        np.savez(buffer, header=encoded, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def _most_inflated_bytes(file_bytes: int) -> int:
    """How much the arrays of a file may take: 64 MB and 16 times the file, twice what real ones are compressed by.

    An object takes up to three times that while it is loaded, and a benchmark set unpacks bits to eight times as much.
    """
    return (64 << 20) + 16 * file_bytes


def load_arrays(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `save_arrays` wrote; the arrays are read-only.

    Raises:
        FileFormatError: The file is missing, truncated, damaged, of another kind or of a newer version.
    """
    try:
        with FileInPieces(os.fspath(path)) as file, zipfile.ZipFile(file) as archive:
            members = _members(archive, os.fstat(file.fileno()).st_size)
            full = parse_json(_read_array(archive, members.pop("header")).tobytes())
            found, version, stored, header = full["format"], full["version"], full["hash"], full["content"]
            if found != kind:
                raise FileFormatError(f"{path}: holds a {found}, not a {kind}")
            if version != FORMAT_VERSION:
                raise FileFormatError(f"{path}: format version {version}; this release reads version {FORMAT_VERSION}")
            arrays = {name: _read_array(archive, member) for name, member in members.items()}
        if content_hash(header, arrays) != stored:
            raise FileFormatError(f"{path}: damaged, its content does not match its hash")
    except FileFormatError:
        raise
    except FileNotFoundError:
        raise FileFormatError(f"{path}: there is no such file") from None
    except Exception as error:  # nobody says what all zipfile and zlib raise for damaged files
        raise FileFormatError(f"{path}: not a {kind} file, or damaged ({reason(error)})") from None
    return header, arrays


def _members(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive by the names of their arrays, unless they would be too much once inflated.

    Other ways to compress than these two inflate without a limit.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        known = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if not known or name == member.filename or name in members:
            raise ValueError(f"a member {member.filename!r}")
        members[name] = member
    inflated = sum(member.file_size for member in members.values())
    if inflated > _most_inflated_bytes(file_bytes):
        raise ValueError(f"{inflated} bytes in a file of {file_bytes}")
    return members


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, read-only; its memory is taken once its header and the archive agree on how much it is."""
    with archive.open(member) as stream:
        start = stream.read(10)
        text = stream.read(int.from_bytes(start[8:], "little"))
        described = _NPY_HEADER.fullmatch(text)
        if start[:8] != _NPY_MAGIC or described is None:
            raise ValueError(f"{member.filename} is no array of numbers")
        dtype, shape = np.dtype(described[1].decode()), tuple(map(int, re.findall(rb"\d+", described[3])))
        if member.file_size != 10 + len(text) + math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{member.filename} is not as long as it says")
        array: NDArray[Any] = np.empty(shape, dtype, order="F" if described[2] == b"True" else "C")
        left = memoryview(array.reshape(-1, order="A").view(np.uint8))  # type: ignore[arg-type]
        while len(left):
            piece = stream.read(min(len(left), _PIECE_BYTES))
            if not piece:
                raise ValueError(f"{member.filename} ends early")
            left[: len(piece)] = piece
            left = left[len(piece) :]
    array.setflags(write=False)
    return array


class Stored:
    """Base of frozen objects that make one file each. Two of them are equal when their contents are."""

    KIND: ClassVar[str]
    """What the file says that it holds."""

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Everything that the object says: a header of JSON types, and arrays."""
        raise NotImplementedError

    @cached_property
    def _hash(self) -> str:
        return content_hash(*self._stored())

    def content_hash(self) -> str:
        """SHA-256 (hex) of everything that the object says."""
        return self._hash

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the object to one npz file, whole or not at all."""
        save_arrays(path, self.KIND, *self._stored())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises:
            FileFormatError: The file is missing, damaged or of another kind.
        """
        header, arrays = load_arrays(path, cls.KIND)
        try:
            return cls._restored(header, arrays)
        except Exception as error:  # a forged header with the right hash can say anything
            raise FileFormatError(f"{path}: not a valid {cls.KIND} ({reason(error)})") from error

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """The object that said this."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stored) and self.KIND == other.KIND and self.content_hash() == other.content_hash()

    def __hash__(self) -> int:
        return hash(self.content_hash())
