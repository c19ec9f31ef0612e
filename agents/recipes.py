"""How the agents that come with the package were trained. Chosen on the validation stream, see `agents.seeds`."""

from __future__ import annotations

from agents.fine_tuning import FineTuningConfig
from agents.imitation import ImitationConfig
from agents.training import TrainingConfig

RECIPES = {
    "bls": TrainingConfig(),
    "fading": TrainingConfig(imitation=ImitationConfig(rounds=40), fine_tuning=FineTuningConfig(rounds=40)),
    "any-library": TrainingConfig(imitation=ImitationConfig(rounds=100)),
}
"""By the name of the family."""


def recipe(name: str) -> TrainingConfig:
    """The recipe of a family, or the default one."""
    return RECIPES.get(name, TrainingConfig())
