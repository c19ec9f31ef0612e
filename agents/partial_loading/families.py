"""What an agent is trained on: a scenario, of which some fields may differ from episode to episode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.library import SHARING
from pl_env.partial_loading.scenario import Scenario
from pl_env.ranges import require, require_integer, require_one_of, require_real
from pl_env.times import nanoseconds

ANY_LIBRARY = "any-library"

DRAWN = ("deadline", "theta", "n_models", "bandwidth_hz", "sharing")
"""Fields of a scenario that a family may draw instead."""

_OF_LIBRARIES = ("theta", "n_models", "sharing", "few_backbones")
"""Fields of a family that go with ``scenario.resample_library``."""

_ANY_LIBRARY = {
    "n_users": (20, 200),
    "resample_library": True,
    "deadline": (0.3, 0.9),
    "theta": (0.5, 0.95),
    "n_models": (10, 100),
    "bandwidth_hz": (20e6, 400e6),
    "sharing": SHARING,
}


@dataclass(frozen=True)
class Family:
    """Scenarios that differ in some fields.

    Attributes:
        scenario: The scenario; its own fields hold where no range is given.
        deadline: Range in seconds from which every episode draws its deadline, or None.
        theta: Range from which every library draws its mean shared fraction, or None. This and what follows, but for
            the bandwidth, go with ``scenario.resample_library``.
        n_models: Range, both ends included, from which every call of `sample` draws the number of models, or None.
        bandwidth_hz: Range of which every library's logarithm of the bandwidth is drawn, or None.
        sharing: Ways of sharing, of which every call of `sample` draws one, or None.
        few_backbones: Whether every library draws how many of the scenario's backbones it has, and which.
        episodes_per_library: Episodes in a row that share a library where libraries are drawn anew; drawing one takes
            as long as playing an episode.

    Raises:
        InvalidValue: A range is empty or out of bounds.
    """

    scenario: Scenario
    deadline: tuple[float, float] | None = None
    theta: tuple[float, float] | None = None
    n_models: tuple[int, int] | None = None
    bandwidth_hz: tuple[float, float] | None = None
    sharing: tuple[str, ...] | None = None
    few_backbones: bool = False
    episodes_per_library: int = 8

    def __post_init__(self) -> None:
        require_integer("episodes_per_library", self.episodes_per_library, 1)
        for name, least, most in (
            ("deadline", 0, 3600),
            ("theta", 0, 1),
            ("n_models", 1, 100_000),
            ("bandwidth_hz", 1, 1e12),
        ):
            value = getattr(self, name)
            if value is not None:
                is_pair = isinstance(value, (tuple, list)) and len(value) == 2
                require(is_pair, name, value, "a pair, the lowest and the highest, or None")
                require_real(f"{name}[0]", value[0], least, most)
                require_real(f"{name}[1]", value[1], value[0], most)
        for value in self.n_models or ():
            require_integer("n_models", value, 1)
        for kind in self.sharing or ():
            require_one_of("sharing", kind, SHARING)
        for name in _OF_LIBRARIES:
            value = getattr(self, name)
            drawn = value in (None, False) or self.scenario.resample_library
            require(drawn, name, value, "None unless scenario.resample_library is True")

    @property
    def is_one_scenario(self) -> bool:
        """Whether all episodes are of one scenario, so that an environment can play them."""
        return all(getattr(self, name) is None for name in DRAWN) and not self.few_backbones

    def kinds(self) -> list[Family]:
        """The families of each way of sharing."""
        return [replace(self, sharing=(kind,)) for kind in self.sharing] if self.sharing else [self]

    def sample(self, rng: np.random.Generator, count: int) -> list[Instance]:
        """Draw episodes, all with the same number of models.

        Args:
            rng: The source of all randomness.
            count: How many.
        """
        group = count
        if self.scenario.resample_library or self.bandwidth_hz is not None:
            group = self.episodes_per_library
        base = self.scenario
        if self.n_models is not None:
            base = base.override(n_models=int(rng.integers(self.n_models[0], self.n_models[1] + 1)))
        if self.sharing is not None:
            base = base.override(sharing=str(rng.choice(self.sharing)))
        instances: list[Instance] = []
        while len(instances) < count:
            scenario = self._drawn(base, rng)
            for _ in range(min(group, count - len(instances))):
                instance = scenario.sample(rng)
                if self.deadline is not None:
                    instance = replace(instance, deadline_ns=nanoseconds(float(rng.uniform(*self.deadline))))
                instances.append(instance)
        return instances

    def _drawn(self, scenario: Scenario, rng: np.random.Generator) -> Scenario:
        """The scenario with one library, drawn where libraries are drawn anew, and one bandwidth."""
        fields: dict[str, Any] = {}
        if self.bandwidth_hz is not None:
            fields["bandwidth_hz"] = float(np.exp(rng.uniform(*np.log(self.bandwidth_hz))))
        if not scenario.resample_library:
            return scenario.override(**fields) if fields else scenario
        if self.few_backbones:
            known = scenario.backbones
            chosen = rng.permutation(len(known))[: rng.integers(1, len(known) + 1)]
            fields["backbones"] = tuple(known[place] for place in sorted(chosen.tolist()))
        theta = scenario.theta if self.theta is None else float(rng.uniform(*self.theta))
        return scenario.override(theta=theta, library_seed=int(rng.integers(2**31)), resample_library=False, **fields)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        ranges = {name: getattr(self, name) and list(getattr(self, name)) for name in DRAWN}
        return {
            "scenario": self.scenario.to_dict(),
            **ranges,
            "few_backbones": self.few_backbones,
            "episodes_per_library": self.episodes_per_library,
        }

    @classmethod
    def named(cls, name: str, **overrides: Any) -> Family:
        """A preset of `Scenario`, or "any-library": libraries drawn anew.

        That is 20 to 200 users, 10 to 100 models of one to three backbones, theta .5 to .95, sharing of bottom layers
        or of any, T_bar 300 to 900 ms, 20 to 400 MHz.

        Args:
            name: The name.
            **overrides: Fields of the scenario, in place of its own; for those of `DRAWN` a pair is a range that is
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
        if not scenario.resample_library:
            for field in _OF_LIBRARIES:
                if field not in overrides:
                    ranges.pop(field, None)
        return cls(scenario, few_backbones=name == ANY_LIBRARY and scenario.resample_library, **ranges)
