"""Who labels states, by what the instances are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from agents.partial_loading.families import Family
from agents.partial_loading.imitation import ImitationConfig, LabelledStates, PlayPart, Teacher, play
from agents.partial_loading.network import SchedulingNetwork
from baselines.partial_loading.action_values import action_values
from baselines.partial_loading.lookahead import sampled_values
from baselines.partial_loading.searched_values import searched_values
from pl_env.errors import UnsupportedInstance
from pl_env.partial_loading.episodes import Episodes
from pl_env.partial_loading.instance import Instance

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def plays_for(family: Family, config: ImitationConfig) -> list[PlayPart]:
    """How a round of imitation gets its labelled states.

    Raises:
        UnsupportedInstance: The sharing has no clusters and channels are drawn anew; nothing covers that.
    """
    kinds = family.kinds()
    for kind in kinds:
        teacher_of(kind.sample(np.random.default_rng(0), 1), config)
    episodes = -(-config.episodes // (len(kinds) * config.parts))
    return [partial(_play_part, kind, config, episodes) for kind in kinds * config.parts]


def _play_part(
    family: Family,
    config: ImitationConfig,
    episodes: int,
    network: SchedulingNetwork,
    number: int,
    rng: np.random.Generator,
) -> LabelledStates:
    teacher_plays = number < config.teacher_rounds
    instances = family.sample(rng, -(-episodes // 3) if teacher_plays else episodes)
    return play(network, instances, teacher_of(instances, config), config, rng, teacher_plays)


def teacher_of(instances: Sequence[Instance], config: ImitationConfig) -> Teacher:
    """Clustered sharing has exact values, or sampled ones where channels are drawn anew; other sharing a search.

    Raises:
        UnsupportedInstance: The sharing has no clusters and channels are drawn anew; nothing covers that.
    """
    redraws = instances[0].fading == "batch"
    if all(instance.table.clusters is not None for instance in instances):
        return Teacher(_by_sampling if redraws else _exactly)
    if redraws:
        raise UnsupportedInstance("imitation needs clustered sharing where channels are drawn anew")
    return Teacher(partial(_by_search, config.searched_actions), costly=True)


def _exactly(episodes: Episodes, later_ns: Ints, scores: Floats, wanted: Ints, rng: np.random.Generator) -> Floats:
    """Counted in fractions of users: of two optimal actions the better one leaves more time for later mistakes."""
    return action_values(episodes, later_ns, fractional=True)


def _by_sampling(episodes: Episodes, later_ns: Ints, scores: Floats, wanted: Ints, rng: np.random.Generator) -> Floats:
    return sampled_values(episodes, rng, later_ns=later_ns)


_ITERATIONS = 200
"""Of a search, in a third of the default's time; `baselines.solve` with as many serves hardly less on general-hard."""


def _by_search(
    count: int, episodes: Episodes, later_ns: Ints, scores: Floats, wanted: Ints, rng: np.random.Generator
) -> Floats:
    """The search values its own choice and those that the learner likes best."""
    liked = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    liked = np.where(np.isfinite(np.take_along_axis(scores, liked, 1)), liked, -1)
    return searched_values(episodes, liked, int(rng.integers(2**63)), _ITERATIONS, rows=wanted)
