"""Result files of ``evaluate --out`` on benchmark sets: read, held to the set, and to what playing again finds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines.evaluation import Evaluation, PolicyResult
from pl_env.errors import FileFormatError, PlEnvError, UnknownName
from pl_env.files import parse_json, reason
from pl_env.protocols import BenchmarkSet
from pl_env.ranges import require, require_integer, require_one_of, require_real
from pl_env.seeds import EVALUATION_STREAM
from pl_env.systems import FIRST, SYSTEMS, face

SUMMARY = ("mean", "interquartile_mean", "low", "high", "gap")
"""What follows from the episodes. The time of a decision does not: it is believed."""


@dataclass(frozen=True)
class SavedEvaluation:
    """A result file.

    Attributes:
        place: Name of the benchmark set, such as "slide/slide-100", as `baselines.evaluate` takes it.
        seed: Seed of the episodes.
        results: By the policies' names.
        versions: Versions of the software, by name.
    """

    place: str
    seed: int
    results: dict[str, PolicyResult]
    versions: dict[str, str]

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(next(iter(self.results.values())).objective)


def read(path: str | os.PathLike[str]) -> SavedEvaluation:
    """Read a result file. What can be said without playing is held against it: the set's hash, optima, and summaries.

    Raises:
        FileFormatError: It is no result file of a benchmark set, or contradicts itself or the set.
        OSError: It cannot be read.
    """
    try:
        return _understood(parse_json(Path(path).read_bytes()))
    except OSError:
        raise
    except (PlEnvError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileFormatError(f"{os.fspath(path)} is no sound result file of a benchmark set: {_said(error)}") from None


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else reason(error)


def _understood(content: Mapping[str, Any]) -> SavedEvaluation:
    require(content["kind"] == "evaluation", "kind", content["kind"], "'evaluation'")
    require_one_of("sense", content["sense"], ("max", "min"))
    played = content["episodes"]
    place, benchmark = _set_named(played["set"])
    require(played["set_sha256"] == benchmark.content_hash(), "set_sha256", played["set_sha256"], "the set's own")
    require_integer("episodes", played["episodes"], 1, len(benchmark.instances))
    require_integer("seed", played["seed"], 0)
    require(played["stream"] == EVALUATION_STREAM, "stream", played["stream"], str(EVALUATION_STREAM))
    optimum = np.asarray(benchmark.objective[: played["episodes"]])
    require(content["optimum"] == optimum.tolist(), "optimum", content["optimum"], "the set's own")
    require(len(content["results"]) > 0, "results", content["results"], "of at least one policy")
    proven = float(benchmark.is_optimal[: played["episodes"]].mean())
    results = {
        name: _result(name, saved, PolicyResult(np.empty(0), optimum, 0.0, proven, content["sense"]))
        for name, saved in content["results"].items()
    }
    versions = {str(name): str(version) for name, version in content["versions"].items()}
    return SavedEvaluation(place, played["seed"], results, versions)


def _set_named(name: str) -> tuple[str, BenchmarkSet]:
    """The set of a name without its system, and the name with it."""
    for system in SYSTEMS:
        if name in face(system).benchmark_names():
            found: BenchmarkSet = face(system).benchmark(name)
            return name if system == FIRST else f"{system}/{name}", found
    raise UnknownName("benchmark set", name, [known for system in SYSTEMS for known in face(system).benchmark_names()])


def _result(name: str, saved: Mapping[str, Any], like: PolicyResult) -> PolicyResult:
    """One policy's result, its summary computed anew and compared."""
    assert like.optimum is not None
    where, values = f"results[{name!r}]", saved["objective"]
    count = len(like.optimum)
    require(len(values) == count, f"len({where}.objective)", len(values), f"{count}, one per episode")
    for n, value in enumerate(values):
        require_real(f"{where}.objective[{n}]", value, -np.finfo(float).max)
    require_real(f"{where}.decision_seconds", saved["decision_seconds"], 0)
    require_integer(f"{where}.illegal", saved["illegal"], 0, count)
    objective = np.array(values, dtype=np.float64)
    result = PolicyResult(
        objective, like.optimum, float(saved["decision_seconds"]), like.proven, like.sense, saved["illegal"]
    )
    computed = result.to_dict()
    for key in SUMMARY:
        require(_same(saved[key], computed[key]), f"{where}.{key}", saved[key], f"{computed[key]}, as its episodes say")
    return result


def _same(saved: object, computed: float | None) -> bool:
    """Whether they are equal but for the last digits, in which releases of NumPy may differ."""
    if computed is None or not isinstance(saved, (int, float)):
        return saved is computed
    return bool(np.isclose(saved, computed, rtol=0, atol=1e-12))


def require_same(saved: SavedEvaluation, replayed: Evaluation) -> None:
    """Hold a result file against the same policies playing again.

    Args:
        saved: What the file says.
        replayed: What was found by playing; the policies of the file, all of them or some.

    Raises:
        InvalidValue: An episode's objective, or the number of illegal actions, is another one.
    """
    for name, found in replayed.items():
        claimed, where = saved.results[name], f"results[{name!r}]"
        require(claimed.sense == found.sense, "sense", claimed.sense, f"{found.sense!r}")
        for n, (said, attained) in enumerate(zip(claimed.objective, found.objective, strict=True)):
            require(said == attained, f"{where}.objective[{n}]", float(said), f"{attained}, as played again")
        require(claimed.illegal == found.illegal, f"{where}.illegal", claimed.illegal, f"{found.illegal}")
