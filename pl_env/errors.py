"""The exceptions that pl_env, its planners and its agents raise on purpose.

A user's mistake, an input that a solver does not cover, and a file that is damaged are different things to a caller, so
each has a class; all of them are a `PlEnvError`. Anything else that escapes is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable


class PlEnvError(Exception):
    """Base of every error raised on purpose."""


class InvalidValue(PlEnvError, ValueError):
    """A field has a value out of its range; the message names the field, the value and the range."""


class UnknownName(PlEnvError, ValueError):
    """A preset, solver or field of that name does not exist; the message lists those that do."""

    def __init__(self, what: str, name: object, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"there is no {what} {name!r}; known are: {', '.join(known)}")
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
    """An action is not legal in the present state and the environment was asked to raise."""


class InfeasibleSchedule(PlEnvError, ValueError):
    """A schedule breaks a constraint of the problem; the message names the constraint and the batch."""


class UnsupportedInstance(PlEnvError, ValueError):
    """A solver does not cover this instance; the message says what it needs."""


class MissingPackage(PlEnvError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class FileFormatError(PlEnvError):
    """A file is missing, truncated, damaged, or was written by something else."""
