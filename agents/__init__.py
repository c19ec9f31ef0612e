"""Learning: networks, training, checkpoints and evaluation."""

from __future__ import annotations

from agents.agent import Agent, load
from agents.evaluation import Evaluation, PolicyResult, evaluate, play_episode
from agents.sb3_vec_env import PartialLoadingVecEnv
from agents.training import TrainingConfig, TrainingResult, train

__all__ = [
    "Agent",
    "Evaluation",
    "PartialLoadingVecEnv",
    "PolicyResult",
    "TrainingConfig",
    "TrainingResult",
    "evaluate",
    "load",
    "play_episode",
    "train",
]
