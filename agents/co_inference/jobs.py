"""What ``train.py`` does with co-inference: a `Job` for every preset that has a recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro
from matplotlib.figure import Figure

from agents.co_inference.agent import Agent
from agents.co_inference.recipes import RECIPES
from agents.co_inference.training import TrainingConfig, train
from agents.training import TrainingResult, Watch
from baselines.policies import Policy
from pl_env.co_inference.instance import Instance
from pl_env.co_inference.plan import Plan
from pl_env.co_inference.rendering import timeline
from pl_env.co_inference.scenario import Scenario

_DESCRIPTIONS = {
    "default": "40 tasks, a battery of 3 J that the sun charges; BLIP-2 at 11 levels",
    "budget": "24 tasks, 6 J and no sun",
    "continuous": "as default, and the agent chooses fraction, power, frequency and split",
}


@dataclass(frozen=True)
class Job:
    """Train an agent on a preset and compare it with the planners; see `agents.jobs.Job`.

    Attributes:
        name: Name of the preset.
        training: How to train.
    """

    objective: ClassVar[str] = "mean weighted quality"
    planners: ClassVar[tuple[str, ...]] = ("offline", "online-dp", "battery-price", "fluid-price", "greedy-min")

    name: Annotated[str, tyro.conf.Suppress]
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")]

    @property
    def description(self) -> str:
        """One line."""
        return _DESCRIPTIONS[self.name]

    @property
    def evaluated_on(self) -> Scenario:
        """The preset."""
        return Scenario.preset(self.name)

    def episodes(self) -> str:
        """What the evaluation's episodes are, in words."""
        return f"co-inference, {self.name}"

    def trained_on(self) -> str:
        """What it is trained on, in words."""
        return f"co-inference, {self.name}"

    def train(self, out: Path, *, resume: bool, watch: Watch[Agent] | None = None) -> TrainingResult[Agent]:
        """Train; see `agents.co_inference.training.train`."""
        return train(self.evaluated_on, self.training, out, resume=resume, progress=watch is None, watch=watch)

    def slower_policies(self, agent: Agent) -> dict[str, Policy | str]:
        """Nothing plays with the agent's help."""
        return {}

    def picture(self, plan: Plan, instance: Instance) -> Figure:
        """Battery, channel and tasks."""
        title = f"agent: mean weighted quality {plan.objective:.4f}, {plan.served} of {instance.n_tasks} tasks served"
        return timeline(plan, instance, f"{title}; evaluation episode 0")

    def to_dict(self) -> dict[str, Any]:
        """The scenario and the config of the training, as JSON types."""
        return {"scenario": self.evaluated_on.to_dict(), "training": asdict(self.training)}


JOBS = {name: Job(name, training) for name, training in RECIPES.items()}
"""By name, a job for each preset that has an agent in the package."""
