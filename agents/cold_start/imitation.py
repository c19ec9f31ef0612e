"""Imitation: states that the learner itself comes to, labelled with the exact value of every legal action (DAgger).

Every round adds labels, in a file of its own, and learns from all there are. A round depends on nothing but the weights
and the optimiser that it starts from, the labels of the rounds before, the seed, and its number.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from agents.cold_start.describing import Described, begun, describe
from agents.cold_start.network import PlacementNetwork
from agents.training import Measure, update_average
from baselines.cold_start.action_values import action_values
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.scenario import Scenario
from pl_env.cold_start.stepping import FINISH, LAST, POSITION, USED, Episode, place
from pl_env.errors import FileFormatError
from pl_env.files import write_atomically
from pl_env.ranges import require_integer, require_real
from pl_env.seeds import TRAINING_STREAM, small_seed


@dataclass(frozen=True)
class ImitationConfig:
    """How to imitate.

    Attributes:
        rounds: Rounds of playing and learning.
        episodes: Episodes that a round plays, of all scenarios in turn.
        teacher_rounds: In so many rounds at first the optimum is played; then the learner's samples.
        exploration: Probability of a random action.
        updates: Minibatches that a round learns from.
        minibatch_size: States in a minibatch.
        learning_rate: AdamW's at its highest; it falls linearly to 0.
        averaging: Each update's share in the moving average of weights, which is what is evaluated.
        sharpness: Relative loss of time at which an action should be e times less likely than the best.
        regret_weight: Weight of the time lost by a sampled action, relative to ``sharpness``, beside the cross entropy.

    Raises:
        InvalidValue: A field is out of range.
    """

    rounds: int = 12
    episodes: int = 300
    teacher_rounds: int = 1
    exploration: float = 0.1
    updates: int = 250
    minibatch_size: int = 128
    learning_rate: float = 1.5e-3
    averaging: float = 0.005
    sharpness: float = 0.01
    regret_weight: float = 0.2

    def __post_init__(self) -> None:
        require_integer("rounds", self.rounds, 1)
        require_integer("episodes", self.episodes, 1)
        require_integer("teacher_rounds", self.teacher_rounds, 0)
        require_real("exploration", self.exploration, 0, 1)
        require_integer("updates", self.updates, 1)
        require_integer("minibatch_size", self.minibatch_size, 1)
        require_real("learning_rate", self.learning_rate, 0, 1, above=True)
        require_real("averaging", self.averaging, 0, 1, above=True)
        require_real("sharpness", self.sharpness, 0, above=True)
        require_real("regret_weight", self.regret_weight, 0)


@dataclass(frozen=True)
class Labels:
    """States in which more than one action is legal, and what their actions lose.

    Attributes:
        states: The states (B) and their legal actions (R in all).
        lost: float32 (R,), by how much later all is done than from the best action, as a share of the least time.
    """

    states: Described
    lost: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def take(self, rows: Tensor) -> Labels:
        """Some of the states."""
        states, actions = self.states.take(rows)
        return Labels(states, self.lost[actions])

    def write(self, path: Path) -> None:
        """Write a file, whole or not at all."""
        buffer = io.BytesIO()
        arrays = {field.name: getattr(self.states, field.name).numpy() for field in fields(Described)}
        np.savez_compressed(buffer, lost=self.lost.numpy(), **arrays)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Labels:
        """Read a file.

        Raises:
            FileFormatError: There is none, or it is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                states = Described(*(torch.from_numpy(arrays[field.name]) for field in fields(Described)))
                return cls(states, torch.from_numpy(arrays["lost"]))
        except Exception as error:  # NumPy and zipfile raise many kinds
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise FileFormatError(f"{path}: its labels cannot be read ({reason})") from None

    @classmethod
    def join(cls, parts: list[Labels]) -> Labels:
        """All of them."""
        return cls(Described.join([part.states for part in parts]), torch.cat([part.lost for part in parts]))


