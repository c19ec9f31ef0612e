"""Online rules, which know who has arrived and nobody else, and the rollouts that improve on one of them.

Each is a policy in the environment, and a solver, which plays it on an instance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.compiling import compiled
from pl_env.seeds import ROLLOUT_STREAM
from pl_env.slide.dynamics import (
    ARRIVAL,
    DOWNLOAD,
    N_STEPS,
    PAIR_COLUMNS,
    USER_COLUMNS,
    Draws,
    Tables,
    describe_steps,
    draw_users,
)
from pl_env.slide.edf import DUE, REST, least_download, merge, play_rule, rule_limit
from pl_env.slide.env import SlideEnv
from pl_env.slide.instance import Instance
from pl_env.slide.plan import Plan
from pl_env.slide.scenario import DRAWS_PER_USER, Scenario
from pl_env.slide.stepping import HEAD, NOW, TAIL, USER

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

THRESHOLD = 0.3585
BACKLOG = (0.3264, 0.445, 0.306, 0.536)
"""Seconds, a factor, seconds, seconds: the best of 1,500 settings on 150 other instances of the preset "default"."""

N_FUTURES = 60


# ---------------------------------------------------------------- rules


class Rule:
    """Admit with the legal model of least download a_L, if that is within a limit.

    The limit is p0 + p1 · max(0, p2 - backlog) + p3 · max(0, 1 - 4 · to_come) seconds, where the backlog is what is
    promised, in seconds of the whole band, and to_come the share of the users who are still to come.
    """

    def __init__(self, p0: float, p1: float = 0.0, p2: float = 0.0, p3: float = 0.0) -> None:
        self.parameters: Floats = np.array([p0, p1, p2, p3], dtype=np.float64)

    def act(self, observation: Any, info: dict[str, Any], env: SlideEnv) -> int:
        """The rule's action; the observation is not needed."""
        episode = env.episode
        user, now, head, tail, _, backlog = episode.state.tolist()
        n_users = len(episode.users)
        limit = rule_limit(self.parameters, backlog, (n_users - 1 - user) / n_users)
        return 1 + least_download(episode.pairs[user], episode.steps[user], episode.queue, head, tail, now, limit)

    def play(self, instance: Instance) -> Plan:
        """The plan that the rule makes of an instance."""
        pairs, steps = instance.pairs_and_steps()
        n_users, n_committed = instance.n_users, len(instance.committed_due_ns)
        queue = np.empty((3, n_committed + n_users * steps.shape[3]), dtype=np.int64)
        queue[DUE, :n_committed], queue[REST, :n_committed] = instance.committed_due_ns, instance.committed_rest_ns
        models = np.empty(n_users, dtype=np.int64)
        play_rule(instance.users, pairs, steps, 0, queue, 0, n_committed, 0, n_users, self.parameters, models)
        return Plan.from_models(instance, models)


def accept_all(instance: Instance) -> Plan:
    """Admit whoever fits."""
    return Rule(np.inf).play(instance)


def threshold(instance: Instance, *, seconds: float = THRESHOLD) -> Plan:
    """Admit whoever fits and downloads no longer than that on the whole band."""
    return Rule(seconds).play(instance)


def backlog(
    instance: Instance,
    *,
    p0: float = BACKLOG[0],
    p1: float = BACKLOG[1],
    p2: float = BACKLOG[2],
    p3: float = BACKLOG[3],
) -> Plan:
    """Likewise, and longer while little is promised, and towards the end."""
    return Rule(p0, p1, p2, p3).play(instance)


# ---------------------------------------------------------------- rollouts


