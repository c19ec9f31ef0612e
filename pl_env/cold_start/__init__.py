"""Cold start (arXiv 2508.11287): which device gets which layers when a pipeline starts with nothing in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pl_env.cold_start.benchmark import BenchmarkSet, benchmark, benchmark_names
from pl_env.cold_start.devices import Device, paper_devices, read_devices
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.model_config import read_model
from pl_env.cold_start.models import LanguageModel
from pl_env.cold_start.plan import Plan, Stage
from pl_env.cold_start.scenario import Scenario
from pl_env.cold_start.validation import check

if TYPE_CHECKING:
    from pl_env.cold_start.env import ColdStartEnv
    from pl_env.cold_start.rendering import gantt, text_gantt

__all__ = [
    "BenchmarkSet",
    "ColdStartEnv",
    "Device",
    "Instance",
    "LanguageModel",
    "Plan",
    "Scenario",
    "Stage",
    "benchmark",
    "benchmark_names",
    "check",
    "gantt",
    "paper_devices",
    "read_devices",
    "read_model",
    "text_gantt",
]

_LAZY = {
    "ColdStartEnv": "pl_env.cold_start.env",
    "gantt": "pl_env.cold_start.rendering",
    "text_gantt": "pl_env.cold_start.rendering",
}


def __getattr__(name: str) -> Any:
    """Import what is heavy (plots) or needed by few only when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
