"""Rules and planners as policies in the environment, and as solvers, which play them on an instance."""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from baselines.online.rules import (
    RANDOM_MODEL,
    RULES,
    URGENT_GREEDY_DEMAND,
    URGENT_GREEDY_LRU,
    choose,
    play,
    run,
)
from pl_env.online.arrays import CHOICES, DEMAND, EVICTION, N_BATCHES, N_EVICTED, Episode, Tables
from pl_env.online.env import PartialLoadingOnlineEnv
from pl_env.online.episodes import episode_of, with_room
from pl_env.online.instance import Instance
from pl_env.online.plan import Plan

Floats = NDArray[np.float64]


class Chooses(Protocol):
    """What chooses a batch in an episode."""

    def choice(self, tables: Tables, e: Episode) -> int:
        """A legal batch in row 0, as model · b_cap + size - 1."""
        ...


class Rule:
    """A rule of `rules.RULES` as a policy: ``act`` in an environment, ``choice`` in an episode.

    It never waits. Where the agent names a model to evict, it names none.
    """

    def __init__(self, name: str, parameters: tuple[float, ...] | None = None) -> None:
        """Make a policy of a rule.

        Args:
            name: One of `rules.RULES` but "random-model", which needs random numbers: see `RandomModel`.
            parameters: A, C, P of "urgent-greedy"; unless given those that were tuned for the instance's eviction.
        """
        self.number = RULES.index(name)
        self._parameters = None if parameters is None else np.array(parameters, dtype=np.float64)

    def parameters(self, tables: Tables) -> Floats:
        """A, C, P."""
        return tuned(tables) if self._parameters is None else self._parameters

    def choice(self, tables: Tables, e: Episode) -> int:
        """The rule's batch."""
        return choose(tables, e, 0, self.number, self.parameters(tables))

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingOnlineEnv) -> int:
        """The rule's action; the observation is not needed."""
        return self.choice(env.tables, env.episode)


class RandomModel:
    """One of the models with a legal batch, all equally likely, and its largest legal batch; it never waits."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Make a policy.

        Args:
            rng: The source of its choices.
        """
        self._rng = rng

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingOnlineEnv) -> int:
        """A batch; the observation is not needed."""
        uniforms = np.full(1 + int(env.episode.state[0, N_BATCHES]), self._rng.random())
        return choose(env.tables, env.episode, 0, RANDOM_MODEL, uniforms)


def tuned(tables: Tables) -> Floats:
    """A, C, P of `urgent-greedy` for a rule of eviction."""
    return np.array(URGENT_GREEDY_DEMAND if tables.options[EVICTION] >= DEMAND else URGENT_GREEDY_LRU)


def plan_by_rule(instance: Instance, *, name: str, parameters: tuple[float, ...] | None = None) -> Plan:
    """What a rule makes of an instance, in one compiled call.

    Args:
        instance: The instance.
        name: One of `rules.RULES` but "random-model".
        parameters: As in `Rule`.
    """
    rule = Rule(name, parameters)
    start = time.perf_counter()
    tables, e = episode_of(instance)
    numbers = rule.parameters(tables)
    while not play(tables, e, 0, rule.number, numbers):
        e = with_room(e, int(e.state[0, N_EVICTED]))
    return Plan.of_episode(instance, e, solver=name, elapsed=time.perf_counter() - start)


def plan_at_random(instance: Instance, *, seed: int = 0) -> Plan:
    """One of the models with a legal batch, all equally likely, and its largest legal batch; never waits."""
    start = time.perf_counter()
    tables, e = episode_of(instance)
    uniforms = np.random.default_rng(seed).random(instance.n_users + 1)
    while not play(tables, e, 0, RANDOM_MODEL, uniforms):
        e = with_room(e, int(e.state[0, N_EVICTED]))
    return Plan.of_episode(instance, e, solver="random-model", elapsed=time.perf_counter() - start)


def plan_by(instance: Instance, policy: Chooses, name: str) -> Plan:
    """What a policy makes of an instance, one decision after the other.

    Args:
        instance: The instance.
        policy: What chooses.
        name: What the plan says that made it.
    """
    start = time.perf_counter()
    tables, e = episode_of(instance)
    while e.state[0, CHOICES] > 0:
        run(tables, e, 0, policy.choice(tables, e))
        e = with_room(e, int(e.state[0, N_EVICTED]))
    return Plan.of_episode(instance, e, solver=name, elapsed=time.perf_counter() - start)
