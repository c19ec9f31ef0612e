"""Learning to place layers. A system's room has ``Agent`` for `agents.load`, ``JOBS`` for train.py; and ``BestOf``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "Agent": "agents.cold_start.agent",
    "BestOf": "agents.cold_start.decoding",
    "JOBS": "agents.cold_start.jobs",
}


def __getattr__(name: str) -> Any:
    """Import torch only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
