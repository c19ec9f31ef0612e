"""How the kernels are compiled: lazily, at their first call, and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a kernel with numba at its first call, keeping its type for type checkers.

    A division by zero gives inf as in NumPy. Nothing is reordered (no ``fastmath``): the same input gives the same
    bits in every process.
    """
    try:
        kernel: Any = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # neither the package's folder nor the home folder can be written: compile in every process
        kernel = numba.njit(error_model="numpy")(function)
    return cast(Function, kernel)
