"""What ``train.py`` does with streams: its `Job`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro
from matplotlib.figure import Figure

from agents.cold_start_stream.agent import Agent
from agents.cold_start_stream.recipes import RECIPES
from agents.cold_start_stream.training import TrainingConfig, train
from agents.training import TrainingResult, Watch
from baselines.policies import Policy
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.cold_start_stream.rendering import gantt
from pl_env.cold_start_stream.scenario import Scenario


@dataclass(frozen=True)
class Job:
    """Train an agent on a preset and compare it with the planners; see `agents.jobs.Job`.

    Attributes:
        name: Name of the preset.
        training: How to train.
    """

    objective: ClassVar[str] = "seconds"
    planners: ClassVar[tuple[str, ...]] = ("lookahead", "myopic", "cold-plans", "fixed-shares")

    name: Annotated[str, tyro.conf.Suppress]
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")]

    @property
    def description(self) -> str:
        """One line."""
        return "40 prompts for three models over 3 to 5 devices, memory for about two thirds of them"

    @property
    def evaluated_on(self) -> Scenario:
        """The preset."""
        return Scenario.preset(self.name)

    def episodes(self) -> str:
        """What the evaluation's episodes are, in words."""
        return f"ColdStartStream, {self.name}"

    def trained_on(self) -> str:
        """What it is trained on, in words."""
        return f"ColdStartStream, {self.name}"

    def train(self, out: Path, *, resume: bool, watch: Watch[Agent] | None = None) -> TrainingResult[Agent]:
        """Train; see `agents.cold_start_stream.training.train`."""
        return train(self.evaluated_on, self.training, out, resume=resume, progress=watch is None, watch=watch)

    def slower_policies(self, agent: Agent) -> dict[str, Policy | str]:
        """The search that knows all arrivals."""
        return {"rollout-search, all arrivals known": "rollout-search"}

    def picture(self, plan: Plan, instance: Instance) -> Figure:
        """A lane for each device."""
        return gantt(plan, instance, f"agent: mean latency {plan.objective:.3f} s; evaluation episode 0")

    def to_dict(self) -> dict[str, Any]:
        """The scenario and the config of the training, as JSON types."""
        return {"scenario": self.evaluated_on.to_dict(), "training": asdict(self.training)}


JOBS = {name: Job(name, training) for name, training in RECIPES.items()}
"""By name, a job for each agent in the package."""
