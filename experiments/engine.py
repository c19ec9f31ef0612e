"""Computes points, on many cores. Each finished point is kept at once, so a run that is killed goes on later."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numba

from baselines.parallel import Workers, map_tasks, start_worker
from experiments.points import Point, Result, load
from pl_env.errors import PlEnvError


def run(
    points: Sequence[Point], cache: Path, *, workers: Workers = 0, progress: bool = False, title: str = "computing"
) -> list[Result]:
    """Results of the points, in their order; what the cache folder holds is not computed again.

    Args:
        points: The points.
        cache: Folder of the kept results.
        workers: Who computes; see `baselines.parallel.Workers`.
        progress: Show a progress bar.
        title: Title of the bar.
    """
    unique = {point.key: point for point in points}
    kept = {key: load(point, cache) for key, point in unique.items()}
    missing = [point for key, point in unique.items() if kept[key] is None]
    computed = map_tasks(
        _computed, missing, workers=workers, ordered=False, progress=progress, title=title, unit="point"
    )
    for result in computed:
        result.save(cache)
        kept[result.point.key] = load(result.point, cache)
    results = [kept[point.key] for point in points]
    if any(result is None for result in results):
        raise PlEnvError(f"{cache}: a result that was just written cannot be read; is the disk full?")
    return [result for result in results if result is not None]


def run_groups(
    groups: Mapping[str, Sequence[Point]], cache: Path, *, workers: Workers = 0, title: str = "computing"
) -> dict[str, list[Result]]:
    """Results of named groups of points, with a progress bar; otherwise as `run`."""
    flat = [point for group in groups.values() for point in group]
    computed = iter(run(flat, cache, workers=workers, progress=True, title=title))
    return {name: [next(computed) for _ in group] for name, group in groups.items()}


def _computed(point: Point) -> Result:
    """A point's result."""
    if replace(point).key != point.key:  # the copy computes its key from the source as it is now
        raise PlEnvError("the source code changed during the run; start it again")
    if point.compiled or numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return point.compute()
    return _in_plain_python(point)


def _in_plain_python(point: Point) -> Result:
    """`_computed` in a process where kernels are plain Python: numba decides when it is imported."""
    spawn = multiprocessing.get_context("spawn")
    with _kernels_not_compiled(), ProcessPoolExecutor(1, spawn, start_worker, (os.getpid(),)) as pool:
        return pool.submit(_computed, point).result()


@contextmanager
def _kernels_not_compiled() -> Iterator[None]:
    """Let the processes that start meanwhile run kernels as plain Python."""
    before = os.environ.get("NUMBA_DISABLE_JIT")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("NUMBA_DISABLE_JIT", None)
        else:
            os.environ["NUMBA_DISABLE_JIT"] = before
