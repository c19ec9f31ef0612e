"""Many independent tasks: one after another in this process, or side by side in several."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pl_env.ranges import require_integer

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_SECONDS_BETWEEN_LOOKS = 0.2


def map_tasks(
    function: Callable[[Task], Answer],
    tasks: Iterable[Task],
    *,
    workers: int = 0,
    progress: bool = False,
    title: str = "",
    unit: str = "task",
) -> Iterator[Answer]:
    """Do tasks, each independent of the others; the answers are the same whatever the number of workers.

    An error in a task, or Ctrl-C, ends all of them and reaches the caller. Workers end with this process, also when it
    is killed.

    Args:
        function: From a task to its answer, without a memory; to be pickled, as are tasks and answers.
        tasks: The tasks.
        workers: Processes; 1 for this one, 0 for one per core.
        progress: Show a progress bar.
        title: Title of the bar.
        unit: What a task is called there.

    Returns:
        The answers, in the tasks' order, each as soon as it and those before it are there.

    Raises:
        InvalidValue: ``workers`` is below 0.
    """
    require_integer("workers", workers, 0)
    every = list(tasks)
    processes = min(workers or os.cpu_count() or 1, len(every))
    answers = map(function, every) if processes <= 1 else _in_processes(function, every, processes)
    return _shown(answers, len(every), title, unit) if progress else answers


def _in_processes(function: Callable[[Task], Answer], tasks: list[Task], processes: int) -> Iterator[Answer]:
    pool = Parallel(
        processes,
        backend="loky",
        batch_size=1,
        return_as="generator",
        initializer=start_worker,
        initargs=(os.getpid(),),
    )
    try:
        yield from pool(delayed(function)(task) for task in tasks)
    finally:  # joblib keeps idle workers for its next call, with the modules and variables that they began with
        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


def start_worker(parent: int) -> None:
    """Let a worker process leave Ctrl-C to its parent, and end with it: a parent that is killed cannot tell it to.

    Args:
        parent: The parent's process id.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _shown(answers: Iterable[Answer], total: int, title: str, unit: str) -> Iterator[Answer]:
    """The answers, and a bar of how many there are; on the error stream, so that results can be piped."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield from bar.track(answers, total=total, description=title)
