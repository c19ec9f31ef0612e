"""Learning: networks, training, decoding, checkpoints and evaluation."""

from __future__ import annotations

from agents.agent import load, trained_agents
from agents.partial_loading.agent import Agent
from agents.partial_loading.decoding import BestOf
from agents.partial_loading.families import ANY_LIBRARY, Family
from agents.partial_loading.fine_tuning import FineTuningConfig
from agents.partial_loading.imitation import ImitationConfig
from agents.partial_loading.sb3_vec_env import PartialLoadingVecEnv
from agents.partial_loading.training import TrainingConfig, train
from agents.training import TrainingResult
from baselines.evaluation import Evaluation, PolicyResult, evaluate, play_episode

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
