"""One training of a sweep, in a folder of its own, from which any other process or machine can go on."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import baselines
from agents.agent import TrainedAgent
from agents.checkpoint import is_checkpoint
from agents.training import CHECKPOINT
from experiments.sweep_files import Entry
from pl_env.configured import flattened
from pl_env.errors import FileFormatError, InvalidValue, PlEnvError
from pl_env.files import write_atomically
from pl_env.seeds import VALIDATION_STREAM

RECORD = "run.json"
"""Name of a run's record: what it is of, how far it is, where, and its learning curve."""

SIGN = "sweep.id"
"""Name of a file in the sweep's folder, by which a worker knows that it sees the same folder."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One training and where it is kept.

    Attributes:
        entry: What is trained.
        episodes: Validation episodes of an evaluation.
        evaluate_every: States learnt from between two evaluations.
        out: The sweep's folder.
        sign: What its file `SIGN` says.
    """

    entry: Entry
    episodes: int
    evaluate_every: int
    out: Path
    sign: str

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out / self.entry.folder

    def of(self) -> Record:
        """What it is of, as JSON types."""
        entry = self.entry
        named = {"scenario": entry.scenario, "algorithm": entry.algorithm, "seed": entry.seed}
        said = {**named, "episodes": self.episodes, "evaluate_every": self.evaluate_every, "job": entry.job.to_dict()}
        return dict(json.loads(json.dumps(said)))

    def record(self) -> Record:
        """What is kept of it; an empty one before it begins.

        Raises:
            FileFormatError: The record is damaged.
            InvalidValue: It is of something else.
        """
        path = self.folder / RECORD
        new: Record = {"of": self.of(), "points": [], "round": 0, "states": 0.0, "seconds": 0.0, "cpu_seconds": 0.0}
        if not path.exists():
            return new | {"where": "", "done": False}
        try:
            found: Record = json.loads(path.read_text())
            before, now = flattened(found["of"]), flattened(new["of"])
            complete = new.keys() | {"where", "done"} <= found.keys()
        except (ValueError, TypeError, KeyError, AttributeError):
            complete = False
        if not complete:
            raise FileFormatError(f"{path}: damaged, or no record of a run")
        for name in sorted(before | now):
            if before.get(name) != now.get(name):
                raise InvalidValue(f"{name} is {now.get(name)!r}; it must be {before.get(name)!r}, as in {self.folder}")
        return found


def train(run: Run) -> None:
    """Begin a run, or go on with it, to its end.

    Raises:
        PlEnvError: This machine does not see the sweep's folder, or a file there is damaged.
    """
    sign = run.out / SIGN
    if not sign.exists() or sign.read_text() != run.sign:
        raise PlEnvError(f"out is {run.out}; it must be a folder that all nodes see, and {platform.node()} does not")
    with _alone(run.folder):
        judge = _Judge(run)
        if not judge.record["done"]:
            resume = is_checkpoint(run.folder / CHECKPOINT)
            result = run.entry.job.train(run.folder, resume=resume, watch=judge)
            judge.finish(result.agent)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else is in a folder: who was taken for dead may yet write a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Judge:
    """Notes every round, and evaluates every so many states. When to do so depends on states alone, not on time."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.record = run.record() | {"where": f"{platform.node()}, process {os.getpid()}"}
        self._start()

    def __call__(self, agent: TrainedAgent, states: float) -> None:
        """Note a round."""
        record, points = self.record, self.record["points"]
        record["seconds"] += time.perf_counter() - self._seconds
        record["cpu_seconds"] += time.process_time() - self._cpu_seconds
        record |= {"round": agent.trained_on["rounds"], "states": states}
        if not points or states >= points[-1]["states"] + self._run.evaluate_every:
            self._evaluate(agent)
        self._write()
        self._start()

    def finish(self, agent: TrainedAgent) -> None:
        """Evaluate at the end."""
        if self.record["points"][-1]["states"] < self.record["states"]:
            self._evaluate(agent)
        self.record["done"] = True
        self._write()

    def _start(self) -> None:
        """Start the clocks of training: the time of evaluations is left out."""
        self._seconds, self._cpu_seconds = time.perf_counter(), time.process_time()

    def _evaluate(self, agent: TrainedAgent) -> None:
        run, record = self._run, self.record
        found = baselines.evaluate(
            {"agent": agent},
            run.entry.job.evaluated_on,
            episodes=run.episodes,
            stream=VALIDATION_STREAM,
            cache=run.out / "optima",
        )["agent"]
        point = {name: record[name] for name in ("round", "states", "seconds", "cpu_seconds")}
        record["points"].append(point | {"objective": found.mean, "gap": found.gap})

    def _write(self) -> None:
        write_atomically(self._run.folder / RECORD, (json.dumps(self.record, indent=1) + "\n").encode())
