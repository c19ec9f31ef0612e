"""Runs points on the machine's cores. Each finished point is kept at once, so a run that is killed goes on later."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from experiments.points import Point, Result, load
from pl_env.errors import PlEnvError
from pl_env.ranges import require_integer


def run(
    points: Sequence[Point], cache: Path, *, workers: int = 0, progress: bool = False, title: str = "computing"
) -> list[Result]:
    """Results of the points, in their order; what the cache folder holds is not computed again.

    Args:
        points: The points; all compiled or all not.
        cache: Folder of the kept results.
        workers: Processes; 0 for one per core.
        progress: Show a progress bar.
        title: Title of the bar.
    """
    require_integer("workers", workers, 0)
    if not points:
        return []
    unique = {point.key: point for point in points}
    kept = {key: load(point, cache) for key, point in unique.items()}
    missing = [point for key, point in unique.items() if kept[key] is None]
    total = sum(point.realisations for point in unique.values())
    done = total - sum(point.realisations for point in missing)
    bar = tqdm(desc=title, total=total, initial=done, unit="instance", disable=not progress, smoothing=0.05)
    with bar, _kernels_compiled(all(point.compiled for point in missing)):
        for point in _computed(missing, cache, min(workers or os.cpu_count() or 1, len(missing))):
            kept[point.key] = load(point, cache)
            bar.update(point.realisations)
    results = [kept[point.key] for point in points]
    if any(result is None for result in results):
        raise PlEnvError(f"{cache}: a result that was just written cannot be read; is the disk full?")
    return [result for result in results if result is not None]


def _computed(points: Sequence[Point], cache: Path, workers: int) -> Iterator[Point]:
    """The points, each as soon as its result is in the cache folder."""
    if not points:
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        futures = {pool.submit(_compute_and_keep, point, cache): point for point in points}
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    finally:
        pool.shutdown(cancel_futures=True)


def _compute_and_keep(point: Point, cache: Path) -> None:
    if replace(point).key != point.key:  # the copy computes its key from the source as it is now
        raise PlEnvError("the source code changed during the run; start it again")
    point.compute().save(cache)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: a parent that is killed cannot tell its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


@contextmanager
def _kernels_compiled(compiled: bool) -> Iterator[None]:
    """Let the workers that start meanwhile compile kernels or not; numba reads the variable when it is imported."""
    before = os.environ.get("NUMBA_DISABLE_JIT")
    if not compiled:
        os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("NUMBA_DISABLE_JIT", None)
        else:
            os.environ["NUMBA_DISABLE_JIT"] = before
