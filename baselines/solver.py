"""What a solver says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _covers_all(instance: Any) -> str | None:
    return None


@dataclass(frozen=True)
class Solver:
    """One solver of a system.

    Attributes:
        name: Name to call it by.
        guarantee: What it guarantees, in a few words.
        description: One line.
        function: From an instance, and the options, to a plan that nobody has checked.
        options: Its options by name; each checks a value and raises `InvalidValue`.
        why_not: Says in one sentence why an instance is not covered, or None where it is.
    """

    name: str
    guarantee: str
    description: str
    function: Callable[..., Any]
    options: Mapping[str, Callable[[str, Any], None]] = field(default_factory=dict)
    why_not: Callable[[Any], str | None] = _covers_all
