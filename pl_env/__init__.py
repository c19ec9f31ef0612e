"""Scheduling AI model loading at a wireless edge server: the problem and its Gymnasium environments.

Importing this package registers ``PartialLoading-v0``, ``PartialLoadingGeneral-v0`` and ``PartialLoadingFading-v0``
with Gymnasium. It reads no file and compiles nothing; kernels compile at their first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from pl_env.partial_loading import (
    Batch,
    BenchmarkSet,
    ComputeProfile,
    EdgeServer,
    Instance,
    ModelLibrary,
    Scenario,
    Schedule,
    ServingTable,
    benchmark,
    benchmark_names,
    build_library,
    check,
)
from pl_env.systems import register_environments

if TYPE_CHECKING:
    from pl_env.partial_loading import FlatObservation, PartialLoadingEnv, PartialLoadingVectorEnv, gantt

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

_LAZY = ("FlatObservation", "PartialLoadingEnv", "PartialLoadingVectorEnv", "gantt")


def __getattr__(name: str) -> Any:
    """PartialLoading's names that are heavy, or needed by few, are imported only when they are asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pl_env import partial_loading

    return getattr(partial_loading, name)


register_environments()
