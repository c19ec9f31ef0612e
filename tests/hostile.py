"""Files made to do harm, and what loading them takes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pl_env.files import content_hash
from tests import helpers

_LOAD_EACH = """
import json, os, resource
import pl_env
{imports}
{warm_up}
PAGE = os.sysconf("SC_PAGE_SIZE")
def pages(which):
    return int(open("/proc/self/statm").read().split()[which]) * PAGE
for path in json.loads({paths!r}):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        before = pages(1)
        limit = pages(0) + (4 << 30)  # so that a failing test does not take the machine with it
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            {call}
            text = "accepted"
        except pl_env.FileFormatError as error:
            text = "refused: " + str(error)
        except BaseException as error:
            text = type(error).__name__ + ": " + str(error)[:200]
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        os.write(writing, json.dumps([path, text[:3000], taken]).encode())
        os._exit(0)
    os.close(writing)
    print(os.read(reading, 60_000).decode())
    assert os.waitpid(child, 0)[1] == 0, path
    os.close(reading)
"""


def load_each(paths: list[Path], call: str, imports: str = "", warm_up: str = "") -> dict[str, tuple[str, int]]:
    """What becomes of each file, and the bytes of memory that loading it takes at the peak, each in its own process.

    Args:
        paths: The files.
        call: Code that loads the file named ``path``.
        imports: Code that runs once, before.
        warm_up: Likewise.
    """
    code = _LOAD_EACH.format(imports=imports, warm_up=warm_up, call=call, paths=json.dumps([str(p) for p in paths]))
    found = {}
    for line in helpers.run_python(code).splitlines():
        path, text, taken = json.loads(line)
        found[Path(path).name] = (text, taken)
    assert len(found) == len(paths)
    return found


def assert_harmless(path: Path, text: str, taken: int) -> None:
    """One short sentence, and at most 512 MB above what the file is."""
    assert text.startswith("refused: "), (path.name, text)
    message = text.removeprefix("refused: ")
    assert len(message) < 300, (path.name, message)
    assert message.isprintable(), (path.name, message)
    assert message.startswith(f"{path}: "), (path.name, message)
    assert taken < (512 << 20) + path.stat().st_size, (path.name, taken >> 20)


# ---------------------------------------------------------------- npz


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_header(text: str, version: bytes = b"\1\0") -> bytes:
    encoded = text.encode() + b"\n"
    return b"\x93NUMPY" + version + len(encoded).to_bytes(2, "little") + encoded


def header(kind: str, content: object, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The member "header" with the right hash of these arrays."""
    full = {"format": kind, "version": 1, "hash": content_hash(content, arrays), "content": content}
    return npy(np.frombuffer(json.dumps(full).encode(), dtype=np.uint8))


@dataclass(frozen=True)
class Member:
    """A member of a zip archive, which may say of itself what it likes.

    Attributes:
        content: Its bytes, compressed already if ``method`` says so.
        method: Number of the way to compress.
        size: How long the archive says that it is.
        flags: 1 says that it is encrypted.
    """

    content: bytes
    method: int = zipfile.ZIP_STORED
    size: int | None = None
    flags: int = 0


def zeros(n_bytes: int, shape: int | None = None, size: int | None = None) -> Member:
    """An array of zeros, deflated a thousand to one; one that lies where ``shape`` or ``size`` is less."""
    start = npy_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape or n_bytes},), }}")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    content = begin + megabyte * (n_bytes >> 20) + packer.flush()
    return Member(content, zipfile.ZIP_DEFLATED, len(start) + (size or n_bytes))


def archive(path: Path, members: Sequence[tuple[str, bytes | Member]]) -> Path:
    """Write a zip archive of arrays as told."""
    body, listed = bytearray(), bytearray()
    for name, member in members:
        m = member if isinstance(member, Member) else Member(member)
        file = f"{name}.npy".encode()
        size = len(m.content) if m.size is None else m.size
        facts = (20, m.flags, m.method, 0, 0, zlib.crc32(m.content), len(m.content), size, len(file), 0)
        listed += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *facts, 0, 0, 0, 0, len(body)) + file
        body += struct.pack("<4s5H3I2H", b"PK\3\4", *facts) + file + m.content
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(members), len(members), len(listed), len(body), 0)
    path.write_bytes(body + listed + end)
    return path


def forged(path: Path, kind: str, content: object, arrays: Mapping[str, np.ndarray]) -> Path:
    """A file with the right hash, whatever it says."""
    parts = {"header": header(kind, content, arrays)} | {name: npy(array) for name, array in arrays.items()}
    return archive(path, list(parts.items()))


def long_contents(path: Path, n_entries: int) -> Path:
    """An archive whose list of contents is all there is: many entries of one empty member."""
    facts = (20, 0, 0, 0, 0, 0, 0, 0, 1, 0)
    body = struct.pack("<4s5H3I2H", b"PK\3\4", *facts) + b"a"
    listed = (struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *facts, 0, 0, 0, 0, 0) + b"a") * n_entries
    path.write_bytes(body + listed + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(listed), len(body), 0))
    return path


# ---------------------------------------------------------------- JSON

DEEP = b"[" * 300_000
MANY_DIGITS = b"1" + b"0" * 400


def json_files(folder: Path, prefix: str, suffix: str, *, large: bool = False) -> list[Path]:
    """Files of JSON, and nearly so; ``prefix`` and ``suffix`` make a value one of an object that is otherwise right."""
    values = {
        "deep": DEEP,
        "deep-and-closed": DEEP + b"]" * len(DEEP),
        "deep-objects": b'{"":' * 100_000,
        "digits-400": MANY_DIGITS,
        "digits-5000": MANY_DIGITS * 13,
        "infinite": b"1e999",
        "nan": b"NaN",
        "null": b"null",
        "text": b'"x"',
        "list": b"[1]",
        "object": b"{}",
        "list-of-null": b"[null]",
        "half-a-character": b'"\\ud800"',
        "no-utf-8": b'"\xff\xfe"',
        "utf-16": "{}".encode("utf-16"),
        "escape-codes": b'"\x1b[2J"',
        "long-text": b'"' + b"\\n\\u001b" * 5000 + b'"',
    }
    if large:
        values |= {"wide": b"[" + b'{"":[]},' * ((7 << 20) // 8) + b"0]", "long": b'"' + b"x" * (12 << 20) + b'"'}
    paths = []
    for name, value in values.items():
        paths.append(folder / f"{folder.name}-{name}.json")
        paths[-1].write_bytes(prefix.encode() + value + suffix.encode())
    return paths
