"""What an agent is trained on: a scenario, whose deadline and sharing may differ from episode to episode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.ranges import require, require_integer, require_real
from pl_env.times import nanoseconds

ANY_LIBRARY = "any-library"

DRAWN = ("deadline", "theta")
"""Fields of a scenario that a family may draw from a range instead."""

_ANY_LIBRARY = {"n_users": (40, 120), "resample_library": True, "deadline": (0.4, 0.9), "theta": (0.75, 0.95)}


@dataclass(frozen=True)
class Family:
    """Scenarios that differ in their deadline and in how much their models share.

    Attributes:
        scenario: The scenario; its own deadline and theta hold where no range is given.
        deadline: Range in seconds from which every episode draws its deadline, or None.
        theta: Range from which every library draws its mean shared fraction, or None. It goes with
            ``scenario.resample_library``.
        episodes_per_library: Episodes in a row that share a library where libraries are drawn anew; drawing one takes
            as long as playing an episode.

    Raises:
        InvalidValue: A range is empty or out of bounds.
    """

    scenario: Scenario
    deadline: tuple[float, float] | None = None
    theta: tuple[float, float] | None = None
    episodes_per_library: int = 8

    def __post_init__(self) -> None:
        require_integer("episodes_per_library", self.episodes_per_library, 1)
        for name, most in (("deadline", 3600), ("theta", 1)):
            value = getattr(self, name)
            if value is not None:
                is_pair = isinstance(value, (tuple, list)) and len(value) == 2
                require(is_pair, name, value, "a pair, the lowest and the highest, or None")
                require_real(f"{name}[0]", value[0], 0, most)
                require_real(f"{name}[1]", value[1], value[0], most)
        drawn = self.theta is None or self.scenario.resample_library
        require(drawn, "theta", self.theta, "None unless scenario.resample_library is True")

    @property
    def is_one_scenario(self) -> bool:
        """Whether all episodes are of one scenario, so that an environment can play them."""
        return self.deadline is None and self.theta is None

    def sample(self, rng: np.random.Generator, count: int) -> list[Instance]:
        """Draw episodes.

        Args:
            rng: The source of all randomness.
            count: How many.
        """
        group = self.episodes_per_library if self.scenario.resample_library else count
        instances: list[Instance] = []
        while len(instances) < count:
            scenario = self._with_library(rng)
            for _ in range(min(group, count - len(instances))):
                instance = scenario.sample(rng)
                if self.deadline is not None:
                    instance = replace(instance, deadline_ns=nanoseconds(float(rng.uniform(*self.deadline))))
                instances.append(instance)
        return instances

    def _with_library(self, rng: np.random.Generator) -> Scenario:
        """The scenario with one library, drawn where libraries are drawn anew."""
        if not self.scenario.resample_library:
            return self.scenario
        theta = self.scenario.theta if self.theta is None else float(rng.uniform(*self.theta))
        return self.scenario.override(theta=theta, library_seed=int(rng.integers(2**31)), resample_library=False)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return {
            "scenario": self.scenario.to_dict(),
            "deadline": self.deadline and list(self.deadline),
            "theta": self.theta and list(self.theta),
            "episodes_per_library": self.episodes_per_library,
        }

    @classmethod
    def named(cls, name: str, **overrides: Any) -> Family:
        """A preset of `Scenario`, or "any-library": 40 to 120 users, theta .75 to .95, T_bar 400 to 900 ms.

        Args:
            name: The name.
            **overrides: Fields of the scenario, in place of its own; for deadline and theta a pair is a range that is
                drawn from.

        Raises:
            UnknownName: There is no such preset or field.
            InvalidValue: A field is out of range.
        """
        fields = _ANY_LIBRARY | overrides if name == ANY_LIBRARY else overrides
        ranges: dict[str, Any] = {
            field: fields[field] for field in DRAWN if isinstance(fields.get(field), (tuple, list))
        }
        rest = {field: value for field, value in fields.items() if field not in ranges}
        scenario = Scenario.preset("bls" if name == ANY_LIBRARY else name, **rest)
        if not scenario.resample_library and "theta" not in overrides:
            ranges.pop("theta", None)
        return cls(scenario, **ranges)
