"""Policies made of solvers, and the random one."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from baselines.registry import solve, solvers
from pl_env.errors import UnknownName
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.partial_loading.instance import Instance


class Policy(Protocol):
    """Anything that chooses actions; learned agents and planners alike."""

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingEnv) -> int:
        """Choose an action.

        Args:
            observation: What the environment returned last.
            info: Likewise; holds the action mask.
            env: The environment itself, unwrapped, as a view for planners.
        """
        ...


class Planner:
    """A policy that follows a solver's schedule, and plans again whenever the plan no longer describes the episode.

    That is at the start of an episode, after every batch where channels are drawn anew, and after an action that was
    not the plan's. Where the solver serves nobody though some action is legal, the first legal action is taken.
    """

    def __init__(self, solver: str, **options: Any) -> None:
        """Make a policy of a solver.

        Args:
            solver: A name from `baselines.solvers()`.
            **options: Options for `baselines.solve`, except equal bandwidth channels, which the environment has not.

        Raises:
            UnknownName: There is no such solver.
        """
        if solver not in solvers():
            raise UnknownName("solver", solver, solvers())
        self.solver = solver
        self._options = options
        self._episode: Instance | None = None
        self._actions: list[int] = []
        self._expected: list[int] = []

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingEnv) -> int:
        """The next action of the plan; the observation and the info are not needed."""
        taken = env.schedule.actions(env)
        redrawn = env.instance.fading == "batch"
        if env.instance is not self._episode or redrawn or taken != self._expected or not self._actions:
            schedule = solve(env.remaining(), self.solver, **self._options)
            self._actions = schedule.actions(env)[::-1]
            self._episode = env.instance
            self._expected = taken
        action = self._actions.pop() if self._actions else int(np.argmax(info["action_mask"]))
        self._expected = [*taken, action]
        return action


class RandomPolicy:
    """Legal actions, all equally likely."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingEnv) -> int:
        """Draw a legal action."""
        return int(self._rng.choice(np.flatnonzero(info["action_mask"])))
