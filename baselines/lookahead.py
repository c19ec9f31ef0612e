"""A planner for channels that are drawn anew before every batch."""

from __future__ import annotations

from typing import Any

from baselines.action_values import action_values
from baselines.episodes import Episodes
from pl_env.partial_loading.env import PartialLoadingEnv


class Lookahead:
    """A policy that costs each action at today's channels, and plans what follows at every user's mean rate.

    Of the actions with as many users it prefers the one that leaves most time, counted in parts of one user more:
    without that it serves one point less. For clustered bottom-layer sharing.
    """

    def __init__(self, later_scale: float = 1.0, fractional: bool = True) -> None:
        """Make the policy.

        Args:
            later_scale: Later uploads take so many times the upload time at a user's mean rate; 0 takes them as
                today's.
            fractional: Count the part that is left over of the time for one user more; else ties go to the first.
        """
        self.later_scale, self.fractional = later_scale, fractional

    def act(self, observation: Any, info: dict[str, Any], env: PartialLoadingEnv) -> int:
        """The action of the highest value; the observation and the info are not needed.

        Raises:
            UnsupportedInstance: The sharing is not clustered, or loading is not affine.
        """
        episodes = Episodes([env.remaining()], env.scenario.max_batch_size, self.later_scale)
        return int(action_values(episodes, self.fractional)[0].argmax())
