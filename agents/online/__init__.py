"""Learning to serve requests that arrive over time. A system's room has ``Agent`` and ``JOBS``, see `agents.jobs`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {"Agent": "agents.online.agent", "JOBS": "agents.online.jobs"}


def __getattr__(name: str) -> Any:
    """Import torch only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
