"""What an agent is trained on: episodes of one scenario with loads and rules of eviction drawn anew for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from agents.online.looking import drain_parameters
from baselines.online.policies import tuned
from pl_env.low_level import generator_addresses
from pl_env.online.arrays import USER_COLUMNS, Floats, Ints, Tables
from pl_env.online.arrivals import MOST_FACTOR, RATE, draw_users
from pl_env.online.instance import EVICTIONS
from pl_env.online.scenario import Scenario
from pl_env.ranges import require_one_of, require_real


class Drawn(NamedTuple):
    """An episode to play.

    Attributes:
        tables: Its library.
        users: Its users, int64 (K, 5).
        parameters: What `parameters_of` gives.
    """

    tables: Tables
    users: Ints
    parameters: Floats


def parameters_of(tables: Tables) -> Floats:
    """A, C, P of `urgent-greedy` as it is shown to the network, and as it plays on in looks ahead, float64 (2, 3)."""
    return np.stack([tuned(tables), drain_parameters(tables)])


@dataclass(frozen=True)
class Family:
    """Episodes of one scenario.

    Attributes:
        scenario: What all have in common.
        rates: Arrivals a second (low, high), all equally likely.
        evictions: Rules of eviction, in turn.

    Raises:
        InvalidValue: A field is out of range.
    """

    scenario: Scenario = field(default_factory=lambda: Scenario(episode_seconds=10.0))
    rates: tuple[float, float] = (60.0, 200.0)
    evictions: tuple[str, ...] = ("demand", "lru")

    def __post_init__(self) -> None:
        require_real("rates[0]", self.rates[0], 0, above=True)
        require_real("rates[1]", self.rates[1], self.rates[0])
        for name in self.evictions:
            require_one_of("evictions", name, EVICTIONS)

    @property
    def most_users(self) -> int:
        """Most users of an episode."""
        return max(1, int(MOST_FACTOR * self.rates[1] * self.scenario.episode_seconds))

    @cached_property
    def tables(self) -> tuple[Tables, ...]:
        """The library under each rule of eviction."""
        return tuple(self.scenario.override(eviction=name).tables for name in self.evictions)

    def sample(self, rng: np.random.Generator, count: int) -> list[Drawn]:
        """Episodes.

        Args:
            rng: The source of all randomness.
            count: How many.
        """
        return [self._drawn(rng, self.tables[n % len(self.tables)]) for n in range(count)]

    def _drawn(self, rng: np.random.Generator, tables: Tables) -> Drawn:
        draws, rate = self.scenario.draws, rng.uniform(*self.rates)
        numbers = draws.numbers.copy()
        numbers[RATE] = rate
        most = max(1, int(MOST_FACTOR * rate * self.scenario.episode_seconds))
        users, ranks = np.empty((most, USER_COLUMNS), dtype=np.int64), np.empty(self.scenario.n_models, dtype=np.int64)
        function, state = generator_addresses([rng])[0].tolist()
        count = draw_users(function, state, draws._replace(numbers=numbers), ranks, users)
        return Drawn(tables, users[:count], parameters_of(tables))

    def to_dict(self) -> dict[str, Any]:
        """The fields, as JSON types."""
        return {
            "scenario": self.scenario.to_dict(),
            "rates": list(self.rates),
            "evictions": list(self.evictions),
        }
