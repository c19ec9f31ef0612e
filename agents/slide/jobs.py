"""What ``train.py`` does with Slide: a `Job` for every preset that has a recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import tyro
from matplotlib.figure import Figure

from agents.slide.agent import Agent
from agents.slide.recipes import RECIPES
from agents.slide.training import TrainingConfig, train
from agents.training import TrainingResult, Watch
from baselines.policies import Policy
from baselines.slide.online import Rollout, Rule
from pl_env.seeds import ROLLOUT_STREAM
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan
from pl_env.slide.rendering import gantt
from pl_env.slide.scenario import Scenario

_DESCRIPTIONS = {
    "default": "40 users arrive within 2 s, 100 MHz; three ResNets",
    "hard": "the same, 50 MHz, 4 s",
}


@dataclass(frozen=True)
class Job:
    """Train an agent on a preset and compare it with the planners; see `agents.jobs.Job`.

    Attributes:
        name: Name of the preset.
        training: How to train.
    """

    objective: ClassVar[str] = "served ratio"
    planners: ClassVar[tuple[str, ...]] = ("exact", "backlog", "threshold", "accept-all")

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
        return f"Slide, {self.name}"

    def trained_on(self) -> str:
        """What it is trained on, in words."""
        return f"Slide, {self.name}"

    def train(self, out: Path, *, resume: bool, watch: Watch[Agent] | None = None) -> TrainingResult[Agent]:
        """Train; see `agents.slide.training.train`."""
        return train(self.evaluated_on, self.training, out, resume=resume, progress=watch is None, watch=watch)

    def slower_policies(self, agent: Agent) -> dict[str, Policy | str]:
        """The rule under which the agent's labels were made, and rollouts under it."""
        rule = self.training.imitation.rule
        rng = np.random.default_rng((ROLLOUT_STREAM, self.training.seed))
        return {"backlog, tuned": Rule(*rule), "rollout": Rollout(rng, parameters=rule)}

    def picture(self, plan: Plan, instance: Instance) -> Figure:
        """Each user's download and computation."""
        served = sum(model >= 0 for model in plan.models)
        return gantt(plan, instance, f"agent: {served} of {instance.n_users} users served; evaluation episode 0")

    def to_dict(self) -> dict[str, Any]:
        """The scenario and the config of the training, as JSON types."""
        return {"scenario": self.evaluated_on.to_dict(), "training": asdict(self.training)}


JOBS = {name: Job(name, training) for name, training in RECIPES.items()}
"""By name, a job for each preset that has an agent in the package."""
