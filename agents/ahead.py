"""Calls that are begun, in a process of their own, before their answers are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

import torch
from joblib.externals.loky import ProcessPoolExecutor

from baselines.parallel import start_worker

Answer = TypeVar("Answer")


class Ahead(Generic[Answer]):
    """Calls of functions without a memory, so that nobody can tell where and when they were made.

    The process ends with this one, also when this one is killed.
    """

    def __init__(self, processes: int) -> None:
        """Begin nothing yet.

        Args:
            processes: 1 to call everything here, when it is asked for; 2 for a process that calls ahead.
        """
        self._processes = processes
        self._begun: dict[int, Future[Answer]] = {}
        self._pool: ProcessPoolExecutor | None = None

    def begin(self, number: int, function: Callable[..., Answer], *arguments: Any) -> None:
        """Begin a call, known by its number. What it is given must not change until it is answered."""
        if self._processes > 1:
            self._pool = self._pool or ProcessPoolExecutor(1, initializer=_start, initargs=(os.getpid(),))
            self._begun[number] = self._pool.submit(function, *arguments)

    def answer(self, number: int, function: Callable[..., Answer], *arguments: Any) -> Answer:
        """The answer of a call; where it was not begun, it is made here and now."""
        begun = self._begun.pop(number, None)
        return function(*arguments) if begun is None else begun.result()

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
            self._pool = None


def _start(parent: int) -> None:
    start_worker(parent)
    torch.set_num_threads(1)
