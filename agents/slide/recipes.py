"""How the agents that come with the package were trained."""

from __future__ import annotations

from agents.slide.imitation import ImitationConfig
from agents.slide.training import TrainingConfig

HARD_RULE = (0.479, 0.232, 0.743, 0.961)
"""The parameters of `backlog` that are best on the preset "hard"."""

RECIPES = {
    "default": TrainingConfig(),
    "hard": TrainingConfig(imitation=ImitationConfig(rule=HARD_RULE)),
}
"""By the name of the preset."""
