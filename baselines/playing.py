"""Paired episodes: who plays them, and what comes of it. Evaluation and the figures stand on this."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from baselines.parallel import Workers, map_tasks, require_workers, side_by_side
from baselines.policies import FunctionPolicy, ModelPolicy, Planner, Policy, RandomPolicy
from baselines.registry import solve, solvers
from baselines.solver import Solver
from baselines.trials import Episode, Trials
from pl_env.errors import InvalidAction, InvalidValue, UnknownName, UnsupportedInstance
from pl_env.protocols import Plan
from pl_env.seeds import RANDOM_POLICY_STREAM
from pl_env.systems import system_of

RANDOM = "random"
"""The name of the policy that draws legal actions."""

_CHUNKS_PER_WORKER, _CHUNKS_TO_SHOW = 4, 100


# ---------------------------------------------------------------- who plays


class Outcome(NamedTuple):
    """What a player made of an episode.

    Attributes:
        plan: What was decided.
        seconds: Seconds spent deciding.
        illegal: Whether an illegal action ended it.
    """

    plan: Plan
    seconds: float
    illegal: bool = False


Player = Callable[[Any, Episode], Outcome]
"""Plays an episode; the environment is there for those that need one. Can be pickled."""


@dataclass(frozen=True)
class SolvesAhead:
    """A player that takes a solver's plan for the whole episode.

    Attributes:
        solver: A name from `baselines.solvers()`.
        options: The solver's options.
    """

    solver: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, env: Any, episode: Episode) -> Outcome:
        """The plan, with the seconds that it says of itself; those by the clock where it says nothing."""
        start = time.perf_counter()
        plan: Plan = solve(episode.instance, self.solver, **self.options)
        return Outcome(plan, plan.elapsed or time.perf_counter() - start)


@dataclass(frozen=True)
class Acts:
    """A player that lets a policy act in the environment.

    Attributes:
        policy: The policy.
        may_err: An illegal action ends the episode, and what was attained until then counts; else it is an error.
    """

    policy: Policy
    may_err: bool = False

    def __call__(self, env: Any, episode: Episode) -> Outcome:
        """The plan that its actions make."""
        observation, info = env.reset(seed=episode.seed, options={"instance": episode.instance})
        seconds, ended = 0.0, not env.any_legal
        while not ended:
            start = time.perf_counter()
            action = self.policy.act(observation, info, env)
            seconds += time.perf_counter() - start
            try:
                observation, _, terminated, truncated, info = env.step(action)
            except InvalidAction:
                if not self.may_err:
                    raise
                return Outcome(env.plan, seconds, illegal=True)
            ended = terminated or truncated
        return Outcome(env.plan, seconds)


@dataclass(frozen=True)
class ActsAtRandom:
    """A player that draws legal actions, from a generator of each episode's own.

    Attributes:
        seed: Second entry of the generators' seeds, (RANDOM_POLICY_STREAM, seed, n).
    """

    seed: int

    def __call__(self, env: Any, episode: Episode) -> Outcome:
        """The plan that its actions make."""
        rng = np.random.default_rng((RANDOM_POLICY_STREAM, self.seed, episode.number))
        return Acts(RandomPolicy(rng))(env, episode)


_KINDS = (
    f'the name of a solver, a pair of that and a dict of its options, "{RANDOM}", a Policy with '
    "act(observation, info, env), a function of (observation, info), or a stable-baselines3 model"
)


def player_of(policy: object, trials: Trials, field_name: str = "policy") -> Player:
    """The player that a policy is, refused here if it cannot play the trials.

    Args:
        policy: A solver's name, or a pair of that and its options; "random"; a `Policy`; a function of the observation
            and the info; or a stable-baselines3 model.
        trials: What it is to play.
        field_name: What errors call it.

    Raises:
        UnknownName: There is no such solver or option.
        InvalidValue: It is something else, or it reads or plays something else than the environment has.
        UnsupportedInstance: The solver does not cover the scenario.
    """
    if isinstance(policy, str):
        if policy == RANDOM:
            return ActsAtRandom(trials.seed)
        policy = (policy, {})
    if isinstance(policy, tuple) and len(policy) == 2 and isinstance(policy[0], str) and isinstance(policy[1], Mapping):
        name, options = policy
        require_covered(trials, name, options)
        redraws = trials.episode(0).instance.redraws
        return Acts(Planner(name, **options)) if redraws else SolvesAhead(name, dict(options))
    if isinstance(policy, type):
        raise InvalidValue(f"{field_name} is the class {policy.__name__}; it must be an object of it, or {_KINDS}")
    if _takes(getattr(policy, "act", None), 3):
        if isinstance(policy, Planner):
            require_covered(trials, policy.solver, policy.options)
        return Acts(policy)  # type: ignore[arg-type]
    if hasattr(policy, "predict") and hasattr(policy, "observation_space"):
        model = ModelPolicy(policy, trials.environment(), field_name)
        return Acts(model, may_err=not model.knows_masks)
    if _takes(policy, 2):
        return Acts(FunctionPolicy(policy))  # type: ignore[arg-type]
    raise InvalidValue(f"{field_name} is {policy!r}; it must be {_KINDS}")


def _takes(function: object, n_arguments: int) -> bool:
    """Whether a thing can be called with so many arguments; what does not say counts as if it could."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*range(n_arguments))
    except TypeError:
        return False
    except ValueError:
        pass
    return True


