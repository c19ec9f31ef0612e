"""Learning: networks, training, decoding, checkpoints and evaluation."""

from __future__ import annotations

from agents.agent import Agent, load, trained_agents
from agents.decoding import BestOf
from agents.evaluation import Evaluation, PolicyResult, evaluate, play_episode
from agents.families import ANY_LIBRARY, Family
from agents.fine_tuning import FineTuningConfig
from agents.imitation import ImitationConfig
from agents.sb3_vec_env import PartialLoadingVecEnv
from agents.training import TrainingConfig, TrainingResult, train

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
    "TrainingConfig",
    "TrainingResult",
    "evaluate",
    "load",
    "play_episode",
    "train",
    "trained_agents",
]
