"""How the agents that come with the package were trained. Chosen on the validation stream, see `pl_env.seeds`."""

from __future__ import annotations

from agents.online.improving import ImprovementConfig
from agents.online.network import NetworkConfig
from agents.online.training import TrainingConfig

RECIPES = {
    "reactive": TrainingConfig(improvement=ImprovementConfig(rounds=16, rule_rounds=16)),
    "default": TrainingConfig(
        initial="online/reactive",
        network=NetworkConfig(ahead=8),
        improvement=ImprovementConfig(rounds=8, rule_rounds=8, episodes=4, share=1.0, learning_rate=1.5e-3),
    ),
}
"""By name; all are trained on the default `agents.online.families.Family`."""
