"""What the scenarios of all systems share: presets by name, fields replaced, ranges checked, JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, ClassVar, Self

from pl_env.errors import UnknownArgument, UnknownName
from pl_env.ranges import require


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts, such as those of ``to_dict``, as one with names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


class Configured:
    """A mixin for frozen dataclasses of constants; their ``__post_init__`` checks the ranges.

    Attributes:
        PRESETS: The named ones: from each name to a function that gives the fields that differ from the defaults.
    """

    PRESETS: ClassVar[Mapping[str, Callable[[], dict[str, Any]]]]

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """A named scenario, with fields overridden.

        Raises:
            UnknownName: There is no such preset or field.
            InvalidValue: A field is out of range.
        """
        if not isinstance(name, str) or name not in cls.PRESETS:
            raise UnknownName("preset", name, cls.PRESETS)
        return cls().override(**(cls.PRESETS[name]() | overrides))

    @classmethod
    def presets(cls) -> tuple[str, ...]:
        """Names of the presets."""
        return tuple(cls.PRESETS)

    def override(self, **overrides: Any) -> Self:
        """This scenario with fields replaced.

        Raises:
            UnknownName: There is no such field.
            InvalidValue: A field is out of range.
        """
        for name in overrides:
            if name not in self.field_names():
                raise UnknownName("scenario field", name, self.field_names())
        return replace(self, **overrides)  # type: ignore[type-var]

    @classmethod
    def field_names(cls) -> list[str]:
        """Names of the fields."""
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def of(cls, scenario: str | Self, **overrides: Any) -> Self:
        """A preset's name or a scenario, with fields overridden; what an environment's arguments say.

        Raises:
            UnknownName: There is no such preset.
            UnknownArgument: There is no such field.
            InvalidValue: It is something else, or a field is out of range.
        """
        known = cls.field_names()
        for name in overrides:
            if name not in known:
                names = ", ".join(sorted(known))
                raise UnknownArgument(
                    f"__init__() got an unexpected keyword argument {name!r}; scenario fields are: {names}"
                )
        if isinstance(scenario, str):
            return cls.preset(scenario, **overrides)
        require(isinstance(scenario, cls), "scenario", scenario, "the name of a preset or a Scenario")
        return scenario.override(**overrides)
