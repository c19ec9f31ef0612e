"""Training in stages: imitation, then fine-tuning. Resumable, logged, its result a checkpoint that `agents.load` reads.

Every round of a stage is a pure function of the weights and the optimiser that it starts from, the seed and its
number, and leaves a checkpoint. So a run that is killed at any moment and resumed ends with the same bits as one that
was not.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter
from tqdm import tqdm

from agents.agent import Agent, load
from agents.checkpoint import is_checkpoint, load_checkpoint, save_checkpoint
from agents.partial_loading.families import Family
from agents.partial_loading.fine_tuning import FineTuning, FineTuningConfig
from agents.partial_loading.imitation import ImitationConfig, imitate
from agents.partial_loading.network import NetworkConfig, SchedulingNetwork
from agents.partial_loading.teachers import plays_for
from pl_env.errors import FileFormatError, InvalidValue
from pl_env.ranges import require, require_integer
from pl_env.seeds import TRAINING_STREAM, small_seed

CHECKPOINT = "checkpoint"
"""Name of the checkpoint's folder in the output folder."""


@dataclass(frozen=True)
class TrainingConfig:
    """What network to train, and how.

    Attributes:
        seed: Seed of weights, episodes and minibatches.
        initial: Agent to begin with, a name or a folder for `agents.load`; "" for fresh weights.
        width: Channels of the network's codes.
        layers: Attention layers.
        heads: Attention heads of a layer.
        planned_values: Whether the network is shown what a planner expects of each action. For clustered sharing; it
            is of use where channels are drawn anew.
        threads: Threads of torch in this process. More gain nothing for networks this small, and where other
            programs want the cores they wait for each other: two threads took 8 times as long as one.
        imitation: The first stage.
        fine_tuning: The second.

    Raises:
        InvalidValue: A field is out of range.
    """

    seed: int = 0
    initial: str = ""
    width: int = 64
    layers: int = 2
    heads: int = 4
    planned_values: bool = False
    threads: int = 1
    imitation: ImitationConfig = field(default_factory=ImitationConfig)
    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)

    def __post_init__(self) -> None:
        require_integer("seed", self.seed, 0, 2**31)
        require(isinstance(self.initial, str), "initial", self.initial, "the name or folder of an agent, or empty")
        self.network(1)
        require_integer("threads", self.threads, 1, 1024)
        require_integer("imitation.rounds + fine_tuning.rounds", self.rounds, 1)

    def network(self, batch_cap: int) -> NetworkConfig:
        """The network to train."""
        return NetworkConfig(batch_cap, self.width, self.layers, self.heads, self.planned_values)

    @property
    def rounds(self) -> int:
        """Rounds of both stages."""
        return self.imitation.rounds + self.fine_tuning.rounds


@dataclass(frozen=True)
class TrainingResult:
    """What a training run leaves.

    Attributes:
        agent: The trained agent.
        curve: A point per round: ``round``, ``stage`` ("imitation" or "fine-tuning"), ``states`` so far, ``seconds``
            since the start of training, and what the stage reports.
    """

    agent: Agent
    curve: list[dict[str, Any]]


def train(
    family: Family,
    config: TrainingConfig,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    watch: Callable[[Agent, float], None] | None = None,
) -> TrainingResult:
    """Train an agent; leaves ``checkpoint/`` and ``tensorboard/`` in the output folder.

    Args:
        family: What to train on.
        config: How.
        out: Output folder.
        resume: Continue from the folder's checkpoint; it must be of the same family and config, but for ``threads``.
        progress: Show a progress bar.
        watch: Is shown the agent after every round, and the states seen so far.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False;
            or fine-tuning is asked for and the family is more than one scenario, or the network is shown a plan and
            libraries differ.
    """
    one = family.is_one_scenario or config.fine_tuning.rounds == 0
    require(one, "fine_tuning.rounds", config.fine_tuning.rounds, "0 where deadline or theta is a range")
    unknown = config.planned_values and config.fine_tuning.rounds > 0 and family.scenario.resample_library
    require(not unknown, "planned_values", True, "False to fine-tune where libraries differ")
    torch.set_num_threads(config.threads)
    run = _Run(family, config, begins=not resume)
    if resume:
        run.restore(out / CHECKPOINT)
    elif is_checkpoint(out / CHECKPOINT):
        raise InvalidValue(f"out is {str(out)!r}; it must be a folder without a checkpoint, or be given with resume")
    if run.done < config.rounds:
        run.learn(out, progress, watch)
    return TrainingResult(run.agent(), run.curve)


