"""A stream of prompts for several models over the cold start's devices: weights stay warm, and what is where counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pl_env.cold_start_stream.benchmark import BenchmarkSet, benchmark, benchmark_names
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan, Stage
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.cold_start_stream.validation import check

if TYPE_CHECKING:
    from pl_env.cold_start_stream.env import ColdStartStreamEnv
    from pl_env.cold_start_stream.rendering import gantt, text_gantt

__all__ = [
    "BenchmarkSet",
    "ColdStartStreamEnv",
    "Instance",
    "Plan",
    "Scenario",
    "Stage",
    "benchmark",
    "benchmark_names",
    "check",
    "gantt",
    "text_gantt",
]

_LAZY = {
    "ColdStartStreamEnv": "pl_env.cold_start_stream.env",
    "gantt": "pl_env.cold_start_stream.rendering",
    "text_gantt": "pl_env.cold_start_stream.rendering",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
