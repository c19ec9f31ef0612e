"""Which episodes are played: drawn from a scenario of any system, or those of a benchmark set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pl_env.errors import UnknownName
from pl_env.protocols import BenchmarkSet, Instance, Scenario
from pl_env.ranges import require, require_integer
from pl_env.seeds import EVALUATION_STREAM, small_seed
from pl_env.systems import environment, face, split, system_of

EPISODES = 1000
"""How many are drawn from a scenario unless told otherwise."""


class Episode(NamedTuple):
    """One of the trials: its number, its instance, and the seed of what the environment draws later."""

    number: int
    instance: Instance
    seed: int


@dataclass(frozen=True)
class Trials:
    """The episodes that all players play. Episode n depends on the fields other than ``count`` and on n alone.

    Attributes:
        scenario: What they are drawn from.
        count: How many there are.
        seed: Their seed.
        stream: First entry of every episode's seed, (stream, seed, n); see `pl_env.seeds`. None: the plain seed + n.
        benchmark: The set whose first instances they are; None where they are drawn.
        preset: Name of the scenario, where it was given by name.
    """

    scenario: Scenario
    count: int
    seed: int = 0
    stream: int | None = EVALUATION_STREAM
    benchmark: BenchmarkSet | None = None
    preset: str | None = None

    @classmethod
    def of(
        cls,
        where: Scenario | BenchmarkSet | str,
        episodes: int | None = None,
        seed: int = 0,
        stream: int = EVALUATION_STREAM,
    ) -> Trials:
        """Trials by what a user says.

        Args:
            where: A scenario, a benchmark set, or the name of a preset or of a set.
            episodes: How many; None for `EPISODES`, or for all of a set.
            seed: Their seed.
            stream: First entry of their seeds.

        Raises:
            UnknownName: There is no such system, preset or set.
            InvalidValue: An argument is out of range, or ``where`` is something else.
        """
        require_integer("seed", seed, 0)
        require_integer("stream", stream, 0)
        place: Any = _named(where) if isinstance(where, str) else where
        system = system_of(place)
        if system is not None and isinstance(place, face(system).Scenario):
            require_integer("episodes", 1 if episodes is None else episodes, 1)
            name = where if isinstance(where, str) else None
            return cls(place, EPISODES if episodes is None else episodes, seed, stream, preset=name)
        is_set = system is not None and hasattr(place, "instances")
        require(is_set, "scenario", where, "a Scenario, a benchmark set, or the name of a preset or of a set")
        most = len(place.instances)
        require_integer("episodes", most if episodes is None else episodes, 1, most)
        return cls(place.scenario, most if episodes is None else episodes, seed, stream, place)

    def episode(self, n: int) -> Episode:
        """Episode n."""
        seeds = (self.seed + n,) if self.stream is None else (self.stream, self.seed, n)
        if self.benchmark is not None:
            return Episode(n, self.benchmark.instances[n], small_seed(*seeds))
        return Episode(n, self.scenario.sample(np.random.default_rng(seeds)), small_seed(*seeds))

    def environment(self) -> Any:
        """An environment that can play them; illegal actions are errors."""
        return environment(self.scenario, invalid_action="raise")

    def to_dict(self) -> dict[str, Any]:
        """What they are, as JSON types."""
        if self.benchmark is None:
            place: dict[str, Any] = {"preset": self.preset, "scenario": self.scenario.to_dict()}
        else:
            place = {"set": self.benchmark.name, "set_sha256": self.benchmark.content_hash()}
        return place | {"episodes": self.count, "seed": self.seed, "stream": self.stream}


def _named(name: str) -> Scenario | BenchmarkSet:
    """The preset or the benchmark set of a name, such as "slide/hard", or "bls" of the first system."""
    system, rest = split(name)
    of_system: Any = face(system)
    presets, sets = of_system.Scenario.presets(), of_system.benchmark_names()
    if rest not in (*presets, *sets):
        raise UnknownName("preset or benchmark set", name, (*presets, *sets))
    found: Scenario | BenchmarkSet = of_system.benchmark(rest) if rest in sets else of_system.Scenario.preset(rest)
    return found
