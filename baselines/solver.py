"""What a solver says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pl_env.errors import UnknownName
from pl_env.ranges import require, require_integer, require_real

Check = Callable[[str, Any], None]
"""Takes an option's name and value, and raises `InvalidValue` where the value is out of range."""


def covers_everything(instance: Any) -> None:
    """The `Solver.why_not` of a solver that covers all instances of its system."""


@dataclass(frozen=True)
class Solver:
    """One solver of a system.

    Attributes:
        name: Name to call it by.
        guarantee: What it guarantees, in a few words.
        description: One line.
        function: From an instance, and the options, to a plan, which nobody has checked yet.
        options: Its options by name, each with its check.
        why_not: Why it does not cover an instance, one sentence; None where it does. Nobody else decides that.
    """

    name: str
    guarantee: str
    description: str
    function: Callable[..., Any]
    options: Mapping[str, Check] = field(default_factory=dict)
    why_not: Callable[[Any], str | None] = covers_everything

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Raise unless the solver has these options, and their values are in range.

        Raises:
            UnknownName: It has no such option.
            InvalidValue: A value is out of range.
        """
        for name, value in options.items():
            if name not in self.options:
                raise UnknownName(f"option of {self.name}", name, self.options)
            self.options[name](name, value)


def boolean() -> Check:
    """True or False."""
    return lambda name, value: require(isinstance(value, bool), name, value, "True or False")


def integer(low: int, high: int) -> Check:
    """An integer from low to high."""
    return lambda name, value: require_integer(name, value, low, high)


def real(low: float, high: float) -> Check:
    """A finite number from low to high."""
    return lambda name, value: require_real(name, value, low, high)
