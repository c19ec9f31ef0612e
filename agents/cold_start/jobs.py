"""What ``train.py`` does with the cold start: its `Job`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro
from matplotlib.figure import Figure

from agents.cold_start.agent import Agent
from agents.cold_start.decoding import BestOf
from agents.cold_start.recipes import RECIPES
from agents.cold_start.training import TrainingConfig, train
from agents.training import TrainingResult, Watch
from baselines.policies import Policy
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan
from pl_env.cold_start.rendering import gantt
from pl_env.cold_start.scenario import Scenario


@dataclass(frozen=True)
class Job:
    """Train an agent on "default" and "tight" and compare it with the planners on the former; see `agents.jobs.Job`.

    Attributes:
        name: Name of the preset that it is evaluated on.
        training: How to train.
    """

    objective: ClassVar[str] = "seconds"
    planners: ClassVar[tuple[str, ...]] = ("optimal-dp", "order-dp", "shares", "greedy", "harmonic", "even")
    PRESETS: ClassVar[tuple[str, ...]] = ("default", "tight")

    name: Annotated[str, tyro.conf.Suppress]
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")]

    @property
    def description(self) -> str:
        """One line."""
        return "4 to 8 devices, Qwen3-14B, memory for 1.05 to 2 times the model"

    @property
    def evaluated_on(self) -> Scenario:
        """The preset."""
        return Scenario.preset(self.name)

    def episodes(self) -> str:
        """What the evaluation's episodes are, in words."""
        return f"ColdStart, {self.name}"

    def trained_on(self) -> str:
        """What it is trained on, in words."""
        return f"ColdStart, {' and '.join(self.PRESETS)}"

    def train(self, out: Path, *, resume: bool, watch: Watch[Agent] | None = None) -> TrainingResult[Agent]:
        """Train; see `agents.cold_start.training.train`."""
        scenarios = {name: Scenario.preset(name) for name in self.PRESETS}
        return train(scenarios, self.training, out, resume=resume, progress=watch is None, watch=watch)

    def slower_policies(self, agent: Agent) -> dict[str, Policy | str]:
        """The best of samples, and the search over orders."""
        return {"agent, best of 64": BestOf(agent, 64), "order-search": "order-search"}

    def picture(self, plan: Plan, instance: Instance) -> Figure:
        """A lane for each device."""
        return gantt(plan, instance, f"agent: {plan.finish_seconds:.3f} s; evaluation episode 0")

    def to_dict(self) -> dict[str, Any]:
        """The scenario and the config of the training, as JSON types."""
        return {"scenario": self.evaluated_on.to_dict(), "training": asdict(self.training)}


JOBS = {name: Job(name, training) for name, training in RECIPES.items()}
"""By name, a job for each agent in the package."""
