"""One-file storage of arrays with a JSON header (npz, no pickle), written whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import FileFormatError, InvalidValue

FORMAT_VERSION = 1

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,  # a damaged archive that claims to be encrypted, or a compression method that does not exist
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged or foreign file raises."""


def content_hash(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) of a JSON header and named arrays: names, dtypes, shapes and bytes, in order of name."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file whole or not at all: to a neighbour first, which then takes the file's name."""
    target = Path(path)
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


def save_arrays(
    path: str | os.PathLike[str], kind: str, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write arrays and a header of the given kind to one npz file, with their content hash."""
    full = {"format": kind, "version": FORMAT_VERSION, "hash": content_hash(header, arrays), "content": dict(header)}
    encoded = np.frombuffer(json.dumps(full).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=encoded, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def load_arrays(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `save_arrays` wrote.

    Raises:
        FileFormatError: The file is missing, truncated, damaged, of another kind or of a newer version.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        full = json.loads(arrays.pop("header").tobytes())
        found, version, stored, header = full["format"], full["version"], full["hash"], full["content"]
    except FileNotFoundError:
        raise FileFormatError(f"{path}: there is no such file") from None
    except _DAMAGE as error:
        raise FileFormatError(f"{path}: not a {kind} file, or damaged ({error})") from None
    if found != kind:
        raise FileFormatError(f"{path}: holds a {found}, not a {kind}")
    if version != FORMAT_VERSION:
        raise FileFormatError(f"{path}: format version {version}; this release reads version {FORMAT_VERSION}")
    if content_hash(header, arrays) != stored:
        raise FileFormatError(f"{path}: damaged, its content does not match its hash")
    return header, arrays


def read_json(path: str | os.PathLike[str], kind: str, version: int, what: str) -> dict[str, Any]:
    """Read a JSON object that says its "format" and "version".

    Args:
        path: The file.
        kind: The format it must be of.
        version: The version it must be of.
        what: What it should be, in words, such as "an edge-server file".

    Raises:
        FileFormatError: The file is missing, truncated, of another kind or of a newer version.
    """
    try:
        content = json.loads(Path(path).read_text())
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if missing else error.strerror
        raise FileFormatError(f"{path}: cannot be read ({reason})") from None
    except ValueError as error:
        raise FileFormatError(f"{path}: not JSON, or truncated ({error})") from None
    if not isinstance(content, dict) or content.get("format") != kind:
        raise FileFormatError(f"{path}: not {what}")
    if content.get("version") != version:
        found = content.get("version")
        raise FileFormatError(f"{path}: format version {found}; this release reads version {version}")
    return content


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
        except (KeyError, TypeError, ValueError, IndexError, InvalidValue) as error:
            raise FileFormatError(f"{path}: not a valid {cls.KIND} ({error})") from None

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """The object that said this."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stored) and self.KIND == other.KIND and self.content_hash() == other.content_hash()

    def __hash__(self) -> int:
        return hash(self.content_hash())
