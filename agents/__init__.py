"""Learning: networks, training, decoding, checkpoints and evaluation.

Evaluation needs no more than `baselines` does. The rest is imported when it is asked for, as it needs the extra
``agents``: torch and what goes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baselines.evaluation import Evaluation, PolicyResult, evaluate, play_episode
from pl_env.packages import require_package

if TYPE_CHECKING:
    from agents.agent import load, trained_agents
    from agents.partial_loading.agent import Agent
    from agents.partial_loading.decoding import BestOf, Rollout
    from agents.partial_loading.families import ANY_LIBRARY, Family
    from agents.partial_loading.fine_tuning import FineTuningConfig
    from agents.partial_loading.imitation import ImitationConfig
    from agents.partial_loading.sb3_vec_env import PartialLoadingVecEnv
    from agents.partial_loading.training import TrainingConfig, train
    from agents.training import TrainingResult

__all__ = [
    "ANY_LIBRARY",
    "Agent",
    "BestOf",
    "Evaluation",
    "Family",
    "FineTuningConfig",
    "ImitationConfig",
    "PartialLoadingVecEnv",
    "PolicyResult",
    "Rollout",
    "TrainingConfig",
    "TrainingResult",
    "evaluate",
    "load",
    "play_episode",
    "train",
    "trained_agents",
]

_LAZY = {
    "ANY_LIBRARY": "agents.partial_loading.families",
    "Agent": "agents.partial_loading.agent",
    "BestOf": "agents.partial_loading.decoding",
    "Family": "agents.partial_loading.families",
    "FineTuningConfig": "agents.partial_loading.fine_tuning",
    "ImitationConfig": "agents.partial_loading.imitation",
    "PartialLoadingVecEnv": "agents.partial_loading.sb3_vec_env",
    "Rollout": "agents.partial_loading.decoding",
    "TrainingConfig": "agents.partial_loading.training",
    "TrainingResult": "agents.training",
    "load": "agents.agent",
    "train": "agents.partial_loading.training",
    "trained_agents": "agents.agent",
}


def __getattr__(name: str) -> Any:
    """Import what needs the extra ``agents`` when it is asked for.

    Raises:
        MissingPackage: It is not installed; the message says how to.
    """
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(require_package(_LAZY[name]), name)
