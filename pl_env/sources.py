"""Hashes of source code: what a compiled kernel, or a kept result, was made of.

A system's sources up to a floor are the modules that no system owns, and its own rooms, on that floor and those below.
Another system's rooms do not count, so a change there voids nothing here, unless the system builds on that one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

FLOORS = ("pl_env", "baselines", "agents", "experiments")
"""The packages, each of which imports only from those before it."""

BUILT_ON = {"real_models": "partial_loading", "online": "partial_loading", "cold_start_stream": "cold_start"}
"""Rooms that build on another system's: they may import it, and its sources count with theirs."""

_HOUSE = Path(__file__).parents[1]


@cache
def stamp(system: str, floor: str) -> str:
    """SHA-256 (hex) of a system's sources up to a floor; the shared modules alone where there is no such system.

    Args:
        system: Name of the system, which is that of its rooms.
        floor: The highest package that counts.

    Raises:
        OSError: The sources are not files, as in a zip archive.
    """
    folders = [_HOUSE / name for name in FLOORS[: FLOORS.index(floor) + 1]]
    shared = [path for folder in folders for path in folder.glob("*.py")]
    names = [name for name in (system, BUILT_ON.get(system)) if name]
    rooms = [path for folder in folders for name in names for path in (folder / name).rglob("*.py")]
    return hash_of_files([*shared, *rooms])


def hash_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) of files' places in the repository and their contents, whatever the order."""
    digest = hashlib.sha256()
    named = {path.relative_to(_HOUSE).as_posix(): path for path in paths}
    for name in sorted(named):
        digest.update(f"{name}\n".encode())
        digest.update(named[name].read_bytes())
    return digest.hexdigest()


def stamp_of_module(name: str) -> str:
    """`stamp` of the system and the floor that a module belongs to; a foreign module has all of ``pl_env`` below it.

    Args:
        name: Its dotted name, such as "baselines.partial_loading.bounds".
    """
    floor, *rooms = name.split(".")
    if floor not in FLOORS:
        return hash_of_files((_HOUSE / "pl_env").rglob("*.py"))
    return stamp(rooms[0] if len(rooms) > 1 else "", floor)
