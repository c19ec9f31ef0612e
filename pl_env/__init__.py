"""Scheduling AI model loading at a wireless edge server: the problem and its Gymnasium environments.

Importing this package registers ``PartialLoading-v0``, ``PartialLoadingGeneral-v0`` and ``PartialLoadingFading-v0``
with Gymnasium. It reads no file and compiles nothing; kernels compile at their first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium

from pl_env.errors import (
    FileFormatError,
    InfeasibleSchedule,
    InvalidAction,
    InvalidValue,
    MissingPackage,
    PlEnvError,
    UnknownName,
    UnsupportedInstance,
)
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
    from pl_env.partial_loading.rendering import gantt
    from pl_env.partial_loading.vector_env import PartialLoadingVectorEnv
    from pl_env.partial_loading.wrappers import FlatObservation

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "BenchmarkSet",
    "ComputeProfile",
    "EdgeServer",
    "FileFormatError",
    "FlatObservation",
    "InfeasibleSchedule",
    "Instance",
    "InvalidAction",
    "InvalidValue",
    "MissingPackage",
    "ModelLibrary",
    "PartialLoadingEnv",
    "PartialLoadingVectorEnv",
    "PlEnvError",
    "Scenario",
    "Schedule",
    "ServingTable",
    "UnknownName",
    "UnsupportedInstance",
    "benchmark",
    "benchmark_names",
    "build_library",
    "check",
    "gantt",
]

_LAZY = {
    "PartialLoadingEnv": "pl_env.partial_loading.env",
    "PartialLoadingVectorEnv": "pl_env.partial_loading.vector_env",
    "FlatObservation": "pl_env.partial_loading.wrappers",
    "gantt": "pl_env.partial_loading.rendering",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


_ENTRY_POINT = "pl_env.partial_loading.env:PartialLoadingEnv"
_VECTOR_ENTRY_POINT = "pl_env.partial_loading.vector_env:PartialLoadingVectorEnv"

for _id, _preset in (
    ("PartialLoading-v0", "bls"),
    ("PartialLoadingGeneral-v0", "general-hard"),
    ("PartialLoadingFading-v0", "fading"),
):
    if _id not in gymnasium.registry:  # importing twice, or reloading, changes nothing
        gymnasium.register(
            _id, entry_point=_ENTRY_POINT, vector_entry_point=_VECTOR_ENTRY_POINT, kwargs={"scenario": _preset}
        )
