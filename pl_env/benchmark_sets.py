"""What the benchmark sets of all systems share: their folder, how one is loaded by its name, what it says of itself."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import UnknownName, shown
from pl_env.files import Stored
from pl_env.read_only import ReadOnlyArrays

BENCHMARK_STREAM = 13
"""First entry of the seed of every benchmark instance: no other part of the repository draws with it."""


class ShippedSet(Stored, ReadOnlyArrays):
    """Base of every system's `BenchmarkSet`: a file in the folder ``benchmark_sets`` beside its module."""

    name: str
    scenario: Any
    seed: int
    made_by: dict[str, Any]

    def __len__(self) -> int:
        """Instances in it."""
        raise NotImplementedError

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether each of the best plans known is proven optimal."""
        raise NotImplementedError

    def __repr__(self) -> str:
        certified = f"{int(self.is_optimal.sum())} certified optima"
        return f"<BenchmarkSet {shown(self.name)}: {len(self)} instances, {certified}>"

    def _about(self) -> dict[str, Any]:
        """What the header of every set says."""
        return {"name": self.name, "scenario": self.scenario.to_dict(), "seed": self.seed, "made_by": self.made_by}

    @classmethod
    def folder(cls) -> Path:
        """Where the system's sets lie that ship with the package."""
        return Path(inspect.getfile(cls)).parent / "benchmark_sets"

    @classmethod
    def shipped(cls, name: str) -> Self:
        """Load a benchmark set that ships with the package.

        Args:
            name: One of `shipped_names()`.

        Raises:
            UnknownName: There is no such set.
            FileFormatError: Its file is damaged.
        """
        if name not in cls.shipped_names():
            raise UnknownName("benchmark set", name, cls.shipped_names())
        return cls.load(cls.folder() / f"{name}.npz")

    @classmethod
    def shipped_names(cls) -> tuple[str, ...]:
        """Names of the sets that ship with the package."""
        return tuple(sorted(path.stem for path in cls.folder().glob("*.npz")))
