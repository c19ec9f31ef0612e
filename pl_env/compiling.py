"""How the kernels are compiled: lazily, at their first call, and kept on disk for the next process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

from pl_env.sources import stamp_of_module

Function = TypeVar("Function", bound=Callable[..., object])


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
    return _compiled(function, nogil=False)


def threaded(function: Function) -> Function:
    """Compile a kernel that takes long as `compiled` does; while it runs, other threads of Python run too."""
    return _compiled(function, nogil=True)


def _compiled(function: Function, nogil: bool) -> Function:
    kernel: Any = numba.njit(error_model="numpy", nogil=nogil)(function)
    if hasattr(kernel, "_cache"):  # not where NUMBA_DISABLE_JIT leaves a plain function
        # Neither the package's folder nor the home folder can be written, or it is a zip archive: compile in every
        # process.
        with contextlib.suppress(RuntimeError, OSError):
            kernel._cache = _KernelCache(function)
    return cast(Function, kernel)


class _KernelCache(FunctionCache):
    """What `numba.njit(cache=True)` keeps of a kernel, with two differences.

    It is void as soon as any source of the kernel's system changes: numba watches the kernel's own file only, and a
    kernel also holds kernels and constants of other files. And files that are damaged, or cannot be written, are done
    without.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file._source_stamp = (self._cache_file._source_stamp, stamp_of_module(function.__module__))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is kept for a signature; None where nothing is, or nothing that can be read."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # a truncated or foreign file raises whatever unpickling it comes upon
            with contextlib.suppress(OSError):  # the index too may be damaged, and numba reads it before it writes
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled signature, if the disk takes it."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
