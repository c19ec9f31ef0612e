"""Evolution strategies: a stage of training that needs no gradient of the play, only how well whole episodes end.

Antithetic pairs (Salimans et al., 2017, arXiv 1703.03864): weights plus and minus the same noise play the same
episodes, and the differences of their returns, weighted with the noise, estimate the gradient of the mean return. Adam
takes the step. So the play may be anything that is compiled, and what is learnt is what is played: arg-max.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from agents.training import Measure, update_average
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM


class Play(Protocol):
    """Lets many policies play the same episodes."""

    def __call__(
        self, weights: NDArray[np.float64], episodes: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], int]:
        """Play.

        Args:
            weights: Of each policy, float64 (policies, weights), in the order of the network's parameters.
            episodes: How many fresh episodes each plays, the same for all.
            rng: The source of all randomness.

        Returns:
            Returns to be made large, float64 (policies, episodes), and the number of states that were decided in.
        """
        ...


@dataclass(frozen=True)
class EvolutionConfig:
    """How to evolve.

    Attributes:
        rounds: Rounds, each with a checkpoint at its end; 0 for none.
        generations: Steps that a round takes.
        pairs: Antithetic pairs of a generation.
        episodes: Fresh episodes of a generation, which all its policies play.
        noise: Standard deviation of the noise on each weight.
        learning_rate: Adam's at its highest; it falls linearly to 0.
        averaging: Each step's share in the moving average of weights, which is what is evaluated.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 20
    generations: int = 10
    pairs: int = 24
    episodes: int = 24
    noise: float = 0.1
    learning_rate: float = 0.03
    averaging: float = 0.1

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 0)
        require_integer("generations", self.generations, 1)
        require_integer("pairs", self.pairs, 1)
        require_integer("episodes", self.episodes, 1)
        require_real("noise", self.noise, 0, above=True)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)


class Evolution:
    """The stage: rounds of some generations each; see `agents.training.Stage`."""

    name = "evolution"
    measures: tuple[Measure, ...] = (Measure("return", "mean return\nof the weights under noise"),)
    network: nn.Module
    optimizer: torch.optim.Optimizer

    def __init__(self, play: Play, config: EvolutionConfig, seed: int) -> None:
        """Set the stage.

        Args:
            play: Plays; its returns must be the same whatever else happens, and in whatever order it plays.
            config: How.
            seed: Seed of the training.
        """
        self.rounds = config.rounds
        self._play, self._config, self._seed = play, config, seed

    def begin(self, average: nn.Module) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = torch.optim.Adam(self.network.parameters())

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round: some generations.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate.

        Returns:
            What to log: ``return``, ``states``.
        """
        config = self._config
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        returns, states = [], 0
        for generation in range(config.generations):
            progress = (place + generation / config.generations) / config.rounds
            noise = rng.standard_normal((config.pairs, count_weights(self.network)))
            population = perturbed(self.network, config.noise * noise)
            played, decided = self._play(population, config.episodes, rng)
            ascend(self.network, self.optimizer, noise, played.mean(axis=1), config.learning_rate * (1 - progress))
            update_average(self._average, self.network, config.averaging)
            returns.append(float(played.mean()))
            states += decided
        return {"return": float(np.mean(returns)), "states": float(states)}


def count_weights(network: nn.Module) -> int:
    """Number of weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def weights_of(network: nn.Module) -> NDArray[np.float64]:
    """All weights of a network in the order of its parameters, float64 (weights,)."""
    return parameters_to_vector(network.parameters()).detach().double().numpy()


def perturbed(network: nn.Module, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A network's weights plus each step, then minus each: float64 (2 · pairs, weights)."""
    return np.concatenate([weights_of(network) + steps, weights_of(network) - steps])


def ascend(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    noise: NDArray[np.float64],
    returns: NDArray[np.float64],
    learning_rate: float,
) -> None:
    """A step of the optimiser towards larger returns, along sum_p (F+_p - F-_p) · noise_p.

    The differences are divided by their root mean square, so that noise and optimiser need not know the unit of the
    return. Where no pair differs nothing is learnt.

    Args:
        network: What moves.
        optimizer: Of its parameters.
        noise: float64 (pairs, weights), of unit variance.
        returns: float64 (2 · pairs,), as `perturbed` orders the policies.
        learning_rate: For this step.
    """
    better, worse = np.split(returns, 2)
    difference = better - worse
    scale = np.sqrt(np.mean(difference**2))
    if scale == 0:
        return
    direction = (difference / scale) @ noise / len(difference)
    parameters = list(network.parameters())
    gradient = copy.deepcopy(network)
    vector_to_parameters(torch.from_numpy(-direction).to(parameters[0].dtype), gradient.parameters())
    for parameter, against in zip(parameters, gradient.parameters(), strict=True):
        parameter.grad = against.detach()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
