"""Proven optima of evaluation instances, kept on disk by the instance's hash, as some take seconds."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import baselines
from pl_env.files import write_atomically
from pl_env.partial_loading.instance import Instance


@dataclass(frozen=True)
class Optimum:
    """What a solver says of an instance.

    Attributes:
        served: Users that its schedule serves.
        upper_bound: No schedule serves more.
        solver: The solver.
    """

    served: int
    upper_bound: int
    solver: str


def default_cache() -> Path:
    """The user's cache folder: $XDG_CACHE_HOME/pl-env/optima, or that under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pl-env" / "optima"


def optimum_of(instance: Instance, solver: str, cache: Path | None = None) -> Optimum:
    """The optimum, from the cache if it is there, else solved; what is proven is put there.

    Args:
        instance: The instance.
        solver: A solver that proves optima, or says how far off it may be.
        cache: Folder; None for none.
    """
    file = None if cache is None else cache / f"{instance.content_hash()}-{solver}.json"
    if file is not None:
        try:
            return Optimum(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):  # not there yet, or damaged
            pass
    schedule = baselines.solve(instance, solver)
    optimum = Optimum(schedule.served, int(schedule.upper_bound), solver)
    if file is not None and optimum.served == optimum.upper_bound:
        write_atomically(file, json.dumps(asdict(optimum)).encode())
    return optimum
