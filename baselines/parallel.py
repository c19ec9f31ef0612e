"""Many independent tasks: one after another in this process, side by side in several, or over a Ray cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from baselines import cluster
from pl_env.errors import PlEnvError
from pl_env.ranges import require, require_integer

Workers = int | str
"""Who does tasks: so many processes, 1 for this one and 0 for one per core; or a Ray cluster, "ray" for one of this
machine's cores and "ray:ADDRESS" for one that runs ("ray:auto" finds it)."""

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_SECONDS_BETWEEN_LOOKS = 0.2


def map_tasks(
    function: Callable[[Task], Answer],
    tasks: Iterable[Task],
    *,
    workers: Workers = 0,
    ordered: bool = True,
    progress: bool = False,
    title: str = "",
    unit: str = "task",
) -> Iterator[Answer]:
    """Do tasks, each independent of the others; the answers are the same whoever does them.

    An error in a task, or Ctrl-C, ends all of them and reaches the caller. Workers end with this process, also when it
    is killed. What a cluster's node was doing when it died, others do again.

    Args:
        function: From a task to its answer, without a memory; to be pickled, as are tasks and answers.
        tasks: The tasks.
        workers: Who does them; see `Workers`.
        ordered: Give the answers in the tasks' order; else each as soon as it is there.
        progress: Show a progress bar.
        title: Title of the bar.
        unit: What a task is called there.

    Returns:
        The answers, each as soon as it and, with ``ordered``, those before it are there.

    Raises:
        InvalidValue: ``workers`` is none.
        MissingPackage: Ray is not installed.
        PlEnvError: A worker process was killed, or a task killed many; or no cluster answers.
    """
    require_workers(workers)
    every = list(tasks)
    if isinstance(workers, str):
        answers = cluster.map_tasks(function, every, _address(workers), ordered=ordered)
    else:
        processes = min(workers or os.cpu_count() or 1, len(every))
        answers = map(function, every) if processes <= 1 else _in_processes(function, every, processes, ordered)
    return _shown(answers, len(every), title, unit) if progress else answers


def require_workers(workers: Workers) -> None:
    """Raise `InvalidValue` unless this is one of `Workers`."""
    if isinstance(workers, str):
        workers_of(workers, 0)
    else:
        require_integer("workers", workers, 0)


def workers_of(engine: str, processes: int) -> Workers:
    """The workers that a command line asks for.

    Args:
        engine: "process", "ray" or "ray:ADDRESS".
        processes: How many there are with "process".

    Raises:
        InvalidValue: It is something else, or ``processes`` is below 0.
    """
    require_integer("workers", processes, 0)
    kind, _, address = engine.partition(":")
    good = engine in ("process", "ray") or (kind == "ray" and bool(address))
    require(good, "engine", engine, "'process', 'ray' for this machine's cores, or 'ray:ADDRESS' for a cluster's")
    return processes if engine == "process" else engine


def side_by_side(workers: Workers) -> int:
    """How many tasks they do at a time; a cluster is connected to, as only it knows."""
    if isinstance(workers, str):
        return cluster.cores(_address(workers))
    return workers or os.cpu_count() or 1


def _address(workers: str) -> str:
    """The address of a cluster; empty for this machine's cores."""
    return workers.partition(":")[2]


def _in_processes(
    function: Callable[[Task], Answer], tasks: list[Task], processes: int, ordered: bool
) -> Iterator[Answer]:
    pool = Parallel(
        processes,
        backend="loky",
        batch_size=1,
        return_as="generator" if ordered else "generator_unordered",
        initializer=start_worker,
        initargs=(os.getpid(),),
    )
    try:
        yield from pool(delayed(function)(task) for task in tasks)
    except TerminatedWorkerError:
        raise PlEnvError("a worker process was killed, perhaps as memory ran out; start again") from None
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
