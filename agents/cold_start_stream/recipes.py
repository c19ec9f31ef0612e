"""How the agent that comes with the package was trained."""

from __future__ import annotations

from agents.cold_start_stream.training import TrainingConfig

RECIPES = {"default": TrainingConfig()}
"""By name of the preset."""
