"""The exceptions that pl_env, its planners and its agents raise on purpose.

A user's mistake, an input that a solver does not cover, and a file that is damaged are different things to a caller, so
each has a class; all of them are a `PlEnvError`. Anything else that escapes is a bug.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST_VALUE = 80
_LONGEST_LIST = 600
_LONGEST_MESSAGE = 299


def abbreviated(text: str, most: int = _LONGEST_VALUE) -> str:
    """A text on one line of printable characters, cut in the middle where it is longer than ``most``.

    Texts of other libraries, and of files, can be as long as a file, and can hold a terminal's escape codes.
    """
    part = text if len(text) <= 3 * most else text[: 2 * most] + text[-most:]
    line = "".join(letter if letter.isprintable() else "?" for letter in re.sub(r"\s*\n\s*", " ", part))
    if len(line) <= most and len(part) == len(text):
        return line
    head = 2 * (most - 5) // 3
    return f"{line[:head]} ... {line[head + 5 - most :]}"


def shown(value: object) -> str:
    """`repr` of a value, abbreviated for a message."""
    try:
        return abbreviated(repr(value))
    except Exception:  # an integer of thousands of digits, or a mistake in a class of the user's
        return f"<{type(value).__name__}>"


class PlEnvError(Exception):
    """Base of every error raised on purpose."""


class InvalidValue(PlEnvError, ValueError):
    """A field has a value out of its range; the message names the field, the value and the range."""


class UnknownName(PlEnvError, ValueError):
    """A preset, solver or field of that name does not exist; the message lists those that do."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"there is no {what} {shown(name)}; known are: {abbreviated(', '.join(known), _LONGEST_LIST)}")
        self._arguments = (what, name, known)

    def __reduce__(self) -> tuple[type[UnknownName], tuple[str, object, list[str]]]:
        """Pickle by these arguments, not by the message; a worker process hands its errors over like that."""
        return type(self), self._arguments


class UnknownArgument(PlEnvError, ValueError, TypeError):
    """A keyword argument of an environment does not exist; the message lists those that do.

    It is a TypeError too, worded as Python's own and made of its message alone, because libraries try keywords and go
    on without: TorchRL passes ``frameskip`` to every environment.
    """


class InvalidAction(PlEnvError, ValueError):
    """An action is not of the action space, or is illegal now and the environment was asked to raise."""


class InfeasibleSchedule(PlEnvError, ValueError):
    """A schedule breaks a constraint of the problem; the message names the constraint and the batch."""


class UnsupportedInstance(PlEnvError, ValueError):
    """A solver does not cover this instance; the message says what it needs."""


class MissingPackage(PlEnvError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class FileFormatError(PlEnvError):
    """A file is missing, truncated, damaged, or was written by something else.

    The message is one line below 300 characters, whatever the file says.
    """

    def __init__(self, message: str) -> None:
        super().__init__(abbreviated(message, _LONGEST_MESSAGE))
