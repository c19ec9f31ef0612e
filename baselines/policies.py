"""Policies: planners, the random one, and what makes a policy of a function or of a stable-baselines3 model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium
import numpy as np

from baselines.registry import solve, solvers
from pl_env.errors import UnknownName
from pl_env.protocols import Environment, Plan
from pl_env.ranges import require
from pl_env.systems import SYSTEMS


class Policy(Protocol):
    """Anything that chooses actions; learned agents and planners alike."""

    def act(self, observation: Any, info: dict[str, Any], env: Any) -> Any:
        """Choose an action.

        Args:
            observation: What the environment returned last.
            info: Likewise; holds the action mask.
            env: The environment itself, unwrapped, as a view for planners.
        """
        ...


class Replanning:
    """Base of policies that follow a plan, and plan again whenever the plan no longer describes the episode.

    That is at the start of an episode, after every step where something is drawn anew, after an action that was not the
    plan's, and at the plan's end. Where there is nothing in the plan though some action is legal, the first legal
    action is taken.
    """

    _episode: Any = None
    _actions: list[Any]
    _expected: list[Any]

    def planned_actions(self, env: Any) -> list[Any]:
        """Actions for what is left of the environment's episode."""
        raise NotImplementedError

    def act(self, observation: Any, info: dict[str, Any], env: Any) -> Any:
        """The next action of the plan."""
        taken = env.plan.actions(env)
        followed = env.instance is self._episode and np.array_equal(taken, self._expected)
        if not followed or env.instance.redraws or not self._actions:
            self._actions = self.planned_actions(env)[::-1]
            self._episode = env.instance
        action = self._actions.pop() if self._actions else _first_legal(info)
        self._expected = [*taken, action]
        return action


class Planner(Replanning):
    """A policy that follows a solver's plan, and plans again whenever the plan no longer describes the episode."""

    def __init__(self, solver: str, **options: Any) -> None:
        """Make a policy of a solver.

        Args:
            solver: A name from `baselines.solvers()`.
            **options: Options for `baselines.solve`, except equal bandwidth channels, which the environment has not.

        Raises:
            UnknownName: There is no such solver.
        """
        if not any(solver in solvers(system) for system in SYSTEMS):
            raise UnknownName("solver", solver, [name for system in SYSTEMS for name in solvers(system)])
        self.solver, self.options = solver, options

    def planned_actions(self, env: Environment) -> list[Any]:
        """What the solver's plan for the rest of the episode plays."""
        return list(solve(env.remaining(), self.solver, **self.options).actions(env))


class FollowPlan:
    """A policy that plays the actions of one plan, whatever happens; after its end, the first legal action."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def act(self, observation: Any, info: dict[str, Any], env: Environment) -> Any:
        """The plan's action for the present step."""
        step, actions = len(env.plan), self.plan.actions(env)
        return actions[step] if step < len(actions) else _first_legal(info)


class RandomPolicy:
    """Legal actions, all equally likely."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def act(self, observation: Any, info: dict[str, Any], env: Any) -> int:
        """Draw a legal action."""
        return int(self._rng.choice(np.flatnonzero(info["action_mask"])))


def _first_legal(info: dict[str, Any]) -> int:
    return int(np.argmax(info["action_mask"]))


class FunctionPolicy:
    """A policy made of a function of the observation and the info."""

    def __init__(self, function: Callable[[Any, dict[str, Any]], Any]) -> None:
        self.function = function

    def act(self, observation: Any, info: dict[str, Any], env: Any) -> Any:
        """What the function says."""
        return self.function(observation, info)


class ModelPolicy:
    """A policy made of a stable-baselines3 model: its most likely action, of the legal ones if it knows masks."""

    def __init__(self, model: Any, env: gymnasium.Env[Any, Any], field_name: str = "model") -> None:
        """Wrap a model.

        Args:
            model: What ``PPO``, ``MaskablePPO`` and their kin are; it reads the environment's observation, or the same
                as one flat vector.
            env: An environment that it is to play.
            field_name: What errors call it.

        Raises:
            InvalidValue: The model's observations or actions are not the environment's.
        """
        ours, theirs = env.observation_space, model.observation_space
        flat = gymnasium.spaces.flatten_space(ours)
        self.model, self._is_flat = model, _shapes(theirs) != _shapes(ours)
        require(
            not self._is_flat or _shapes(theirs) == _shapes(flat),
            f"the observation space of {field_name}",
            theirs,
            f"{ours} or, flattened, {flat}: train it in environments of this scenario, or of the same sizes",
        )
        allowed = f"{env.action_space}, as in this scenario"
        same = model.action_space == env.action_space
        require(same, f"the action space of {field_name}", model.action_space, allowed)
        self.knows_masks = "action_masks" in inspect.signature(model.predict).parameters

    def act(self, observation: Any, info: dict[str, Any], env: Any) -> Any:
        """The model's action."""
        if self._is_flat:
            observation = gymnasium.spaces.flatten(env.observation_space, observation)
        masks = {"action_masks": env.action_masks()} if self.knows_masks else {}
        action, _ = self.model.predict(observation, deterministic=True, **masks)
        return action


def _shapes(space: gymnasium.Space[Any]) -> Any:
    """Shapes of a space's arrays; by key where it is a Dict."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: _shapes(part) for key, part in space.items()}
    return space.shape
