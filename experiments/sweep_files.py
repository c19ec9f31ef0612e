"""What a sweep trains, from a TOML file: every algorithm on every scenario with every seed.

``experiments/partial_loading/sweeps/comparison.toml`` is one; ``docs/scale.md`` says what its fields are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from agents.jobs import Job, jobs
from pl_env.errors import FileFormatError, InvalidValue, PlEnvError, UnknownName
from pl_env.ranges import require, require_integer
from pl_env.systems import FIRST

_OF_THE_SWEEP = ("seed", "threads", "processes")
"""Fields of a training that a file does not set: each run has a seed of the sweep's and one core."""


@dataclass(frozen=True)
class Entry:
    """One training of a sweep.

    Attributes:
        scenario: Name of the job.
        algorithm: Name of the algorithm.
        seed: Seed of the training.
        job: The job.
    """

    scenario: str
    algorithm: str
    seed: int
    job: Job

    @property
    def folder(self) -> Path:
        """Its folder in the sweep's."""
        return Path(_as_file_name(self.scenario), _as_file_name(self.algorithm), f"seed-{self.seed}")


@dataclass(frozen=True)
class Sweep:
    """What a file says.

    Attributes:
        entries: The trainings.
        episodes: Validation episodes of an evaluation.
        evaluate_every: States learnt from between two evaluations.
    """

    entries: tuple[Entry, ...]
    episodes: int
    evaluate_every: int


def read(path: Path) -> Sweep:
    """Read a file.

    Raises:
        FileFormatError: It is not there, or no TOML.
        InvalidValue: A value is missing or out of range.
        UnknownName: There is no such field, job or module.
    """
    try:
        said = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FileFormatError(f"{path}: cannot be read as TOML ({error})") from None
    try:
        return _sweep(said)
    except PlEnvError as error:
        raise InvalidValue(f"{path}: {error}") from None


def _sweep(said: Mapping[str, Any]) -> Sweep:
    known = ("seeds", "scenarios", "episodes", "evaluate_every", "algorithms")
    for name in said:
        if name not in known:
            raise UnknownName("field", name, known)
    seeds, scenarios, algorithms = (_list(said, name) for name in ("seeds", "scenarios", "algorithms"))
    for seed in seeds:
        require_integer("seeds", seed, 0, 2**31)
    episodes, every = said.get("episodes", 200), said.get("evaluate_every", 10_000)
    require_integer("episodes", episodes, 2)
    require_integer("evaluate_every", every, 1)
    trained = {name: _jobs(name, of_algorithm, scenarios) for name, of_algorithm in _named(algorithms).items()}
    entries = [  # all with the first seed before any with the second
        Entry(scenario, name, seed, _with(job, seed))
        for seed in seeds
        for name, of_scenarios in trained.items()
        for scenario, job in of_scenarios.items()
    ]
    folders = [entry.folder for entry in entries]
    twice = next((str(folder) for folder in folders if folders.count(folder) > 1), None)
    require(twice is None, "folder of two runs", twice, "one run's; let seeds differ, and names in letters or digits")
    return Sweep(tuple(entries), episodes, every)


def _list(said: Mapping[str, Any], name: str) -> list[Any]:
    found = said.get(name)
    require(isinstance(found, list) and len(found) > 0, name, found, "a list of at least one")
    assert isinstance(found, list)
    return found


def _named(algorithms: list[Any]) -> dict[str, Mapping[str, Any]]:
    for number, algorithm in enumerate(algorithms):
        require(isinstance(algorithm, dict), "algorithms", algorithm, "tables, [[algorithms]]")
        name = algorithm.get("name")
        good = isinstance(name, str) and bool(_as_file_name(name))
        require(good, f"algorithms[{number}].name", name, "a text with letters or digits")
    names = [algorithm["name"] for algorithm in algorithms]
    require(len(names) == len(set(names)), "names of algorithms", names, "different")
    return {algorithm["name"]: algorithm for algorithm in algorithms}


def _jobs(name: str, algorithm: Mapping[str, Any], scenarios: list[Any]) -> dict[str, Job]:
    """The job of an algorithm on each scenario."""
    module = algorithm.get("jobs")
    known = jobs() if module is None else _jobs_of(name, module)
    overrides = {key: value for key, value in algorithm.items() if key not in ("name", "jobs")}
    found = {}
    for scenario in scenarios:
        require(isinstance(scenario, str), "scenarios", scenario, "names of jobs, such as 'bls' or 'slide/default'")
        if scenario not in known:
            raise UnknownName(f"scenario of algorithm {name!r}", scenario, known)
        job: Any = known[scenario]
        found[scenario] = replace(job, training=_overridden(job.training, overrides, f"algorithm {name!r}"))
    return found


def _jobs_of(name: str, module: object) -> Mapping[str, Job]:
    where = f"jobs of algorithm {name!r}"
    require(isinstance(module, str), where, module, "a module with JOBS, such as my_package.my_module")
    try:
        found: Mapping[str, Job] = import_module(str(module)).JOBS
    except (ImportError, ValueError, AttributeError) as error:
        raise InvalidValue(f"{where} is {module!r}; it must be a module with JOBS ({error})") from None
    return found


def _overridden(config: Any, values: Mapping[str, Any], where: str) -> Any:
    """A frozen dataclass with fields replaced; a table stands for fields of a field."""
    known = [field.name for field in fields(config) if field.name not in _OF_THE_SWEEP]
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise UnknownName(f"field of {where}", name, known)
        before = getattr(config, name)
        if is_dataclass(before):
            require(isinstance(value, dict), f"{where}, {name}", value, "a table")
            value = _overridden(before, value, f"{where}, {name}")
        changed[name] = tuple(value) if isinstance(value, list) else value
    try:
        return replace(config, **changed)
    except PlEnvError as error:
        raise InvalidValue(f"{where}: {error}") from None


def _with(job: Any, seed: int) -> Job:
    """A job with a seed, and one core."""
    has = {field.name for field in fields(job.training)}
    alone = {name: 1 for name in ("threads", "processes") if name in has}
    changed: Job = replace(job, training=replace(job.training, seed=seed, **alone))
    return changed


def _as_file_name(name: str) -> str:
    """A name in letters, digits and hyphens; the first system's name in front counts as none."""
    return "-".join(re.findall(r"\w+", name.removeprefix(f"{FIRST}/")))
