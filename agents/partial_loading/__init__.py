"""Learning to schedule PartialLoading.

A system's room has ``Agent`` for `agents.load`, ``JOBS`` for train.py, ``BestOf`` and ``Rollout`` where
plans can be searched for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "Agent": "agents.partial_loading.agent",
    "CompiledAgent": "agents.partial_loading.compiled.agent",
    "BestOf": "agents.partial_loading.decoding",
    "Rollout": "agents.partial_loading.decoding",
    "JOBS": "agents.partial_loading.jobs",
}


def __getattr__(name: str) -> Any:
    """Import torch only when it is asked for; a `Family` needs none."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
