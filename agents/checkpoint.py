"""Checkpoints: safetensors for numbers, JSON for the rest, written whole or not at all. Nothing is unpickled.

A checkpoint is a folder: ``weights.safetensors``, ``checkpoint.json`` and, to resume training,
``training.safetensors``. The JSON holds the hashes of the others and of itself. A folder is written under another name
and then renamed; what a kill leaves under such names, `remove_debris` removes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pl_env.errors import FileFormatError
from pl_env.files import blamed_on, read_json
from pl_env.ranges import require

FORMAT = "pl-env-agent"
VERSION = 1
HEADER = "checkpoint.json"


def save_checkpoint(
    folder: str | os.PathLike[str], header: Mapping[str, Any], parts: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Write a checkpoint, in place of the folder if there is one.

    Args:
        folder: Where to.
        header: JSON types.
        parts: For each part, such as "weights", its named tensors.

    Raises:
        InvalidValue: The folder holds something else, which would be lost.
    """
    target = Path(folder)
    for place in (target, _old(target)):
        good = not place.exists() or (place.is_dir() and all(_is_ours(path) for path in place.iterdir()))
        require(good, "folder", str(place), "new, empty or a checkpoint, which is replaced")
    contents = {
        name: save({key: t.detach().cpu().contiguous() for key, t in part.items()}) for name, part in parts.items()
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    full = {"format": FORMAT, "version": VERSION, "sha256": hashes, **header}
    full["header_sha256"] = _header_hash(full)
    with blamed_on(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target)))
        try:
            temporary.chmod(0o755)
            for name, content in contents.items():
                (temporary / f"{name}.safetensors").write_bytes(content)
            (temporary / HEADER).write_text(json.dumps(full, indent=2) + "\n")
            _replace_folder(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    """Whether a file's name is one that checkpoints have; a kill may have left a part of one."""
    return path.name == HEADER or path.suffix == ".safetensors"


def _replace_folder(new: Path, target: Path) -> None:
    """Rename ``new`` to ``target``. A kill between the two renames leaves the old one under ``target``.old."""
    old = _old(target)
    if target.exists():
        _remove(old, target)
        os.rename(target, old)
    os.rename(new, target)
    _remove(old, target)


def _remove(old: Path, target: Path) -> None:
    """Remove a folder at once, by its name; what a kill leaves of its files is debris, and no half of a checkpoint."""
    if old.exists():
        doomed = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target)))
        os.rename(old, doomed / old.name)
        shutil.rmtree(doomed, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".{target.name}."


def remove_debris(folder: str | os.PathLike[str]) -> None:
    """Remove what kills have left beside a checkpoint. Nobody else may be writing the checkpoint meanwhile."""
    target = Path(folder)
    for stray in target.parent.glob(f"{_prefix(target)}*"):
        shutil.rmtree(stray, ignore_errors=True)


def _old(target: Path) -> Path:
    return target.with_name(f"{target.name}.old")


def is_checkpoint(folder: str | os.PathLike[str]) -> bool:
    """Whether there is a checkpoint, or the one before it after a kill between two renames."""
    return Path(folder).exists() or _old(Path(folder)).exists()


def load_checkpoint(folder: str | os.PathLike[str], *names: str) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Read the header and the named parts of a checkpoint.

    Raises:
        FileFormatError: A file is missing, truncated, damaged, of another kind or of a newer version.
    """
    path = Path(folder)
    if not path.exists() and is_checkpoint(path):  # killed between two renames
        path = _old(path)
    header = _read_header(path)
    parts = {}
    for name in names:
        file = path / f"{name}.safetensors"
        try:
            content = file.read_bytes()
        except OSError as error:
            raise FileFormatError(f"{file}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(content).hexdigest() != header["sha256"].get(name):
            raise FileFormatError(f"{file}: damaged, its content does not match its hash")
        try:
            parts[name] = load(content)
        except SafetensorError as error:
            raise FileFormatError(f"{file}: not a safetensors file ({error})") from None
        for tensor_name, tensor in parts[name].items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise FileFormatError(f"{file}: {tensor_name} holds numbers that are not finite")
    return header, parts


def _read_header(path: Path) -> dict[str, Any]:
    file = path / HEADER
    header = read_json(file, FORMAT, VERSION, "a checkpoint of an agent")
    if not isinstance(header.get("sha256"), dict):
        raise FileFormatError(f"{file}: damaged, it has no hashes")
    if header.get("header_sha256") != _header_hash(header):
        raise FileFormatError(f"{file}: damaged, its content does not match its hash")
    return header


def _header_hash(header: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of all that a header says but this."""
    said = {name: value for name, value in header.items() if name != "header_sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
