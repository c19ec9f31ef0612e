"""What ``train.py`` does with PartialLoadingOnline: a `Job` for every recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro
from matplotlib.figure import Figure

from agents.online.agent import Agent
from agents.online.families import Family
from agents.online.recipes import RECIPES
from agents.online.training import TrainingConfig, train
from agents.training import TrainingResult, Watch
from baselines.policies import Policy
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan
from pl_env.online.rendering import gantt
from pl_env.online.scenario import Scenario


@dataclass(frozen=True)
class Job:
    """Train an agent on all loads and compare it with the planners; see `agents.jobs.Job`.

    Attributes:
        name: Name of the recipe.
        training: How to train.
        rate: Users a second in the evaluation.
        eviction: Rule of eviction in the evaluation: "demand" or "lru".
    """

    objective: ClassVar[str] = "goodput"
    planners: ClassVar[tuple[str, ...]] = ("replan", "urgent-greedy", "edf", "greedy")

    name: Annotated[str, tyro.conf.Suppress]
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")]
    rate: float = 120.0
    eviction: str = "demand"

    @property
    def description(self) -> str:
        """One line."""
        return "50 models, memory for four; 60 to 200 users a second; by its own play alone"

    @property
    def evaluated_on(self) -> Scenario:
        """The preset, at the load and under the rule of the evaluation."""
        return Scenario(arrival_rate=self.rate, eviction=self.eviction)

    def episodes(self) -> str:
        """What the evaluation's episodes are, in words."""
        return f"PartialLoadingOnline, {self.rate:g} users a second, {self.eviction}"

    def trained_on(self) -> str:
        """What it is trained on, in words."""
        low, high = Family().rates
        return f"PartialLoadingOnline, {low:g} to {high:g} users a second"

    def train(self, out: Path, *, resume: bool, watch: Watch[Agent] | None = None) -> TrainingResult[Agent]:
        """Train; see `agents.online.training.train`."""
        return train(Family(), self.training, out, resume=resume, progress=watch is None, watch=watch)

    def slower_policies(self, agent: Agent) -> dict[str, Policy | str]:
        """The beam search that knows all arrivals."""
        return {"clairvoyant": "clairvoyant"}

    def picture(self, plan: Plan, instance: Instance) -> Figure:
        """Memory and batches."""
        return gantt(plan, instance)

    def to_dict(self) -> dict[str, Any]:
        """The scenario and the config of the training, as JSON types."""
        return {"scenario": self.evaluated_on.to_dict(), "training": asdict(self.training)}


JOBS = {name: Job(name, training) for name, training in RECIPES.items()}
"""By name."""
