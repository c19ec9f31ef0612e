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
    UnknownArgument,
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
    from pl_env.partial_loading import PartialLoadingEnv, PartialLoadingVectorEnv, gantt
    from pl_env.wrappers import FlatObservation, MaskedObservation

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
    "MaskedObservation",
    "MissingPackage",
    "ModelLibrary",
    "PartialLoadingEnv",
    "PartialLoadingVectorEnv",
    "PlEnvError",
    "Scenario",
    "Schedule",
    "ServingTable",
    "UnknownArgument",
    "UnknownName",
    "UnsupportedInstance",
    "benchmark",
    "benchmark_names",
    "build_library",
    "check",
    "gantt",
]

_LAZY = {
    "FlatObservation": "pl_env.wrappers",
    "MaskedObservation": "pl_env.wrappers",
    "PartialLoadingEnv": "pl_env.partial_loading",
    "PartialLoadingVectorEnv": "pl_env.partial_loading",
    "gantt": "pl_env.partial_loading",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


register_environments()
