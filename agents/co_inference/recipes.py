"""How the agents that come with the package were trained."""

from __future__ import annotations

from agents.co_inference.imitation import ImitationConfig
from agents.co_inference.training import TrainingConfig

RECIPES = {
    "default": TrainingConfig(),
    "budget": TrainingConfig(imitation=ImitationConfig(rounds=36)),
    "continuous": TrainingConfig(),
}
"""By the name of the preset."""
