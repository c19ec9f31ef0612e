"""Training in stages, of any system's agent: resumable, logged, its result a checkpoint that `agents.load` reads.

Every round of a stage is a pure function of the weights and the optimiser that it starts from, the seed and its
number, and leaves a checkpoint. So a run that is killed at any moment and resumed ends with the same bits as one that
was not.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard.writer import SummaryWriter
from tqdm import tqdm

from agents.agent import TrainedAgent
from agents.checkpoint import is_checkpoint, load_checkpoint, remove_debris, save_checkpoint
from pl_env.configured import flattened
from pl_env.errors import FileFormatError, InvalidValue

CHECKPOINT = "checkpoint"
"""Name of the checkpoint's folder in the output folder."""

_MAY_DIFFER = {"threads", "processes"}
"""What a resumed run may change, as it changes no bits."""


class Measure(NamedTuple):
    """What a learning curve shows of a stage: the name of a number that its rounds report, a label, the scale."""

    name: str
    label: str
    scale: str = "linear"


class Stage(Protocol):
    """Some rounds of training in one way.

    Attributes:
        name: Its name in learning curves and logs.
        rounds: How many; at least one.
        measures: What its learning curves show, a panel for each.
    """

    name: str
    rounds: int
    measures: tuple[Measure, ...]

    @property
    def network(self) -> nn.Module:
        """What learns; from `begin` on."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The network's, whose state is a number or of a weight's shape; from `begin` on."""
        ...

    def begin(self, average: Any) -> None:
        """Make network and optimiser.

        Args:
            average: The moving average of weights, a network. The stage's own begins as a copy of it, and every
                round moves the average, see `update_average`.
        """
        ...

    def round(self, number: int, place: int) -> dict[str, float]:
        """Learn for a round.

        Args:
            number: Number of the round in the whole training, from 0, which sets its random numbers.
            place: Number of the round in this stage, from 0, which sets its learning rate.

        Returns:
            What to log; "states" is how many states it learnt from. What is not finite is left out.
        """
        ...


def update_average(average: nn.Module, network: nn.Module, share: float) -> None:
    """Update the exponential moving average of weights: move it by a share of the way to the network's."""
    with torch.no_grad():
        for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
            mean.lerp_(weight, share)


A = TypeVar("A", bound=TrainedAgent)

Watch = Callable[[A, float], None]
"""Is shown the agent after every round, also the one that is resumed, and the states seen so far."""


@dataclass(frozen=True)
class TrainingResult(Generic[A]):
    """What a training run leaves.

    Attributes:
        agent: The trained agent.
        curve: A point per round: ``round``, ``stage`` (its name), ``states`` so far, ``seconds`` since the start of
            training, and what the stage reports.
        measures: What of it to draw, by the stage's name.
    """

    agent: A
    curve: list[dict[str, Any]]
    measures: Mapping[str, tuple[Measure, ...]]


def train_in_stages(
    agent: A,
    stages: Sequence[Stage],
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    watch: Watch[A] | None = None,
) -> TrainingResult[A]:
    """Train an agent; leaves ``checkpoint/`` and ``tensorboard/`` in the output folder.

    Args:
        agent: Where to begin. Its network becomes the moving average of weights, which is what is evaluated; its
            ``trained_on`` says what the training is of: JSON types in groups, such as "family" and "config".
        stages: The stages; every one begins with the average that the one before it has left.
        out: Output folder.
        resume: Continue from the folder's checkpoint; its ``trained_on`` must be the same, but for "threads"
            and "processes".
        progress: Show a progress bar.
        watch: See `Watch`.

    Raises:
        FileFormatError: ``resume`` finds no checkpoint, or a damaged one.
        InvalidValue: ``resume`` finds a checkpoint of something else; or ``out`` holds a run and ``resume`` is False.
    """
    run = _Run(agent, stages)
    if resume:
        run.restore(out / CHECKPOINT)
        if watch is not None:  # it may have been killed before it was shown this
            watch(run.agent(), run.curve[-1]["states"])
    elif is_checkpoint(out / CHECKPOINT):
        raise InvalidValue(f"out is {str(out)!r}; it must be a folder without a checkpoint, or be given with resume")
    remove_debris(out / CHECKPOINT)
    if run.done < run.rounds:
        run.learn(out, progress, watch)
    return TrainingResult(run.agent(), run.curve, {stage.name: stage.measures for stage in stages})


