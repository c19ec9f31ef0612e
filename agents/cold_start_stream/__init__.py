"""Learning what to keep warm. A system's room has ``Agent`` for `agents.load` and ``JOBS`` for train.py."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {"Agent": "agents.cold_start_stream.agent", "JOBS": "agents.cold_start_stream.jobs"}


def __getattr__(name: str) -> Any:
    """Import torch only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