def solvers_of(trials: Trials) -> dict[str, Solver]:
    """The solvers of the trials' system, by name, its default first."""
    return solvers(system_of(trials.scenario))


def require_covered(trials: Trials, name: str, options: Mapping[str, Any]) -> None:
    """Raise unless a solver with options covers the trials: all of a set, the first of a scenario, which are alike.

    Raises:
        UnknownName: There is no such solver or option.
        InvalidValue: An option is out of range.
        UnsupportedInstance: The solver does not cover it.
    """
    known = solvers_of(trials)
    if name not in known:
        raise UnknownName("solver", name, (RANDOM, *known))
    known[name].check_options(options)
    for n in range(1 if trials.benchmark is None else trials.count):
        if reason := known[name].why_not(trials.episode(n).instance):
            raise UnsupportedInstance(reason)


# ---------------------------------------------------------------- playing


class Record(NamedTuple):
    """What P players made of E episodes.

    Attributes:
        objective: float64 (P, E).
        seconds: float64 (P, E), spent deciding.
        decisions: int64 (P, E), length of the plans.
        proven: bool (P, E), whether the player proved its plan to be optimal.
        illegal: bool (P, E), whether an illegal action ended the episode.
        sense: "max" where a larger objective is better, else "min".
    """

    objective: NDArray[np.float64]
    seconds: NDArray[np.float64]
    decisions: NDArray[np.int64]
    proven: NDArray[np.bool_]
    illegal: NDArray[np.bool_]
    sense: str


class _Chunk(NamedTuple):
    """Episodes [first, last) of the trials."""

    first: int
    last: int


@dataclass(frozen=True)
class _Plays:
    """Lets players play chunks of the trials.

    Attributes:
        players: They.
        trials: The trials.
        warm_up: Whether all play an episode before, without the clock, in every process that the run comes to.
        copies: Whether copies of the players do that, so that what they remember does not depend on the process.
        run: A name that no other run has.
    """

    players: tuple[Player, ...]
    trials: Trials
    warm_up: bool
    copies: bool
    run: str

    def __call__(self, chunk: _Chunk) -> Record:
        """The record of a chunk."""
        env = self.trials.environment()
        if self.warm_up and self.run not in _WARM:
            _WARM.add(self.run)
            episode = self.trials.episode(chunk.first)._replace(seed=0)
            players = copy.deepcopy(self.players) if self.copies else self.players
            for player in players:
                player(env, episode)
        return _record(self.players, self.trials, chunk, env)


_WARM: set[str] = set()
"""Runs that have begun in this process."""


def play(
    players: Sequence[Player],
    trials: Trials,
    *,
    workers: Workers = 1,
    warm_up: bool = True,
    progress: bool = False,
    title: str = "playing",
) -> Record:
    """Let players play the same episodes.

    Args:
        players: The players. Each task has copies of its own, so what one remembers from episode to episode counts
            only with one worker.
        trials: The episodes.
        workers: Who does it, see `baselines.parallel.Workers`. Times are those of a machine that is shared.
        warm_up: Let everybody play an episode without the clock before, as kernels compile at their first call.
        progress: Show a progress bar.
        title: Title of the bar.
    """
    require_workers(workers)
    at_a_time = side_by_side(workers)
    alone = at_a_time == 1 and not isinstance(workers, str)
    parts = (_CHUNKS_TO_SHOW if progress else 1) if alone else _CHUNKS_PER_WORKER * at_a_time
    size = ceil(trials.count / parts)
    chunks = [_Chunk(start, min(start + size, trials.count)) for start in range(0, trials.count, size)]
    plays = _Plays(tuple(players), trials, warm_up, copies=not alone, run=uuid4().hex)
    records = list(map_tasks(plays, chunks, workers=workers, progress=progress, title=title, unit="part"))
    arrays = [name for name in Record._fields if name != "sense"]
    joined: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in records], axis=1) for name in arrays}
    return records[0]._replace(**joined)


def _record(players: tuple[Player, ...], trials: Trials, chunk: _Chunk, env: Any) -> Record:
    shape = (len(players), chunk.last - chunk.first)
    record = Record(
        objective=np.zeros(shape),
        seconds=np.zeros(shape),
        decisions=np.zeros(shape, dtype=np.int64),
        proven=np.zeros(shape, dtype=np.bool_),
        illegal=np.zeros(shape, dtype=np.bool_),
        sense="",
    )
    sense = ""
    for column in range(shape[1]):
        episode = trials.episode(chunk.first + column)
        for row, player in enumerate(players):
            plan, seconds, illegal = player(env, episode)
            record.objective[row, column] = plan.objective
            record.seconds[row, column] = seconds
            record.decisions[row, column] = len(plan)
            record.proven[row, column] = plan.status == "optimal"
            record.illegal[row, column] = illegal
            sense = plan.SENSE
    return record._replace(sense=sense)
