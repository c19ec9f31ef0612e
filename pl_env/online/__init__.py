"""PartialLoadingOnline: requests arrive over time, and GPU memory is a cache of parameter blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pl_env.online.benchmark import BenchmarkSet, benchmark, benchmark_names
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.online.scenario import Scenario
from pl_env.online.validation import check

if TYPE_CHECKING:
    from pl_env.online.env import PartialLoadingOnlineEnv
    from pl_env.online.rendering import gantt, text_gantt
    from pl_env.online.trace import read_trace
    from pl_env.online.vector_env import PartialLoadingOnlineVectorEnv

__all__ = [
    "BenchmarkSet",
    "Instance",
    "PartialLoadingOnlineEnv",
    "PartialLoadingOnlineVectorEnv",
    "Plan",
    "Scenario",
    "benchmark",
    "benchmark_names",
    "check",
    "gantt",
    "read_trace",
    "text_gantt",
]

_LAZY = {
    "PartialLoadingOnlineEnv": "pl_env.online.env",
    "PartialLoadingOnlineVectorEnv": "pl_env.online.vector_env",
    "gantt": "pl_env.online.rendering",
    "read_trace": "pl_env.online.trace",
    "text_gantt": "pl_env.online.rendering",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
