"""What ``train.py`` does with PartialLoading: a `Job` for every preset, and for any-library."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, make_dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

import tyro
from matplotlib.figure import Figure

from agents.partial_loading.agent import Agent
from agents.partial_loading.compiled.training import CompiledTrainingConfig
from agents.partial_loading.compiled.training import train as train_compiled
from agents.partial_loading.decoding import BestOf
from agents.partial_loading.families import ANY_LIBRARY, DRAWN, Family
from agents.partial_loading.recipes import COMPILED_RECIPES, recipe
from agents.partial_loading.training import TrainingConfig, train
from agents.training import TrainingResult, Watch
from baselines.policies import Policy
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.rendering import gantt
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.ranges import require_integer

_DESCRIPTIONS = {
    "bls": "the paper's default setting: 50 models that share bottom layers, 80 users, 700 ms",
    "general": "25 models that share layers at arbitrary positions, 700 ms",
    "general-hard": "the same, 350 ms",
    "fading": "channels drawn anew before every batch",
    "tiny": "five users, three models: to try things out",
    "bls-fast": "as bls, by reinforcement alone; decides in microseconds",
    "fading-fast": "as fading, by reinforcement alone; decides in microseconds",
    "general-hard-fast": "as general-hard, by reinforcement alone; decides in microseconds",
    "any-library-fast": "as any-library, by reinforcement alone; decides in microseconds",
    ANY_LIBRARY: "libraries drawn anew, 20 to 200 users, 10 to 100 models, any sharing: one agent for all",
}

_NOT_TEXT = ("library", "server")
_TYPES = get_type_hints(Scenario) | {
    **dict.fromkeys(("deadline", "theta", "bandwidth_hz"), float | tuple[float, float]),
    "n_models": int | tuple[int, int],
    "sharing": str | tuple[str, ...],
}

ScenarioFields = make_dataclass(
    "ScenarioFields",
    [(each.name, _TYPES[each.name]) for each in fields(Scenario) if each.name not in _NOT_TEXT],
    namespace={"__doc__": Scenario.__doc__},
    frozen=True,
)
"""The fields of `Scenario` that can be written on a command line; those that a `Family` draws may be ranges."""


def _fields_of(family: Family) -> Any:
    values = {each.name: getattr(family.scenario, each.name) for each in fields(ScenarioFields)}
    ranges = {name: getattr(family, name) for name in DRAWN if getattr(family, name) is not None}
    return ScenarioFields(**(values | ranges))


def _in_words(value: Any) -> str:
    """A field's value; a pair of numbers is a range."""
    if not isinstance(value, tuple):
        return str(value)
    return (" " if isinstance(value[0], str) else " to ").join(map(str, value))


@dataclass(frozen=True)
class Job:
    """Train an agent on a family and compare it with the planners; see `agents.jobs.Job`.

    Attributes:
        name: Name of the family.
        scenario: Fields of the scenario; two numbers where two are taken are a range, from which every episode draws. A
            library or a server of your own cannot be written here: call `agents.train`.
        training: How to train.
        samples: Sampled schedules that the agent chooses from in a second table; 0 for no such table.
    """

    objective: ClassVar[str] = "served ratio"
    planners: ClassVar[tuple[str, ...]] = (
        "optimal-dp",
        "greedy",
        "paper-dp",
        "paper-greedy",
        "independent",
        "max-overlap",
    )

    name: Annotated[str, tyro.conf.Suppress]
    scenario: Any  # ScenarioFields; so the command line knows it from the default
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")]
    samples: int = 64

    def __post_init__(self) -> None:
        require_integer("samples", self.samples, 0)

    @property
    def description(self) -> str:
        """One line."""
        return _DESCRIPTIONS.get(self.name, "")

    @property
    def preset(self) -> str:
        """Name of the family that is trained on."""
        return self.name

    @cached_property
    def family(self) -> Family:
        """The family, with the fields that differ from its own overridden.

        Raises:
            InvalidValue: A field is out of range.
            UnknownName: A backbone does not exist.
        """
        return Family.named(self.preset, **self._overridden)

    @property
    def _overridden(self) -> dict[str, Any]:
        """Fields that differ from the family's own."""
        own = asdict(_fields_of(Family.named(self.preset)))
        return {name: value for name, value in asdict(self.scenario).items() if value != own[name]}

    @property
    def evaluated_on(self) -> Scenario:
        """The scenario; of a family its own deadline and theta."""
        return self.family.scenario

    def trained_on(self) -> str:
        """The family's name, and what was overridden."""
        return ", ".join([self.name, *(f"{name} {_in_words(value)}" for name, value in self._overridden.items())])

    def episodes(self) -> str:
        """What the evaluation's episodes are, in words; of a family they have its own deadline and theta."""
        if self.family.is_one_scenario:
            return self.trained_on()
        its = [f"{name} {getattr(self.evaluated_on, name)}" for name in DRAWN]
        others = [f"{name} {_in_words(value)}" for name, value in self._overridden.items() if name not in DRAWN]
        return ", ".join([self.name, *others, *its])

    def train(self, out: Path, *, resume: bool, watch: Watch[Agent] | None = None) -> TrainingResult[Agent]:
        """Train; see `agents.partial_loading.training.train`."""
        return train(self.family, self.training, out, resume=resume, progress=watch is None, watch=watch)

    def slower_policies(self, agent: Agent) -> dict[str, Policy | str]:
        """The best of sampled schedules, where channels stay."""
        if self.samples == 0 or self.evaluated_on.fading == "batch":
            return {}
        return {f"agent-{self.samples}": BestOf(agent, self.samples)}

    def picture(self, plan: Schedule, instance: Instance) -> Figure:
        """A Gantt chart."""
        title = f"agent: {plan.served} of {plan.n_users} users served; evaluation episode 0"
        return gantt(plan, instance, title)

    def to_dict(self) -> dict[str, Any]:
        """The scenario and the config of the training, as JSON types."""
        return {"scenario": self.evaluated_on.to_dict(), "training": asdict(self.training)}


@dataclass(frozen=True)
class CompiledJob(Job):
    """The same with a network that plays in a compiled loop, by reinforcement alone.

    Attributes:
        name: Name of the family, or that and "-fast".
        scenario: As in `Job`.
        training: How to train.
        samples: As in `Job`.
    """

    training: Annotated[CompiledTrainingConfig, tyro.conf.arg(name="")]  # type: ignore[assignment]

    @property
    def preset(self) -> str:
        """Name of the family that is trained on."""
        return self.name.removesuffix("-fast")

    def train(self, out: Path, *, resume: bool, watch: Watch[Any] | None = None) -> TrainingResult[Any]:
        """Train; see `agents.partial_loading.compiled.training.train`."""
        return train_compiled(self.family, self.training, out, resume=resume, progress=watch is None, watch=watch)


def _job(name: str) -> Job:
    if name in COMPILED_RECIPES:
        return CompiledJob(name, _fields_of(Family.named(name.removesuffix("-fast"))), COMPILED_RECIPES[name])
    return Job(name, _fields_of(Family.named(name)), recipe(name))


JOBS = {name: _job(name) for name in (*Scenario.presets(), ANY_LIBRARY, *COMPILED_RECIPES)}
"""By name, a job for each agent that can be trained, with the recipe of the one that comes with the package."""
