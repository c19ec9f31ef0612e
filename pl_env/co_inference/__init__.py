"""Co-inference (arXiv 2505.09214): how far to prune a model, where to split it, at what power, on one battery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pl_env.co_inference.benchmark import BenchmarkSet, benchmark, benchmark_names
from pl_env.co_inference.instance import Hardware, Instance, Outlook
from pl_env.co_inference.plan import Plan
from pl_env.co_inference.scenario import Scenario
from pl_env.co_inference.split_tables import SplitTable, split_table
from pl_env.co_inference.validation import check

if TYPE_CHECKING:
    from pl_env.co_inference.continuous_env import CoInferenceContinuousEnv
    from pl_env.co_inference.env import CoInferenceEnv
    from pl_env.co_inference.rendering import timeline

__all__ = [
    "BenchmarkSet",
    "CoInferenceContinuousEnv",
    "CoInferenceEnv",
    "Hardware",
    "Instance",
    "Outlook",
    "Plan",
    "Scenario",
    "SplitTable",
    "benchmark",
    "benchmark_names",
    "check",
    "split_table",
    "timeline",
]

_LAZY = {
    "CoInferenceContinuousEnv": "pl_env.co_inference.continuous_env",
    "CoInferenceEnv": "pl_env.co_inference.env",
    "timeline": "pl_env.co_inference.rendering",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
