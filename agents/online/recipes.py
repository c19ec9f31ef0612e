"""How the agents that come with the package were trained. Chosen on the validation stream, see `pl_env.seeds`."""

from __future__ import annotations

from agents.online.improving import ImprovementConfig
from agents.online.network import NetworkConfig
from agents.online.training import TrainingConfig

RECIPES = {
    "default": TrainingConfig(
        network=NetworkConfig(hidden=64, ahead=8),
        improvement=ImprovementConfig(rounds=400, episodes=4, share=1.0),
        refinement=ImprovementConfig(
            rounds=100, plays_on="online/reactive", episodes=4, share=1.0, learning_rate=1.5e-3
        ),
    ),
    "reactive": TrainingConfig(improvement=ImprovementConfig(rounds=16)),
}
"""By name; all are trained on the default `agents.online.families.Family`."""
