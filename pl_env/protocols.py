"""The four nouns that every system has, as `typing.Protocol`: what solving, planning and evaluating rely on.

``Scenario`` --sample(rng)--> ``Instance`` --solve--> ``Plan`` --check--> accepted. An ``Environment`` walks the same
instance step by step and ends in the same plan. Nothing inherits from these; they are here to be read, and for type
checkers.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray


class Instance(Protocol):
    """One episode's numbers, frozen."""

    @property
    def redraws(self) -> bool:
        """Whether an environment draws some of it anew in mid-episode: no plan made at the start holds to the end."""
        ...

    def content_hash(self) -> str:
        """SHA-256 (hex) of the contents."""
        ...


class Scenario(Protocol):
    """A family of episodes: a frozen dataclass of constants, with named presets."""

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one `Instance`; all randomness comes from the generator."""
        ...

    def override(self, **overrides: Any) -> Scenario:
        """This scenario with fields replaced."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        ...


class BenchmarkSet(Protocol):
    """Instances drawn from one scenario, each with the best plan known (N instances)."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def scenario(self) -> Any:
        """What the instances were drawn from; an environment of it can play them."""
        ...

    @property
    def instances(self) -> tuple[Any, ...]:
        """The N instances."""
        ...

    @property
    def objective(self) -> NDArray[np.float64]:
        """Objectives of the best plans known, float64 (N,)."""
        ...

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether each of them is proven optimal, bool (N,)."""
        ...

    def content_hash(self) -> str:
        """SHA-256 (hex) of the contents."""
        ...


class Plan(Protocol):
    """What was decided for a whole instance, and what it attains; it has passed the system's ``check``.

    Attributes:
        SENSE: "max" where a larger objective is better, else "min".
    """

    SENSE: ClassVar[str]

    @property
    def objective(self) -> float:
        """What it attains, in the system's unit."""
        ...

    @property
    def status(self) -> str:
        """Either "optimal", where no plan of the instance attains more, or "feasible"."""
        ...

    @property
    def bound(self) -> float:
        """No plan of the instance attains a better objective than this."""
        ...

    @property
    def solver(self) -> str:
        """Name of what made it."""
        ...

    @property
    def elapsed(self) -> float:
        """Seconds that took."""
        ...

    def __len__(self) -> int:
        """Decisions in it, one for each step of an environment."""
        ...

    def actions(self, env: Any) -> list[Any]:
        """What to play in an environment of the instance to get it."""
        ...


class Environment(Protocol):
    """A Gymnasium environment, unwrapped, as policies and planners see it."""

    scenario: Any

    @property
    def instance(self) -> Any:
        """The present episode's instance, as it was at the start."""
        ...

    @property
    def plan(self) -> Any:
        """The decisions so far, as a plan."""
        ...

    @property
    def any_legal(self) -> bool:
        """Whether the episode goes on."""
        ...

    def remaining(self) -> Any:
        """What is left of the episode as an instance of its own."""
        ...

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions are legal now."""
        ...
