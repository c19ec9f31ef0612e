"""Where no teacher is at hand: the best of many schedules that the learner samples is the one to imitate.

After A. Corsini et al., Self-labeling the job shop scheduling problem, NeurIPS 2024. Works with any sharing, and needs
an agent to begin with that is no worse than chance.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agents.families import Family
from agents.imitation import ImitationConfig, LabelledStates, loading_of, masked_scores
from agents.network import SchedulingNetwork
from baselines.action_values import ILLEGAL
from baselines.episodes import Episodes


def play_for_the_best(
    learner: SchedulingNetwork, family: Family, config: ImitationConfig, rng: np.random.Generator
) -> LabelledStates:
    """Sample many schedules of every episode, and label the states of the best with what it did there.

    The action of the best schedule is worth what the schedule serves from there on, any other one user less.

    Args:
        learner: Who plays.
        family: What to play; its channels stay for the episode.
        config: How: ``episodes``, and ``own_samples`` schedules of each, of which one is arg-max.
        rng: The source of all randomness.
    """
    n, samples = config.episodes, config.own_samples
    instances = family.sample(rng, n)
    episodes = Episodes([each for each in instances for _ in range(samples)], family.scenario.max_batch_size)
    by_sampling = np.arange(n * samples) % samples > 0
    loading = loading_of(episodes)
    taken: list[NDArray[np.int64]] = []
    while (rows := np.flatnonzero(episodes.running)).size > 0:
        scores = masked_scores(learner, episodes, loading, rows)
        scores += by_sampling[rows, None] * rng.gumbel(size=scores.shape)
        actions = np.full(n * samples, -1, dtype=np.int64)
        actions[rows] = scores.argmax(axis=1)
        episodes.step(actions)
        taken.append(actions)
    served = episodes.states.served.reshape(n, samples)
    best = served.argmax(axis=1)
    actions_of_best = np.stack(taken)[:, np.arange(n) * samples + best]
    reached = float(served[:, 0].sum() / served.max(axis=1).sum())
    return _replay(Episodes(instances, family.scenario.max_batch_size), actions_of_best, served.max(axis=1), reached)


def _replay(
    episodes: Episodes, actions: NDArray[np.int64], served: NDArray[np.int64], reached: float
) -> LabelledStates:
    """Walk through the best schedules again and keep their states.

    Args:
        episodes: The episodes, at their beginning.
        actions: int64 (steps, N), -1 after the end.
        served: int64 (N,), users that each schedule serves.
        reached: To be handed on.
    """
    loading = loading_of(episodes)
    kept: list[dict[str, NDArray[np.float32]]] = []
    kept_values, kept_rows = [], []
    for now in actions:
        rows = np.flatnonzero(now >= 0)
        kept.append({key: value[rows] for key, value in episodes.observations.items()})
        rest = (served - episodes.states.served)[rows, None].astype(np.float32)
        values = np.where(episodes.mask[rows], np.maximum(0, rest - 1), np.float32(ILLEGAL))
        values[np.arange(len(rows)), now[rows]] = rest[:, 0]
        kept_values.append(values)
        kept_rows.append(rows)
        episodes.step(now)
    every = np.concatenate(kept_rows)
    observation = {key: torch.from_numpy(np.concatenate([part[key] for part in kept])) for key in kept[0]}
    observation["loading"] = torch.from_numpy(loading if len(loading) == 1 else loading[every])
    return LabelledStates(
        observation,
        torch.from_numpy(np.concatenate(kept_values)),
        torch.from_numpy(episodes.states.n_users[every].astype(np.float32)),
        reached,
    )
