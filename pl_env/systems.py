"""The systems: one row each. What stands outside a system's rooms knows systems from this table alone.

A system's room is the folder of its name on every floor. ``pl_env.<system>``, its face, has the names ``Scenario``,
``Instance``, ``check``, ``benchmark`` and ``benchmark_names``; ``baselines.<system>.solvers`` has ``SOLVERS``.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, TypedDict

import gymnasium

from pl_env.errors import InvalidValue, UnknownName
from pl_env.protocols import Scenario


class System(TypedDict):
    """A row: the environments' presets by their ids, and where the environments are."""

    environments: dict[str, str]
    entry_point: str
    vector_entry_point: str | None


SYSTEMS: dict[str, System] = {
    "partial_loading": {
        "environments": {
            "PartialLoading-v0": "bls",
            "PartialLoadingGeneral-v0": "general-hard",
            "PartialLoadingFading-v0": "fading",
        },
        "entry_point": "pl_env.partial_loading.env:PartialLoadingEnv",
        "vector_entry_point": "pl_env.partial_loading.vector_env:PartialLoadingVectorEnv",
    },
    "slide": {
        "environments": {"Slide-v0": "default"},
        "entry_point": "pl_env.slide.env:SlideEnv",
        "vector_entry_point": None,
    },
    "online": {
        "environments": {"PartialLoadingOnline-v0": "online", "PartialLoadingOnlineLRU-v0": "online-lru"},
        "entry_point": "pl_env.online.env:PartialLoadingOnlineEnv",
        "vector_entry_point": "pl_env.online.vector_env:PartialLoadingOnlineVectorEnv",
    },
    "cold_start": {
        "environments": {"ColdStart-v0": "default"},
        "entry_point": "pl_env.cold_start.env:ColdStartEnv",
        "vector_entry_point": None,
    },
    "cold_start_stream": {
        "environments": {"ColdStartStream-v0": "default"},
        "entry_point": "pl_env.cold_start_stream.env:ColdStartStreamEnv",
        "vector_entry_point": None,
    },
    "co_inference": {
        "environments": {"CoInference-v0": "default", "CoInferenceContinuous-v0": "continuous"},
        "entry_point": "pl_env.co_inference.environments:environment",
        "vector_entry_point": None,
    },
}

FIRST = next(iter(SYSTEMS))
"""The system that a name belongs to which names none: "bls" is short for "partial_loading/bls"."""


def register_environments() -> None:
    """Register all ids with Gymnasium; importing twice, or reloading, changes nothing."""
    for system in SYSTEMS.values():
        for environment_id, preset in system["environments"].items():
            if environment_id not in gymnasium.registry:
                gymnasium.register(
                    environment_id,
                    entry_point=system["entry_point"],
                    vector_entry_point=system["vector_entry_point"],
                    kwargs={"scenario": preset},
                )


def face(system: str) -> ModuleType:
    """The module ``pl_env.<system>``, imported when asked for.

    Raises:
        UnknownName: There is no such system.
    """
    if system not in SYSTEMS:
        raise UnknownName("system", system, SYSTEMS)
    return import_module(f"pl_env.{system}")


def system_of(thing: object) -> str | None:
    """The system in whose room the class of an instance, scenario or environment stands; None where it is in none."""
    for kind in type(thing).__mro__:
        package, *rooms = kind.__module__.split(".")
        if package == __package__ and rooms and rooms[0] in SYSTEMS:
            return rooms[0]
    return None


def environment(scenario: Scenario, **arguments: Any) -> Any:
    """An environment of a scenario, unwrapped.

    Args:
        scenario: The scenario.
        **arguments: Further arguments of the environment, such as ``invalid_action="raise"``.

    Raises:
        InvalidValue: The scenario is none of a system's.
    """
    system = system_of(scenario)
    if system is None:
        raise InvalidValue(f"scenario is {scenario!r}; it must be a Scenario of one of: {', '.join(SYSTEMS)}")
    module, _, name = SYSTEMS[system]["entry_point"].partition(":")
    return getattr(import_module(module), name)(scenario, **arguments)


def split(name: str) -> tuple[str, str]:
    """The system and the rest of a name such as "slide/hard"; without a system it is the first one's.

    Raises:
        UnknownName: There is no such system.
    """
    system, slash, rest = name.partition("/")
    if not slash:
        return FIRST, name
    if system not in SYSTEMS:
        raise UnknownName("system", system, SYSTEMS)
    return system, rest


def scenario_named(name: str) -> Scenario:
    """The scenario of a preset's name, such as "slide/hard", or "bls" of the first system.

    Raises:
        UnknownName: There is no such system or preset.
    """
    system, preset = split(name)
    scenario: Scenario = face(system).Scenario.preset(preset)
    return scenario
