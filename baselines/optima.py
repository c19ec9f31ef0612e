"""Optima of evaluation instances, kept on disk by the instance's hash, as some take seconds."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from baselines.registry import solve
from pl_env.files import write_atomically
from pl_env.protocols import Instance


@dataclass(frozen=True)
class Optimum:
    """What a solver says of an instance.

    Attributes:
        objective: What its plan attains.
        bound: No plan attains more (less, where less is better).
        solver: The solver.
    """

    objective: float
    bound: float
    solver: str

    @property
    def proven(self) -> bool:
        """Whether no plan is better."""
        return self.objective == self.bound


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
    plan = solve(instance, solver)
    optimum = Optimum(plan.objective, plan.bound, solver)
    if file is not None and optimum.proven:
        write_atomically(file, json.dumps(asdict(optimum)).encode())
    return optimum
