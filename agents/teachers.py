"""Who labels states, by what the instances are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.families import Family
from agents.imitation import ImitationConfig, LabelledStates, PlayRound, play
from agents.network import SchedulingNetwork
from agents.self_labelling import play_for_the_best
from baselines.action_values import action_values
from baselines.episodes import Episodes
from baselines.lookahead import sampled_values
from pl_env.errors import UnsupportedInstance


def plays_for(family: Family, config: ImitationConfig) -> PlayRound:
    """How a round of imitation gets its labelled states.

    Clustered sharing has a teacher: exact values, or sampled ones where channels are drawn anew. For other sharing the
    learner labels its own schedules.

    Raises:
        UnsupportedInstance: The sharing has no clusters and channels are drawn anew; nothing covers that.
    """
    [instance] = family.sample(np.random.default_rng(0), 1)
    if instance.table.clusters is None:
        if instance.fading == "batch":
            raise UnsupportedInstance("imitation needs clustered sharing where channels are drawn anew")
        return lambda network, number, rng: play_for_the_best(network, family, config, rng)
    label = sampled_values if instance.fading == "batch" else _exact_values

    def play_round(network: SchedulingNetwork, number: int, rng: np.random.Generator) -> LabelledStates:
        return play(network if number >= config.teacher_rounds else None, family, label, config, rng)

    return play_round


def _exact_values(episodes: Episodes, rng: np.random.Generator) -> NDArray[np.float32]:
    """Counted in fractions of users: of two optimal actions the better one leaves more time for later mistakes."""
    return action_values(episodes, fractional=True)
