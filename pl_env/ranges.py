"""Range checks for configuration fields: one sentence that names the field, the value and the allowed range."""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral, Real

from pl_env.errors import InvalidValue, shown


def require(condition: bool, field: str, value: object, allowed: str) -> None:
    """Raise `InvalidValue` unless ``condition`` holds."""
    if not condition:
        raise InvalidValue(f"{field} is {shown(value)}; it must be {allowed}")


def require_integer(field: str, value: object, low: int, high: int | None = None) -> None:
    """Require an integer in [low, high]; a bool is not one."""
    allowed = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    good = isinstance(value, Integral) and not isinstance(value, bool)
    require(good and low <= value and (high is None or value <= high), field, value, allowed)  # type: ignore[operator]


def require_real(field: str, value: object, low: float, high: float = math.inf, *, above: bool = False) -> None:
    """Require a finite number in [low, high], or in (low, high] with ``above``."""
    bound = f"above {low:g}" if above else f"at least {low:g}"
    allowed = f"a finite number {bound}" + ("" if math.isinf(high) else f" and at most {high:g}")
    good = isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value)
    require(good and (low < value if above else low <= value) and value <= high, field, value, allowed)  # type: ignore[operator]


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def require_one_of(field: str, value: object, allowed: Collection[str]) -> None:
    """Require one of a few names."""
    require(isinstance(value, str) and value in allowed, field, value, "one of " + ", ".join(map(repr, allowed)))
