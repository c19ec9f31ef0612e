"""A point of a figure: one scenario, the curves that are computed on it, and the file that keeps the result.

All curves of a point see the same instances. Instance n of a point depends on the scenario, the seed and n alone, so
two points that differ in the bandwidth only have the same users in the same places.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import baselines
import pl_env
from pl_env.errors import FileFormatError
from pl_env.files import load_arrays, save_arrays
from pl_env.protocols import Scenario

EXPERIMENT_STREAM = 11
"""First entry of the seed of every instance, (EXPERIMENT_STREAM, seed, n): no other part of the repository uses it."""

_KIND = "experiment-point"


@dataclass(frozen=True)
class Curve:
    """One curve of a figure: a solver with its options, and how it is drawn.

    Attributes:
        label: Name in legends and tables, unique in a panel.
        solver: Name of the solver in `baselines.solvers()`.
        options: Options of the solver that are switched on.
        equal_bandwidth_channels: r > 0 cuts the band into r equal channels; 0 is optimal bandwidth shares.
        colour: Colour in figures.
        dashed: Drawn dashed, which marks what this project adds to the paper's curves.
    """

    label: str
    solver: str
    options: tuple[str, ...] = ()
    equal_bandwidth_channels: int = 0
    colour: str = "black"
    dashed: bool = False

    def solve(self, instance: pl_env.Instance) -> pl_env.Schedule:
        """The curve's schedule for an instance."""
        options = dict.fromkeys(self.options, True)
        return baselines.solve(instance, self.solver, equal_bandwidth_channels=self.equal_bandwidth_channels, **options)

    def to_dict(self) -> dict[str, Any]:
        """What decides the curve's numbers, as JSON types."""
        return {"solver": self.solver, "options": list(self.options), "channels": self.equal_bandwidth_channels}


@dataclass(frozen=True)
class Point:
    """What is computed in one go and kept in one file.

    Attributes:
        scenario: The scenario.
        curves: The curves.
        realisations: Number of instances.
        seed: Seed of the instances.
        compiled: False runs the planners' kernels as plain Python, to compare run times with an uncompiled program's.
    """

    scenario: Scenario
    curves: tuple[Curve, ...]
    realisations: int
    seed: int = 0
    compiled: bool = True

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of everything that decides the result, the source code included."""
        content = {
            "scenario": self.scenario.to_dict(),
            "curves": [curve.to_dict() for curve in self.curves],
            "realisations": self.realisations,
            "seed": self.seed,
            "compiled": self.compiled,
            "code": code_version(),
            "numpy": np.__version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def compute(self) -> Result:
        """Solve all instances with all curves; instance by instance, so that memory stays small."""
        shape = (len(self.curves), self.realisations)
        served_ratio, seconds = np.empty(shape), np.empty(shape)
        if self.compiled:
            first = self._instance(0)
            for curve in self.curves:  # once without the clock: kernels compile at their first call
                curve.solve(first)
        for n in range(self.realisations):
            instance = self._instance(n)
            for row, curve in enumerate(self.curves):
                schedule = curve.solve(instance)
                served_ratio[row, n] = schedule.served_ratio
                seconds[row, n] = schedule.elapsed
        return Result(self, served_ratio, seconds)

    def _instance(self, n: int) -> pl_env.Instance:
        instance: pl_env.Instance = self.scenario.sample(np.random.default_rng((EXPERIMENT_STREAM, self.seed, n)))
        return instance


@dataclass(frozen=True)
class Result:
    """The numbers of a point.

    Attributes:
        point: The point.
        served_ratio: float64 (curves, realisations), served users / K.
        seconds: float64 (curves, realisations), the solver's run time, without drawing and checking the instance.
    """

    point: Point
    served_ratio: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def row(self, label: str) -> int:
        """Row of a curve."""
        return [curve.label for curve in self.point.curves].index(label)

    def first(self, realisations: int) -> Result:
        """The result of fewer realisations, the first of these."""
        fewer = replace(self.point, realisations=realisations)
        return Result(fewer, self.served_ratio[:, :realisations], self.seconds[:, :realisations])

    def save(self, folder: Path) -> None:
        """Keep the result in its file, whole or not at all."""
        arrays = {"served_ratio": self.served_ratio, "seconds": self.seconds}
        save_arrays(path_of(self.point, folder), _KIND, {"key": self.point.key}, arrays)


def path_of(point: Point, folder: Path) -> Path:
    """The file that keeps the point's result."""
    return folder / f"{point.key}.npz"


def load(point: Point, folder: Path) -> Result | None:
    """The result kept for a point; None where there is none, or its file is damaged."""
    try:
        header, arrays = load_arrays(path_of(point, folder), _KIND)
    except FileFormatError:
        return None
    shape = (len(point.curves), point.realisations)
    good = header.get("key") == point.key and all(array.shape == shape for array in arrays.values())
    return Result(point, arrays["served_ratio"], arrays["seconds"]) if good else None


_DECIDES_NOTHING = (
    *("env.py", "vector_env.py", "stepping.py", "wrappers.py", "rendering.py", "plots.py", "benchmark.py"),
    *("checkpoints.py", "scanning.py", "loading.py", "running.py", "measuring.py", "resnet.py"),
    *("exact.py", "circuits.py", "held_karp.py", "local_search.py", "bounds.py"),
    *("action_values.py", "episodes.py", "expected_uploads.py", "lookahead.py", "policies.py"),
    *("searched_values.py", "command_line.py"),
    *("execution.py", "execute_command.py", "__main__.py"),
)
"""Files of pl_env and baselines that neither sampling an instance nor the solvers of the figures touch."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """SHA-256 (hex) of the source that decides the numbers: what samples and solves, and this file."""
    digest = hashlib.sha256()
    for package in (pl_env, baselines):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
            if path.name in _DECIDES_NOTHING:
                continue
            digest.update(f"{package.__name__}/{path.relative_to(root).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()
