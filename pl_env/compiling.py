"""How the kernels are compiled: lazily, at their first call, and kept on disk for the next process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from pl_env import times

Function = TypeVar("Function", bound=Callable[..., object])

_sources: dict[str, tuple[float, int]] = {}
"""Modules that kernels are made of, as imported so far: when each was last changed, and its size."""


def inlined(function: Function) -> Function:
    """Compile a part of a kernel into every kernel that calls it.

    A call that hands over thirty arrays takes longer than the work: a step of many environments took 1,190 ns with
    calls and 390 ns without.
    """
    return cast(Function, numba.njit(error_model="numpy", inline="always")(function))


def compiled(function: Function) -> Function:
    """Compile a kernel with numba at its first call, keeping its type for type checkers.

    A division by zero gives inf as in NumPy. Nothing is reordered (no ``fastmath``): the same input gives the same
    bits in every process.
    """
    try:
        kernel: Any = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the home folder can be written: compile in every process
        kernel = numba.njit(error_model="numpy")(function)
    _watch_sources(function, kernel)
    return cast(Function, kernel)


def _watch_sources(function: Callable[..., object], kernel: Any) -> None:
    """Void what is kept on disk of a kernel when any file changes that it was compiled from.

    numba watches only the kernel's own file. It may also hold kernels of files that are imported before its own, in
    pl_env or in its own package, and constants of ``times``.
    """
    cache_file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    if cache_file is None:
        return
    try:
        for module, path in ((times.__name__, times.__file__), (function.__module__, function.__code__.co_filename)):
            status = os.stat(path)
            _sources[module] = (status.st_mtime, status.st_size)
    except OSError:  # not a file, as in a zip archive
        return
    packages = ("pl_env", function.__module__.partition(".")[0])
    cache_file._source_stamp = sorted(item for item in _sources.items() if item[0].partition(".")[0] in packages)
