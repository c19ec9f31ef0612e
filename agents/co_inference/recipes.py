"""How the agents that come with the package were trained."""

from __future__ import annotations

from agents.co_inference.training import TrainingConfig

RECIPES = {"default": TrainingConfig(), "budget": TrainingConfig(), "continuous": TrainingConfig()}
"""By the name of the preset."""
