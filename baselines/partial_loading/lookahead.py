"""Planning where channels are drawn anew before every batch: one step ahead, or two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.partial_loading.action_values import ILLEGAL, action_values
from baselines.partial_loading.expected_uploads import LATER_SCALE, later_upload_ns
from pl_env.partial_loading.env import PartialLoadingEnv
from pl_env.partial_loading.episodes import Episodes
from pl_env.ranges import require, require_integer, require_real

_STREAM = 31
"""First entry of the seed, so that no environment's channels are foreseen; see `pl_env.seeds`."""

_WITHIN = 1.0
"""Users by which an action may be worse, one step ahead, for a second step to be looked at."""


def sampled_values(
    episodes: Episodes,
    rng: np.random.Generator,
    draws: int = 8,
    most_actions: int = 5,
    later_ns: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Values like those of `action_values`, where the best actions are looked at two steps ahead.

    For each of them the channels after it are drawn, the same for all actions of a state, and the best action under
    each draw is valued as `action_values` does; their mean counts. The other actions keep their order and their
    distance from the best one.

    Args:
        episodes: Episodes whose channels are drawn anew.
        rng: Draws the channels.
        draws: How often.
        most_actions: Of how many actions at most.
        later_ns: As in `action_values`.

    Returns:
        float32 (N, I · b_cap).

    Raises:
        InvalidValue: ``draws`` or ``most_actions`` is below 1.
    """
    require_integer("draws", draws, 1)
    require_integer("most_actions", most_actions, 1)
    later_ns = later_upload_ns(episodes) if later_ns is None else later_ns
    values = action_values(episodes, later_ns, fractional=True)
    running = np.flatnonzero(episodes.running)
    here = values[running]
    top = np.argsort(-here, axis=1, kind="stable")[:, :most_actions]
    worth_it = np.take_along_axis(here, top, 1) > np.maximum(ILLEGAL, here.max(axis=1, keepdims=True) - _WITHIN)
    row, column = np.nonzero(worth_it)
    actions = top[row, column]
    branches = np.repeat(running[row], draws)
    after = episodes.branch(branches)
    uniforms = rng.random((len(running), draws, after.arrays.uniforms.shape[1]))
    after.step(np.repeat(actions, draws), uniforms[row].reshape(len(row) * draws, uniforms.shape[2]))
    best_after = action_values(after, later_ns[branches], fractional=True).max(axis=1)
    following = np.maximum(0, best_after).reshape(len(row), draws).mean(axis=1)
    batch_cap = episodes.observations["batch_time"].shape[2]
    ahead = np.full(top.shape, np.nan, dtype=np.float32)
    ahead[row, column] = actions % batch_cap + 1 + following
    here = np.where(here > ILLEGAL, here + ahead[:, :1] - here.max(axis=1, keepdims=True), here)
    here[row, actions] = ahead[row, column]
    values[running] = np.where(episodes.mask[running], np.maximum(here, 0), ILLEGAL)
    return values


class Lookahead:
    """A policy that costs each action at today's channels, and plans what follows at about every user's mean rate.

    Of the actions with as many users it prefers the one that leaves most time, counted in parts of one user more:
    without that it serves one point less. With ``draws`` above 0 it looks at the best actions two steps ahead. For
    clustered bottom-layer sharing.
    """

    def __init__(
        self, later_scale: float = LATER_SCALE, fractional: bool = True, draws: int = 0, seed: int = 0
    ) -> None:
        """Make the policy.

        Args:
            later_scale: Later uploads take so many times the upload time at a user's mean rate; 0 takes them as
                today's.
            fractional: Count the part that is left over of the time for one user more; else ties go to the first.
            draws: Channel draws of the second step; 0 for one step.
            seed: Seed of these draws.

        Raises:
            InvalidValue: An argument is out of range.
        """
        require_real("later_scale", later_scale, 0)
        require(isinstance(fractional, bool), "fractional", fractional, "True or False")
        require_integer("draws", draws, 0)
        require(fractional or draws == 0, "fractional", fractional, "True where two steps are looked ahead")
        require_integer("seed", seed, 0)
        self.later_scale, self.fractional, self.draws = later_scale, fractional, draws
        self._rng = np.random.default_rng((_STREAM, seed))

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingEnv) -> int:
        """The action of the highest value; the observation and the info are not needed.

        Raises:
            UnsupportedInstance: The sharing is not clustered, or loading is not affine.
        """
        later_ns = later_upload_ns(env.episodes, self.later_scale)
        if self.draws > 0 and env.episodes.redraws:
            return int(sampled_values(env.episodes, self._rng, self.draws, later_ns=later_ns)[0].argmax())
        return int(action_values(env.episodes, later_ns, fractional=self.fractional)[0].argmax())
