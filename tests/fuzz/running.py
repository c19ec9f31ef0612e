"""Rounds of random cases. A round is made of the part's name, a seed and its number alone, so any can be repeated."""

from __future__ import annotations

import multiprocessing
import shlex
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection, wait
from random import Random

PARTS = ("validator", "solvers", "vector", "loaders")
MOST_FAILURES = 20
"""A worker that has found so many stops."""


@dataclass
class Tally:
    """What a part has done and found.

    Attributes:
        without: Kinds of cases that are left out.
        counts: Number of cases, by kind.
        failures: What went wrong, each with the command that repeats it.
        repeat: The command that repeats the present round.
    """

    without: frozenset[str] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    repeat: str = ""

    def count(self, kind: str, n: int = 1) -> None:
        """Note that cases of a kind were tried."""
        self.counts[kind] += n

    def fail(self, what: str) -> None:
        """Note a disagreement."""
        self.failures.append(f"{what}\n    repeat: {self.repeat}")

    @contextmanager
    def case(self, what: str) -> Iterator[None]:
        """Whatever escapes from a case is a failure of it."""
        try:
            yield
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = type(error).__name__
            self.fail(f"{what}: {name}: {shortened(str(error))} ({place.filename}:{place.lineno})")


def shortened(text: str, length: int = 400) -> str:
    """A text cut to some length."""
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"


def command(part: str, seed: int, number: int, without: frozenset[str]) -> str:
    """The command that repeats a round."""
    left_out = f" --without {shlex.join(sorted(without))}" if without else ""
    return f"python -m tests.fuzz --only {part} --seed {seed} --round {number}{left_out}"


def play_round(part: str, seed: int, number: int, tally: Tally) -> None:
    """One round of a part."""
    play: Callable[[Random, Tally], None] = import_module(f"tests.fuzz.{part}").play
    tally.repeat = command(part, seed, number, tally.without)
    with tally.case(part):
        play(Random(f"{part} {seed} {number}"), tally)
    tally.count("rounds")


def play_rounds(part: str, seed: int, rounds: int, without: frozenset[str] = frozenset()) -> Tally:
    """The first rounds of a part, in this process."""
    tally = Tally(without)
    for number in range(rounds):
        play_round(part, seed, number, tally)
    return tally


def play_for(part: str, seed: int, seconds: float, workers: int, without: frozenset[str]) -> Tally:
    """As many rounds of a part as there is time for, over processes; a process that dies is a failure, too."""
    context = multiprocessing.get_context("spawn")  # a fork would copy locks of threads that it does not copy
    total = Tally(without)
    processes = {}
    present = context.Array("q", workers, lock=False)  # the round that each worker is in
    for worker in range(workers):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(
            target=_work, args=(part, seed, seconds, worker, workers, without, present, sender), daemon=True
        )
        process.start()
        sender.close()
        processes[receiver] = worker, process
    while processes:
        for receiver in wait(list(processes)):
            assert isinstance(receiver, Connection)
            worker, process = processes.pop(receiver)
            try:
                tally = receiver.recv()
            except EOFError:
                process.join()
                repeat = command(part, seed, present[worker], without)
                total.failures.append(f"{part}: the process died ({process.exitcode})\n    repeat: {repeat}")
                continue
            process.join()
            total.counts += tally.counts
            total.failures += tally.failures
    return total


def _work(
    part: str,
    seed: int,
    seconds: float,
    worker: int,
    workers: int,
    without: frozenset[str],
    present: list[int],
    sender: Connection,
) -> None:
    tally, number, end = Tally(without), worker, None
    parent = multiprocessing.parent_process()
    assert parent is not None
    while parent.is_alive() and len(tally.failures) < MOST_FAILURES and (end is None or time.monotonic() < end):
        present[worker] = number
        play_round(part, seed, number, tally)
        number += workers
        end = end or time.monotonic() + seconds  # the first round compiles kernels, which may take a while
    if parent.is_alive():
        sender.send(tally)
