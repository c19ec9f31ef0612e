"""What the network reads of episodes that are played side by side, and what it says of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from agents.partial_loading.network import READ, NetworkConfig, Observation, SchedulingNetwork, load_fraction
from baselines.partial_loading.action_values import ILLEGAL, action_values, later_uploads
from baselines.partial_loading.expected_uploads import later_upload_ns
from pl_env.partial_loading.episodes import Episodes

Arrays = dict[str, NDArray[np.float32]]
Later = NDArray[np.int64] | None

FAR_BELOW = 4.0
"""Users below the best action that an action is shown at most; illegal ones are shown as that."""


def observe(episodes: Episodes, config: NetworkConfig, later_ns: Later = None) -> Arrays:
    """Present observations by name, without "loading", which does not change.

    Args:
        episodes: The episodes.
        config: The network's.
        later_ns: As in `action_values`, where planned values are shown.
    """
    seen = {name: episodes.observations[name] for name in READ}
    return seen | plan_of(episodes, later_ns) if config.planned_values else seen


def plan_of(episodes: Episodes, later_ns: Later = None) -> Arrays:
    """What a planner that knows users' mean rates says: "planned_value", and "later_upload" of `later_uploads`.

    Args:
        episodes: The episodes.
        later_ns: As in `action_values`.
    """
    later_ns = later_upload_ns(episodes) if later_ns is None else later_ns
    return {"planned_value": planned_values(episodes, later_ns), "later_upload": later_uploads(episodes, later_ns)}


def planned_values(episodes: Episodes, later_ns: Later = None) -> NDArray[np.float32]:
    """Users that a planner expects from each action more than from the best one, float32 (N, I · b_cap) in [-4, 0].

    The planner is `baselines.Lookahead`: today's channels for the action, mean rates for what follows.

    Raises:
        UnsupportedInstance: The sharing is not clustered, or loading is not affine.
    """
    values = action_values(episodes, later_ns, fractional=True)
    below = np.maximum(values - values.max(axis=1, keepdims=True), -FAR_BELOW)
    return np.where(values > ILLEGAL, below, np.float32(-FAR_BELOW))


def loading_of(episodes: Episodes) -> NDArray[np.float32]:
    """The observation "loading" of all episodes: (N, I + 1, I), or (1, I + 1, I) where it is the same for all."""
    load_ns, deadline_ns = episodes.arrays.load_ns, episodes.arrays.deadline_ns
    if len(load_ns) == 1 and (deadline_ns == deadline_ns[0]).all():
        return load_fraction(load_ns, deadline_ns[:1])
    return load_fraction(load_ns[episodes.arrays.library], deadline_ns)


def take(observations: Arrays, loading: NDArray[np.float32], rows: NDArray[np.int64]) -> Observation:
    """Some rows of observations, for the network."""
    taken = {key: torch.from_numpy(value[rows]) for key, value in observations.items()}
    return taken | {"loading": torch.from_numpy(loading if len(loading) == 1 else loading[rows])}


def masked_scores(network: SchedulingNetwork, observation: Observation, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores (n, I · b_cap) of n states' actions, -inf where the mask says that they are not legal."""
    with torch.inference_mode():
        scores, _ = network(observation)
    return np.where(mask, scores.numpy(), np.float32(-np.inf))


def present_scores(
    network: SchedulingNetwork,
    episodes: Episodes,
    loading: NDArray[np.float32],
    rows: NDArray[np.int64],
    later_ns: Later = None,
) -> NDArray[np.float32]:
    """`masked_scores` of some episodes' present states."""
    observation = take(observe(episodes, network.config, later_ns), loading, rows)
    return masked_scores(network, observation, episodes.mask[rows])
