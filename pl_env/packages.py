"""Packages that only some need: they are imported when touched, and what to install is said where one is missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pl_env.errors import MissingPackage

_OURS = ("pl_env", "baselines", "agents", "experiments")


def require_package(name: str, extra: str = "agents") -> Any:
    """Import a module that needs a package of an extra.

    Args:
        name: Its dotted name: that of the package, or of a module of ours that imports it.
        extra: The extra.

    Raises:
        MissingPackage: The package is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        if missing in _OURS:  # a mistake of ours, which no installation helps
            raise
        raise MissingPackage(f"this needs {missing}; install it with: pip install 'pl-env[{extra}]'") from None
