"""PartialLoading (arXiv 2503.22982): in which order to load models that share blocks, and how many users to serve.

All of these names but ``text_gantt`` are names of ``pl_env``, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pl_env.partial_loading.benchmark import BenchmarkSet, benchmark, benchmark_names
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.library import ModelLibrary, build_library
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Batch, Schedule
from pl_env.partial_loading.server import ComputeProfile, EdgeServer
from pl_env.partial_loading.serving_table import ServingTable
from pl_env.partial_loading.validation import check

if TYPE_CHECKING:
    from pl_env.partial_loading.env import PartialLoadingEnv
    from pl_env.partial_loading.rendering import gantt, text_gantt
    from pl_env.partial_loading.vector_env import PartialLoadingVectorEnv

__all__ = [
    "Batch",
    "BenchmarkSet",
    "ComputeProfile",
    "EdgeServer",
    "Instance",
    "ModelLibrary",
    "PartialLoadingEnv",
    "PartialLoadingVectorEnv",
    "Scenario",
    "Schedule",
    "ServingTable",
    "benchmark",
    "benchmark_names",
    "build_library",
    "check",
    "gantt",
    "text_gantt",
]

_LAZY = {
    "PartialLoadingEnv": "pl_env.partial_loading.env",
    "PartialLoadingVectorEnv": "pl_env.partial_loading.vector_env",
    "gantt": "pl_env.partial_loading.rendering",
    "text_gantt": "pl_env.partial_loading.rendering",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