class Rollout:
    """Of refusing and every legal model, what serves most users on average, if a rule decides on those to come.

    These are drawn anew from the environment's scenario in each of M futures, which are the same for all choices; they
    arrive uniformly in what is left of the window. Ties go to admitting, and to the lesser download.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        n_futures: int = N_FUTURES,
        parameters: tuple[float, float, float, float] = BACKLOG,
    ) -> None:
        self._rng = rng
        self._n_futures = n_futures
        self._rule = np.array(parameters, dtype=np.float64)

    def act(self, observation: Any, info: dict[str, Any], env: SlideEnv) -> int:
        """The best action on average."""
        served = self.values(env)
        if len(served) == 1:
            return 0
        downloads = env.episode.pairs[env.episode.state[USER], :, DOWNLOAD]
        return max(served, key=lambda action: (served[action], action > 0, -downloads[action - 1] if action else 0))

    def values(self, env: SlideEnv) -> dict[int, int]:
        """Users served from now on, all futures together, by legal action; 0 where refusing alone is legal."""
        episode = env.episode
        legal = np.flatnonzero(episode.mask)
        if len(legal) == 1:
            return {0: 0}
        user, now, head, tail = episode.state[[USER, NOW, HEAD, TAIL]].tolist()
        n_total = len(episode.users)
        uniforms = self._rng.random((self._n_futures, DRAWS_PER_USER, n_total - 1 - user))
        window_ns = max(0.0, env.scenario.draws().window_ns - now)
        served = _served_in_futures(
            env.scenario.tables,
            env.scenario.draws(window_ns),
            uniforms,
            episode.pairs[user],
            episode.steps[user],
            legal,
            episode.queue[:, head:tail].copy(),
            now,
            n_total,
            self._rule,
        )
        return dict(zip(legal.tolist(), served.tolist(), strict=True))


@compiled
def _served_in_futures(
    tables: Tables,
    draws: Draws,
    uniforms: Floats,
    pairs: Ints,
    steps: Ints,
    actions: Ints,
    promised: Ints,
    now: int,
    n_total: int,
    rule: Floats,
) -> Ints:
    """Users served from now on, all futures together, for each action.

    Args:
        tables: The library and the device.
        draws: What users are drawn from, with what is left of the window.
        uniforms: float64 (M, 7, N), for the N users to come in each of M futures.
        pairs: int64 (I, 6), of the present user.
        steps: int64 (I, 2, L), of the present user.
        actions: int64, to compare.
        promised: int64 (3, C), the queue.
        now: Nanoseconds since the start.
        n_total: Users of the episode.
        rule: float64 (4,), for the users to come.
    """
    n_users, n_models, longest = uniforms.shape[2], steps.shape[0], steps.shape[2]
    served = np.zeros(len(actions), dtype=np.int64)
    users = np.empty((n_users, USER_COLUMNS), dtype=np.int64)
    future_pairs = np.empty((n_users, n_models, PAIR_COLUMNS), dtype=np.int64)
    future_steps = np.empty((n_users, n_models, 2, longest), dtype=np.int64)
    models = np.empty(n_users, dtype=np.int64)
    n_promised = promised.shape[1]
    queue = np.empty((3, n_promised + (n_users + 1) * longest), dtype=np.int64)
    for m in range(len(uniforms)):
        draw_users(uniforms[m], draws, users)
        users[:, ARRIVAL] += now
        describe_steps(tables, users, future_pairs, future_steps)
        for a in range(len(actions)):
            queue[:, :n_promised] = promised
            tail, model = n_promised, actions[a] - 1
            if model >= 0:
                tail = merge(queue, 0, tail, steps[model], pairs[model, N_STEPS], -1)
                served[a] += 1
            served[a] += play_rule(users, future_pairs, future_steps, 0, queue, 0, tail, now, n_total, rule, models)
    return served


def scenario_of(instance: Instance) -> Scenario | None:
    """The first preset that has the instance's models, or None."""
    names = instance.library.names
    scenarios = (Scenario.preset(name) for name in Scenario.presets())
    return next((scenario for scenario in scenarios if scenario.catalogue.names == names), None)


def rollout(instance: Instance, *, scenario: str = "", futures: int = N_FUTURES, seed: int = 0) -> Plan:
    """Play `Rollout` on an instance.

    Args:
        instance: The instance.
        scenario: Preset that the users to come are drawn from; the first one with these models unless given.
        futures: How many futures M.
        seed: Seed of the futures.
    """
    found = Scenario.preset(scenario) if scenario else scenario_of(instance)
    env = SlideEnv(found or "default")
    observation, info = env.reset(options={"instance": instance})
    policy = Rollout(np.random.default_rng((ROLLOUT_STREAM, seed)), futures)
    while env.any_legal:
        observation, _, _, _, info = env.step(np.int64(policy.act(observation, info, env)))
    return env.plan
