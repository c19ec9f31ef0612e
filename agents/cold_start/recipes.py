"""How the agent that comes with the package was trained."""

from __future__ import annotations

from agents.cold_start.training import TrainingConfig

RECIPES = {"default": TrainingConfig()}
"""By name; one agent for the presets "default" and "tight"."""
