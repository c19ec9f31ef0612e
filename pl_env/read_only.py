"""Arrays that belong to frozen objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import InvalidValue
from pl_env.ranges import require


class ReadOnlyArrays:
    """Base of frozen objects, whose arrays stay read-only when they are pickled or copied; NumPy forgets it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
        self.__dict__.update(state)


def read_only(field: str, value: Any, dtype: type[np.generic], ndim: int) -> NDArray[Any]:
    """Return ``value`` as a read-only, contiguous array of ``dtype``; copied unless it already is one.

    Raises:
        InvalidValue: The number of dimensions differs, or a value would change in the conversion.
    """
    if isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == ndim:
        if not value.flags.writeable and value.flags.c_contiguous and (value.base is None or value.size == 0):
            return value
        array = value.copy(order="C")
    else:
        array = _converted(field, value, dtype)
        require(array.ndim == ndim, f"{field}.shape", array.shape, f"of {ndim} dimension{'s' * (ndim > 1)}")
    array.setflags(write=False)
    return array


def _converted(field: str, value: Any, dtype: type[np.generic]) -> NDArray[Any]:
    try:
        original = np.asarray(value)
        with np.errstate(invalid="ignore"):  # what NaN becomes is found out below
            array = original.astype(dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidValue(f"{field} cannot be read as an array of {np.dtype(dtype)}: {error}") from None
    same = original.size == 0 or (original.dtype.kind in "biuf" and np.array_equal(array, original, equal_nan=True))
    require(same, field, f"array of {original.dtype}", f"exactly representable as {np.dtype(dtype)}")
    return array