class Imitation:
    """The stage: rounds of playing, labelling and learning; see `agents.training.Stage`."""

    name = "imitation"
    measures: tuple[Measure, ...] = (
        Measure("regret", "time lost by a sampled decision (share)", "log"),
        Measure("ratio", "sampled plans: time over the optimum"),
    )
    network: PlacementNetwork
    optimizer: torch.optim.Optimizer

    def __init__(self, scenarios: Sequence[Scenario], config: ImitationConfig, seed: int, folder: Path) -> None:
        """Set the stage.

        Args:
            scenarios: What to play, in turn.
            config: How.
            seed: Seed of the training.
            folder: Where the labels are kept.
        """
        self.rounds = config.rounds
        self._scenarios, self._config, self._seed, self._folder = tuple(scenarios), config, seed, folder
        self._labels: list[Labels] = []

    def begin(self, average: PlacementNetwork) -> None:
        """Learn from these weights on, and move them along."""
        self._average = average
        self.network = copy.deepcopy(average)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-4)

    def round(self, number: int, place: int) -> dict[str, float]:
        """One round: play and label, learn.

        Args:
            number: Number of the round in the whole training, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets the learning rate and who plays.

        Returns:
            What to log: ``loss``, ``regret`` of a decision, ``ratio`` of the plans played, ``states``.
        """
        config = self._config
        rng = np.random.default_rng((TRAINING_STREAM, self._seed, number))
        torch.manual_seed(small_seed(TRAINING_STREAM, self._seed, number))
        learner = None if place < config.teacher_rounds else self._average
        new, ratio = play(learner, self._scenarios, config, rng)
        self._folder.mkdir(parents=True, exist_ok=True)
        new.write(self._path(place))
        self._labels = [*self._labels[:place], *map(self._read, range(len(self._labels[:place]), place)), new]
        labels = Labels.join(self._labels)
        reports = []
        for update in range(config.updates):
            progress = (place + update / config.updates) / config.rounds
            warm_up = min(1.0, (place * config.updates + update + 1) / 200)
            rows = torch.from_numpy(rng.integers(len(labels), size=config.minibatch_size))
            reports.append(self._update(labels.take(rows), config.learning_rate * warm_up * (1 - progress)))
        loss, regret = np.mean(reports, axis=0).tolist()
        return {"loss": loss, "regret": regret, "ratio": ratio, "states": float(len(new))}

    def _path(self, place: int) -> Path:
        return self._folder / f"round-{place:04d}.npz"

    def _read(self, place: int) -> Labels:
        return Labels.read(self._path(place))

    def _update(self, labels: Labels, learning_rate: float) -> tuple[float, float]:
        """Learn from a minibatch; gives `loss_of` it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, regret = loss_of(self.network, labels, self._config)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        update_average(self._average, self.network, self._config.averaging)
        return loss.item(), regret.item()


def loss_of(network: nn.Module, labels: Labels, config: ImitationConfig) -> tuple[Tensor, Tensor]:
    """Loss, and what a sampled action loses in the mean, as a share of the time.

    The cross entropy asks for probabilities that fall with what an action loses; the regret says where that matters.
    """
    scores, lost = _in_rows(network(labels.states), labels, -1e9), _in_rows(labels.lost, labels, 1e9)
    log_probability = torch.log_softmax(scores, dim=1)
    target = torch.softmax(-lost / config.sharpness, dim=1)
    entropy = -(target * log_probability).sum(dim=1).mean()
    regret = (log_probability.exp() * lost.clamp(max=10.0)).sum(dim=1).mean()
    return entropy + config.regret_weight / config.sharpness * regret, regret


def _in_rows(values: Tensor, labels: Labels, otherwise: float) -> Tensor:
    """Values of actions (R,) as (B, most), with something else where a state has fewer."""
    state = labels.states.state
    starts = torch.searchsorted(state, torch.arange(len(labels)))
    column = torch.arange(len(state)) - starts[state]
    rows = values.new_full((len(labels), int(column.max()) + 1), otherwise)
    rows[state, column] = values
    return rows


@dataclass
class _Game:
    """An episode that is played: its instance, and the least time of it."""

    instance: Instance
    episode: Episode
    least: float = 0.0

    @property
    def goes_on(self) -> bool:
        return bool(self.episode.state[POSITION] < self.instance.n_layers)

    def values(self) -> np.ndarray:
        """The exact value of every action, float64, in the order of their numbers."""
        position, finish, last, used = self.episode.state[[POSITION, FINISH, LAST, USED]].tolist()
        is_used = (used >> np.arange(self.instance.n_devices) & 1).astype(np.bool_)
        left = action_values(self.instance.remaining(position, is_used, last, finish))
        room = np.full((self.instance.n_devices, self.instance.n_layers), np.inf)
        room[:, : left.shape[1]] = left
        return room.reshape(-1)


def play(
    learner: PlacementNetwork | None, scenarios: Sequence[Scenario], config: ImitationConfig, rng: np.random.Generator
) -> tuple[Labels, float]:
    """Play a round's episodes to their ends, side by side, and label the states in which there is a choice.

    Args:
        learner: Who plays, by samples; None for the optimum.
        scenarios: What to play, in turn.
        config: How.
        rng: The source of all randomness.

    Returns:
        The labels, and the mean of the time over the optimum.
    """
    instances = [scenarios[n % len(scenarios)].sample(rng) for n in range(config.episodes)]
    games = [_Game(instance, begun(instance)) for instance in instances]
    parts: list[Labels] = []
    while running := [game for game in games if game.goes_on]:
        states = describe([game.episode for game in running])
        values = [game.values() for game in running]
        own = np.concatenate([values[n][number] for n, number in _numbers(states)])
        least = np.array([one.min() for one in values])
        state = states.state.numpy()
        lost = torch.from_numpy((own / least[state] - 1).astype(np.float32))
        with torch.inference_mode():
            scores = -lost.numpy() / 1e-6 if learner is None else learner(states).numpy()
        counts = np.bincount(state)
        chosen = []
        for n, number in _numbers(states):
            game, start = running[n], int(counts[:n].sum())
            game.least = game.least or float(least[n])
            noisy = scores[start : start + counts[n]] + rng.gumbel(size=counts[n])
            best = int(rng.integers(counts[n])) if rng.random() < config.exploration else int(noisy.argmax())
            chosen.append(int(number[best]))
        choice = torch.from_numpy(np.flatnonzero(counts > 1))
        if len(choice):
            taken, rows = states.take(choice)
            parts.append(Labels(taken, lost[rows]))
        for game, action in zip(running, chosen, strict=True):
            place(game.episode, action)
    ratio = float(np.mean([game.episode.state[FINISH] / game.least for game in games]))
    return Labels.join(parts), ratio


def _numbers(states: Described) -> list[tuple[int, np.ndarray]]:
    """Each state and the numbers of its actions."""
    counts = np.bincount(states.state.numpy(), minlength=len(states))
    return list(enumerate(np.split(states.number.numpy(), np.cumsum(counts)[:-1])))
