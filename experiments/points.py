"""A point of a figure: one scenario, the curves that are computed on it, and the file that keeps the result.

All curves of a point see the same instances. Instance n of a point depends on the scenario, the seed and n alone, so
two points that differ in the bandwidth only have the same users in the same places.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.playing import SolvesAhead, play
from baselines.trials import Trials
from pl_env.errors import FileFormatError
from pl_env.files import load_arrays, save_arrays
from pl_env.protocols import Scenario
from pl_env.sources import stamp
from pl_env.systems import FIRST, system_of

EXPERIMENT_STREAM = 11
"""First entry of the seed of every instance, (EXPERIMENT_STREAM, seed, n): no other part of the repository uses it."""

_KIND = "experiment-point"


@dataclass(frozen=True)
class Curve:
    """One curve of a figure: a solver with its options, and how it is drawn.

    Attributes:
        label: Name in legends and tables, unique in a panel.
        solver: Name of the solver in `baselines.solvers()`.
        options: Options of the solver.
        colour: Colour in figures.
        dashed: Drawn dashed, which marks what this project adds to the paper's curves.
    """

    label: str
    solver: str
    options: Mapping[str, Any] = field(default_factory=dict)
    colour: str = "black"
    dashed: bool = False

    @property
    def player(self) -> SolvesAhead:
        """Plays the curve's plans."""
        return SolvesAhead(self.solver, dict(self.options))

    def to_dict(self) -> dict[str, Any]:
        """What decides the curve's numbers, as JSON types."""
        return {"solver": self.solver, "options": dict(self.options)}


@dataclass(frozen=True)
class Point:
    """What is computed in one go and kept in one file.

    Attributes:
        scenario: The scenario, of any system.
        curves: The curves.
        realisations: Number of instances.
        seed: Seed of the instances.
        compiled: False runs the planners' kernels as plain Python, to compare run times with an uncompiled program's.
        stream: First entry of every instance's seed, (stream, seed, n); None: the plain seed + n.
    """

    scenario: Scenario
    curves: tuple[Curve, ...]
    realisations: int
    seed: int = 0
    compiled: bool = True
    stream: int | None = EXPERIMENT_STREAM

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of everything that decides the result, the source code included."""
        content = {
            "scenario": self.scenario.to_dict(),
            "curves": [curve.to_dict() for curve in self.curves],
            "realisations": self.realisations,
            "seed": self.seed,
            "compiled": self.compiled,
            "stream": self.stream,
            "code": code_version(system_of(self.scenario) or FIRST),
            "numpy": np.__version__,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def compute(self) -> Result:
        """Solve all instances with all curves; instance by instance, so that memory stays small."""
        trials = Trials(self.scenario, self.realisations, self.seed, self.stream)
        record = play([curve.player for curve in self.curves], trials, warm_up=self.compiled)
        return Result(self, record.objective, record.seconds)


@dataclass(frozen=True)
class Result:
    """The numbers of a point.

    Attributes:
        point: The point.
        objective: float64 (curves, realisations), what the plans attain.
        seconds: float64 (curves, realisations), the solver's run time, without drawing and checking the instance.
    """

    point: Point
    objective: NDArray[np.float64]
    seconds: NDArray[np.float64]

    def row(self, label: str) -> int:
        """Row of a curve."""
        return [curve.label for curve in self.point.curves].index(label)

    def first(self, realisations: int) -> Result:
        """The result of fewer realisations, the first of these."""
        fewer = replace(self.point, realisations=realisations)
        return Result(fewer, self.objective[:, :realisations], self.seconds[:, :realisations])

    def save(self, folder: Path) -> None:
        """Keep the result in its file, whole or not at all."""
        arrays = {"objective": self.objective, "seconds": self.seconds}
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
    return Result(point, arrays["objective"], arrays["seconds"]) if good else None


def code_version(system: str = FIRST) -> str:
    """SHA-256 (hex) of the source that decides a system's numbers: what samples and solves, and this file."""
    parts = stamp(system, "baselines").encode() + Path(__file__).read_bytes()
    return hashlib.sha256(parts).hexdigest()