class _Run:
    """A training run: weights, their average, the stage's optimiser, the rounds done and the curve."""

    def __init__(self, family: Family, config: TrainingConfig, begins: bool) -> None:
        self.family, self.config = family, config
        self.done = 0
        self.curve: list[dict[str, Any]] = []
        torch.manual_seed(small_seed(TRAINING_STREAM, config.seed))
        self.network = SchedulingNetwork(config.network(family.scenario.max_batch_size))
        if config.initial and begins:
            self._begin_with(load(config.initial))
        self.average = copy.deepcopy(self.network)
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=1e-4)
        self.fine_tuning: FineTuning | None = None
        if config.imitation.rounds == 0:
            self._begin_fine_tuning()

    def _begin_with(self, agent: Agent) -> None:
        before, now = agent.network.config, self.network.config
        require(before == now, "network of the initial agent", before, f"{now}")
        self.network.load_state_dict(agent.network.state_dict())

    def _begin_fine_tuning(self) -> None:
        """The second stage goes on from the average weights of the first, with an optimiser of its own."""
        self.fine_tuning = FineTuning(self.average, self.family.scenario, self.config.fine_tuning)
        self.network, self.optimizer = self.fine_tuning.network, self.fine_tuning.optimizer

    def agent(self) -> Agent:
        """The agent so far."""
        trained_on = {"family": self.family.to_dict(), "config": asdict(self.config), "rounds": self.done}
        return Agent(copy.deepcopy(self.average), json.loads(json.dumps(trained_on, default=_plain)))

    def learn(self, out: Path, progress: bool, watch: Callable[[Agent, float], None] | None) -> None:
        """Run all rounds that are left, with a checkpoint after each."""
        config, seconds_before = self.config, self.curve[-1]["seconds"] if self.curve else 0.0
        play_round = plays_for(self.family, config.imitation) if config.imitation.rounds > 0 else None
        start = time.perf_counter()
        bar = tqdm(total=config.rounds, initial=self.done, desc="training", unit="round", disable=not progress)
        with SummaryWriter(str(out / "tensorboard"), purge_step=self.done) as writer, bar:
            while self.done < config.rounds:
                if self.fine_tuning is None and play_round is not None:
                    report = imitate(
                        self.network,
                        self.average,
                        self.optimizer,
                        play_round,
                        config.imitation,
                        config.seed,
                        self.done,
                    )
                elif self.fine_tuning is not None:
                    place = self.done - config.imitation.rounds
                    report = self.fine_tuning.round(self.average, config.seed, self.done, place)
                self._record(report, seconds_before + time.perf_counter() - start, writer)
                self.done += 1
                if self.done == config.imitation.rounds and config.fine_tuning.rounds > 0:
                    self._begin_fine_tuning()
                self.save(out / CHECKPOINT)
                if watch is not None:
                    watch(self.agent(), self.curve[-1]["states"])
                bar.update()
                bar.set_postfix({name: f"{value:.4f}" for name, value in report.items() if name != "states"})

    def _record(self, report: dict[str, float], seconds: float, writer: SummaryWriter) -> None:
        states = report.pop("states") + (self.curve[-1]["states"] if self.curve else 0.0)
        stage = "imitation" if self.fine_tuning is None else "fine-tuning"
        shown = {name: value for name, value in report.items() if math.isfinite(value)}
        self.curve.append({"round": self.done, "stage": stage, "states": states, "seconds": seconds, **shown})
        for name, value in shown.items():
            writer.add_scalar(f"{stage}/{name}", value, self.done)

    def save(self, folder: Path) -> None:
        """Write the checkpoint. An agent is the average; the rest is what the next round starts from."""
        agent = self.agent()
        header = {
            "network": agent.network.config.to_dict(),
            "trained_on": agent.trained_on,
            "training": {"rounds_done": self.done, "curve": self.curve},
        }
        training = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        training |= _flatten_optimizer(self.optimizer)
        save_checkpoint(folder, header, {"weights": agent.network.state_dict(), "training": training})

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint of the same training.

        Raises:
            FileFormatError: There is none, or it is damaged.
            InvalidValue: It is of something else.
        """
        header, parts = load_checkpoint(folder, "weights", "training")
        if not isinstance(header.get("training"), dict) or not isinstance(header.get("trained_on"), dict):
            raise FileFormatError(f"{folder}: holds an agent, but no training to resume")
        self._require_same(header["trained_on"], folder)
        training = parts["training"]
        try:
            self.done = int(header["training"]["rounds_done"])
            self.curve = list(header["training"]["curve"])
            self.average.load_state_dict(parts["weights"])
            if self.done >= self.config.imitation.rounds and self.config.fine_tuning.rounds > 0:
                self._begin_fine_tuning()
            prefix = "network."
            weights = {name.removeprefix(prefix): v for name, v in training.items() if name.startswith(prefix)}
            self.network.load_state_dict(weights)
            _restore_optimizer(self.optimizer, training)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise FileFormatError(f"{folder}: its training state does not fit its network ({reason})") from None

    def _require_same(self, trained_on: dict[str, Any], folder: Path) -> None:
        now = self.agent().trained_on
        for what in ("family", "config"):
            before_all, now_all = _flat(trained_on.get(what, {})), _flat(now[what])
            for name in sorted((before_all | now_all).keys() - {"threads"}):
                before, value = before_all.get(name), now_all.get(name)
                if before != value:
                    raise InvalidValue(f"{name} is {value!r}; it must be {before!r}, as in the {what} of {folder}")


def _plain(number: np.generic) -> Any:
    """NumPy's numbers as JSON types."""
    return number.item()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Adam's state by "optimizer.parameter number.name"."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{number}.{name}": v for number, entry in state.items() for name, v in entry.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, training: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for full_name, value in training.items():
        part, _, rest = full_name.partition(".")
        if part == "optimizer":
            number, _, name = rest.partition(".")
            entries.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
