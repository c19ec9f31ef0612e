"""Calls that are begun, in processes of their own, before their answers are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import torch
from joblib.externals.loky import ProcessPoolExecutor

from baselines.parallel import start_worker

Answer = TypeVar("Answer")

Call = Callable[[], Answer]
"""To be pickled, without a memory: so nobody can tell where and when it was made."""


class Ahead(Generic[Answer]):
    """Rounds of calls, the next of which may be begun while this process does something else.

    Other processes end with this one, also when this one is killed.
    """

    def __init__(self, processes: int) -> None:
        """Begin nothing yet.

        Args:
            processes: This one, and those that call ahead; 1 to make every call here, when its answer is asked for.
        """
        self._others = processes - 1
        self._begun: dict[int, list[Future[Answer]]] = {}
        self._pool: ProcessPoolExecutor | None = None

    def begin(self, number: int, calls: Sequence[Call[Answer]]) -> None:
        """Begin a round. What its calls hold must not change until they are answered."""
        if self._others > 0:
            self._pool = self._pool or ProcessPoolExecutor(self._others, initializer=_start, initargs=(os.getpid(),))
            self._begun[number] = [self._pool.submit(call) for call in calls]

    def answers(self, number: int, calls: Sequence[Call[Answer]]) -> list[Answer]:
        """The answers of a round; where it was not begun, its calls are made here and now."""
        begun = self._begun.pop(number, None)
        return [call() for call in calls] if begun is None else [future.result() for future in begun]

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
            self._pool = None


def _start(parent: int) -> None:
    start_worker(parent)
    torch.set_num_threads(1)