class _Run(Generic[A]):
    """A training run: the average of weights, the rounds done, the stage of the next one, and the curve."""

    def __init__(self, agent: A, stages: Sequence[Stage]) -> None:
        self._kind = type(agent)
        self._trained_on = json.loads(json.dumps(agent.trained_on, default=_plain))
        self._average = agent.network
        self._stages = stages
        self.rounds = sum(stage.rounds for stage in stages)
        self.done = 0
        self.curve: list[dict[str, Any]] = []
        self._stage, self._place = stages[0], 0
        self._stage.begin(self._average)

    def agent(self) -> A:
        """The agent so far."""
        return self._kind(copy.deepcopy(self._average), {**self._trained_on, "rounds": self.done})

    def learn(self, out: Path, progress: bool, watch: Watch[A] | None) -> None:
        """Run all rounds that are left, with a checkpoint after each."""
        seconds_before = self.curve[-1]["seconds"] if self.curve else 0.0
        start = time.perf_counter()
        bar = tqdm(total=self.rounds, initial=self.done, desc="training", unit="round", disable=not progress)
        with bar, SummaryWriter(str(out / "tensorboard"), purge_step=self.done) as writer:
            while self.done < self.rounds:
                report = self._stage.round(self.done, self._place)
                self._record(report, seconds_before + time.perf_counter() - start, writer)
                self.done += 1
                self._go_to_stage()
                self._save(out / CHECKPOINT)
                if watch is not None:
                    watch(self.agent(), self.curve[-1]["states"])
                bar.update()
                bar.set_postfix({name: f"{value:.4f}" for name, value in report.items() if name != "states"})

    def _go_to_stage(self) -> None:
        """Find the next round's stage, the last one after the last round; a stage begins with the average."""
        before, self._place = self._stage, self.done
        for stage in self._stages:
            self._stage = stage
            if self._place < stage.rounds:
                break
            self._place -= stage.rounds
        if self._stage is not before:
            self._stage.begin(self._average)

    def _record(self, report: Mapping[str, float], seconds: float, writer: SummaryWriter) -> None:
        states = report["states"] + (self.curve[-1]["states"] if self.curve else 0.0)
        stage = self._stage.name
        shown = {name: value for name, value in report.items() if name != "states" and math.isfinite(value)}
        self.curve.append({"round": self.done, "stage": stage, "states": states, "seconds": seconds, **shown})
        for name, value in shown.items():
            writer.add_scalar(f"{stage}/{name}", value, self.done)

    def _save(self, folder: Path) -> None:
        """Write the checkpoint. An agent is the average; the rest is what the next round starts from."""
        agent = self.agent()
        training = {f"network.{name}": value for name, value in self._stage.network.state_dict().items()}
        training |= _flatten_optimizer(self._stage.optimizer)
        progress = {"rounds_done": self.done, "curve": self.curve, "tensors": sorted(training)}
        header = agent.header() | {"training": progress}
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
        training, progress = parts["training"], header["training"]
        if fault := _fault_in(progress, self.rounds, training):
            raise FileFormatError(f"{folder}: its training state is damaged ({fault})")
        try:
            self.done, self.curve = progress["rounds_done"], progress["curve"]
            self._average.load_state_dict(parts["weights"])
            self._go_to_stage()
            prefix = "network."
            weights = {name.removeprefix(prefix): v for name, v in training.items() if name.startswith(prefix)}
            self._stage.network.load_state_dict(weights)
            _restore_optimizer(self._stage.optimizer, training)
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise FileFormatError(f"{folder}: its training state does not fit its network ({reason})") from None

    def _require_same(self, trained_on: dict[str, Any], folder: Path) -> None:
        for what, now in self._trained_on.items():
            before = trained_on.get(what)
            before_all, now_all = flattened(before if isinstance(before, dict) else {}), flattened(now)
            for name in sorted((before_all | now_all).keys() - _MAY_DIFFER):
                then, value = before_all.get(name), now_all.get(name)
                if then != value:
                    raise InvalidValue(f"{name} is {value!r}; it must be {then!r}, as in the {what} of {folder}")


def _fault_in(progress: Mapping[str, Any], rounds: int, training: Mapping[str, Tensor]) -> str | None:
    """What is wrong with the progress of a checkpoint; None where nothing is."""
    done, curve = progress.get("rounds_done"), progress.get("curve")
    if type(done) is not int or not 1 <= done <= rounds:
        return f"rounds_done is {done!r}; it must be an integer from 1 to {rounds}"
    if not isinstance(curve, list) or len(curve) != done or not all(map(_is_point, curve, range(done))):
        return f"its curve is not one of {done} rounds"
    if progress.get("tensors") != sorted(training):
        return "tensors are missing, or there are others"
    return None


def _is_point(point: object, number: int) -> bool:
    """Whether this is a point of a learning curve."""
    if not isinstance(point, dict) or point.get("round") != number or not isinstance(point.get("stage"), str):
        return False
    numbers = [value for name, value in point.items() if name not in ("round", "stage")]
    finite = all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
    return finite and {"states", "seconds"} <= point.keys()


def _plain(number: np.generic) -> Any:
    """NumPy's numbers as JSON types."""
    return number.item()


def _flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by "optimizer.parameter number.name"."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{number}.{name}": v for number, entry in state.items() for name, v in entry.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, training: dict[str, Tensor]) -> None:
    entries: dict[int, dict[str, Tensor]] = {}
    for full_name, value in training.items():
        part, _, rest = full_name.partition(".")
        if part == "optimizer":
            number, _, name = rest.partition(".")
            entries.setdefault(int(number), {})[name] = value
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, entry in entries.items():
        for name, value in entry.items():
            if value.ndim > 0 and value.shape != parameters[place].shape:
                shapes = f"{tuple(value.shape)}, not {tuple(parameters[place].shape)}"
                raise ValueError(f"{name} of the optimiser's parameter {place} has the shape {shapes}")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
