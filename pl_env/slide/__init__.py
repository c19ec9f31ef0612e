"""SLIDE (arXiv 2512.20946): whom to serve with which model, while devices compute what has arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pl_env.slide.benchmark import BenchmarkSet, benchmark, benchmark_names
from pl_env.slide.instance import Device, Instance
from pl_env.slide.library import Library, Model, build_library
from pl_env.slide.plan import Plan, Task
from pl_env.slide.scenario import Scenario
from pl_env.slide.validation import check

if TYPE_CHECKING:
    from pl_env.slide.env import SlideEnv
    from pl_env.slide.rendering import gantt

__all__ = [
    "BenchmarkSet",
    "Device",
    "Instance",
    "Library",
    "Model",
    "Plan",
    "Scenario",
    "SlideEnv",
    "Task",
    "benchmark",
    "benchmark_names",
    "build_library",
    "check",
    "gantt",
]

_LAZY = {"SlideEnv": "pl_env.slide.env", "gantt": "pl_env.slide.rendering"}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
