"""What ``python -m agents train`` can be told to do, by name; each system's room has its ``JOBS``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from agents.training import TrainingResult, Watch
from baselines.policies import Policy
from pl_env.systems import FIRST, SYSTEMS


class Job(Protocol):
    """An agent to train and to evaluate: a frozen dataclass, whose fields are arguments of the command line."""

    @property
    def description(self) -> str:
        """One line."""
        ...

    @property
    def objective(self) -> str:
        """What a plan attains, such as "served ratio"."""
        ...

    @property
    def planners(self) -> tuple[str, ...]:
        """Solvers to evaluate beside the agent where they cover the scenario."""
        ...

    @property
    def evaluated_on(self) -> Any:
        """The scenario of the evaluation."""
        ...

    def trained_on(self) -> str:
        """What the agent is trained on: the name, and what was overridden."""
        ...

    def episodes(self) -> str:
        """What the evaluation's episodes are, in words; likewise."""
        ...

    @property
    def training(self) -> Any:
        """How to train: a frozen dataclass with a ``seed``."""
        ...

    def train(self, out: Path, *, resume: bool, watch: Watch[Any] | None = None) -> TrainingResult[Any]:
        """Train; arguments, result and errors as those of `agents.training.train_in_stages`.

        A progress bar is shown unless somebody watches.
        """
        ...

    def slower_policies(self, agent: Any) -> Mapping[str, Policy | str]:
        """What plays with the agent's help and takes longer, to be evaluated on fewer episodes."""
        ...

    def picture(self, plan: Any, instance: Any) -> Figure:
        """What the agent did in the first episode."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The scenario and how the agent is trained, as JSON types."""
        ...


def jobs() -> dict[str, Job]:
    """All jobs by name: "bls" of the first system, "slide/hard" of another, whose first job is "slide" too."""
    named: dict[str, Job] = {}
    for system in SYSTEMS:
        if find_spec(f"agents.{system}") is None:
            continue  # nothing learns there yet
        of_system: dict[str, Job] = import_module(f"agents.{system}").JOBS
        if system == FIRST:
            named |= of_system
        else:
            named[system] = next(iter(of_system.values()))
            named |= {f"{system}/{name}": job for name, job in of_system.items()}
    return named
