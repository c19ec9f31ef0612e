"""A system as different from PartialLoading as can be, for what knows no system: one guess, a Box, less is better."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import gymnasium
import numpy as np

from pl_env.configured import Configured


@dataclass(frozen=True)
class Instance:
    number: float
    redraws: ClassVar[bool] = False

    def content_hash(self) -> str:
        return repr(self.number)


@dataclass(frozen=True)
class Scenario(Configured):
    """Guess a number between 0 and ``most``."""

    PRESETS: ClassVar = {"tiny": dict}

    most: float = 1.0

    def sample(self, rng: np.random.Generator) -> Instance:
        return Instance(1 + self.most * float(rng.random()))

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """The guess; what it costs is its distance from the number, plus 1."""

    SENSE: ClassVar[str] = "min"

    instance: Instance
    guesses: tuple[float, ...] = ()
    solver: str = "environment"
    status: str = "feasible"
    bound: float = 1.0
    elapsed: float = 0.0

    @property
    def objective(self) -> float:
        return 1 + abs(self.guesses[0] - self.instance.number)

    def __len__(self) -> int:
        return len(self.guesses)

    def actions(self, env) -> list[np.ndarray]:
        return [np.array([guess]) for guess in self.guesses]


@dataclass(frozen=True)
class BenchmarkSet:
    name: str
    scenario: Scenario
    instances: tuple[Instance, ...]

    @property
    def objective(self) -> np.ndarray:
        return np.ones(len(self.instances))

    @property
    def is_optimal(self) -> np.ndarray:
        return np.ones(len(self.instances), dtype=bool)

    def content_hash(self) -> str:
        return repr(self.instances)


def benchmark_names() -> tuple[str, ...]:
    return ("two",)


def benchmark(name: str) -> BenchmarkSet:
    return BenchmarkSet(name, Scenario(), (Instance(1.25), Instance(1.5)))


class Env(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0.0, 2.0, (1,))
    action_space = gymnasium.spaces.Box(0.0, 2.0, (1,))

    def __init__(self, scenario: Scenario, invalid_action: str = "terminate") -> None:
        self.scenario = scenario

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.instance = (options or {}).get("instance") or self.scenario.sample(self.np_random)
        self.plan = Plan(self.instance)
        return np.array([self.instance.number], dtype=np.float32), {}

    def step(self, action):
        self.plan = Plan(self.instance, (float(action[0]),))
        return np.zeros(1, dtype=np.float32), -self.plan.objective, True, False, {}

    @property
    def any_legal(self) -> bool:
        return len(self.plan) == 0

    def remaining(self) -> Instance:
        return self.instance
