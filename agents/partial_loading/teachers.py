"""Who labels states, by what the instances are."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from agents.partial_loading.families import Family
from agents.partial_loading.imitation import ImitationConfig, Label, LabelledStates, PlayRound, play
from agents.partial_loading.network import SchedulingNetwork
from baselines.partial_loading.action_values import action_values
from baselines.partial_loading.lookahead import sampled_values
from baselines.partial_loading.searched_values import searched_values
from pl_env.errors import UnsupportedInstance
from pl_env.partial_loading.episodes import Episodes

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def plays_for(family: Family, config: ImitationConfig) -> PlayRound:
    """How a round of imitation gets its labelled states.

    Raises:
        UnsupportedInstance: The sharing has no clusters and channels are drawn anew; nothing covers that.
    """
    return partial(_play_round, family, _label_for(family, config), config)


def _play_round(
    family: Family,
    label: Label,
    config: ImitationConfig,
    network: SchedulingNetwork,
    number: int,
    rng: np.random.Generator,
) -> LabelledStates:
    return play(network, family, label, config, rng, teacher_plays=number < config.teacher_rounds)


def _label_for(family: Family, config: ImitationConfig) -> Label:
    """Clustered sharing has exact values, or sampled ones where channels are drawn anew; other sharing a search."""
    [instance] = family.sample(np.random.default_rng(0), 1)
    if instance.table.clusters is None:
        if instance.fading == "batch":
            raise UnsupportedInstance("imitation needs clustered sharing where channels are drawn anew")
        return partial(_by_search, config.searched_actions)
    return _by_sampling if instance.fading == "batch" else _exactly


def _exactly(episodes: Episodes, later_ns: Ints, scores: Floats, rng: np.random.Generator) -> Floats:
    """Counted in fractions of users: of two optimal actions the better one leaves more time for later mistakes."""
    return action_values(episodes, later_ns, fractional=True)


def _by_sampling(episodes: Episodes, later_ns: Ints, scores: Floats, rng: np.random.Generator) -> Floats:
    return sampled_values(episodes, rng, later_ns=later_ns)


_ITERATIONS = 200
"""Of a search, in a third of the default's time; `baselines.solve` with as many serves hardly less on general-hard."""


def _by_search(count: int, episodes: Episodes, later_ns: Ints, scores: Floats, rng: np.random.Generator) -> Floats:
    """The search values its own choice and those that the learner likes best."""
    liked = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    liked = np.where(np.isfinite(np.take_along_axis(scores, liked, 1)), liked, -1)
    return searched_values(episodes, liked, int(rng.integers(2**63)), _ITERATIONS)
