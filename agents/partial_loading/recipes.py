"""How the agents that come with the package were trained. Chosen on the validation stream, see `pl_env.seeds`."""

from __future__ import annotations

from dataclasses import replace

from agents.evolution import EvolutionConfig
from agents.partial_loading.compiled.improving import ImprovementConfig
from agents.partial_loading.compiled.training import CompiledTrainingConfig
from agents.partial_loading.imitation import ImitationConfig
from agents.partial_loading.training import TrainingConfig

RECIPES = {
    "bls": TrainingConfig(imitation=ImitationConfig(rounds=90)),  # five minutes; what ships learnt for 300 rounds
    "fading": TrainingConfig(
        planned_values=True,
        imitation=ImitationConfig(
            rounds=80, episodes=160, teacher_rounds=0, learning_rate=2.5e-3, best_weight=0.0, averaging=0.03
        ),
    ),
    "general-hard": TrainingConfig(
        initial="any-library",
        processes=3,
        imitation=ImitationConfig(rounds=70, episodes=160, teacher_rounds=0, learning_rate=5e-3, epochs=4, parts=2),
    ),
    "any-library": TrainingConfig(processes=3, imitation=ImitationConfig(rounds=90, episodes=128, epochs=2, parts=2)),
}
"""By the name of the family."""

_SMALL = CompiledTrainingConfig(
    message=24,
    hidden=64,
    improvement=ImprovementConfig(rounds=40, actions=5, learning_rate=2e-2),
    evolution=EvolutionConfig(rounds=20, noise=0.02, learning_rate=3e-3),  # what it learns is arg-max itself
)

COMPILED_RECIPES = {
    "bls-fast": _SMALL,
    "general-hard-fast": _SMALL,
    "fading-fast": replace(
        _SMALL, improvement=replace(_SMALL.improvement, rounds=60, actions=4, softness=1.0, learning_rate=1.5e-2)
    ),
    "any-library-fast": replace(
        _SMALL,
        improvement=replace(_SMALL.improvement, rounds=60, updates=40, episodes=64, learning_rate=1.5e-2),
        evolution=replace(_SMALL.evolution, rounds=15),
    ),
}
"""Of agents with the small network, by their names."""


def recipe(name: str) -> TrainingConfig:
    """The recipe of a family, or the default one."""
    return RECIPES.get(name, TrainingConfig())
