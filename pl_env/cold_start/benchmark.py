"""Benchmark sets: instances with certified optima, shipped with the package.

`benchmark(name)` loads one. How they are made and verified again: ``python -m experiments benchmark-sets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.benchmark_sets import ShippedSet
from pl_env.cold_start.instance import Instance
from pl_env.cold_start.plan import Plan
from pl_env.cold_start.scenario import Scenario
from pl_env.ranges import require
from pl_env.read_only import read_only
from pl_env.times import NS_PER_SECOND

_DIMENSIONS = {
    "n_devices": 1,
    "load_ns": 2,
    "compute_ns": 2,
    "transfer_ns": 3,
    "weight_bytes": 1,
    "activation_bytes": 1,
    "memory_bytes": 2,
    "stages": 3,
    "finish_ns": 1,
    "bound_ns": 1,
}


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkSet(ShippedSet):
    """Instances drawn from one scenario, each with the best plan known and a proven bound (N instances).

    All layers of an instance are alike, and there is room for K_max devices; what is beyond an instance's is 0.

    Attributes:
        name: Name of the set.
        scenario: The `Scenario` that the instances were drawn from; an environment made with it can play them.
        seed: Instance n was drawn with ``default_rng((BENCHMARK_STREAM, seed, n))``.
        n_devices: int64 (N,), devices of each.
        load_ns: int64 (N, K_max), of a layer.
        compute_ns: int64 (N, K_max), of a layer.
        transfer_ns: int64 (N, K_max, K_max), at every cut.
        weight_bytes: int64 (N,), of a layer.
        activation_bytes: int64 (N,), behind every layer.
        memory_bytes: int64 (N, K_max).
        stages: int64 (N, K_max, 2), the best plans known: device and layers; 0 layers beyond the last stage.
        finish_ns: int64 (N,), when they are done.
        bound_ns: int64 (N,), no plan is done earlier.
        made_by: What computed them: solver, versions of the software.

    Raises:
        InvalidValue: Shapes disagree.
    """

    KIND: ClassVar[str] = "cold-start-benchmark-set"

    name: str
    scenario: Scenario
    seed: int
    n_devices: NDArray[np.int64]
    load_ns: NDArray[np.int64]
    compute_ns: NDArray[np.int64]
    transfer_ns: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    activation_bytes: NDArray[np.int64]
    memory_bytes: NDArray[np.int64]
    stages: NDArray[np.int64]
    finish_ns: NDArray[np.int64]
    bound_ns: NDArray[np.int64]
    made_by: dict[str, Any]

    def __post_init__(self) -> None:
        for name, ndim in _DIMENSIONS.items():
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, ndim))
        n, most = self.load_ns.shape
        shapes = {1: (n,), 2: (n, most), 3: (n, most, most)}
        for name, ndim in _DIMENSIONS.items():
            shape, found = (n, most, 2) if name == "stages" else shapes[ndim], getattr(self, name).shape
            require(found == shape, f"{name}.shape", found, f"{shape}, as of load_ns")

    def __len__(self) -> int:
        return len(self.n_devices)

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The N instances."""
        return tuple(self._instance(n) for n in range(len(self)))

    def _instance(self, n: int) -> Instance:
        k, layers = int(self.n_devices[n]), self.scenario.n_layers
        transfer = np.repeat(self.transfer_ns[n, :k, :k][None], layers, axis=0)
        transfer[0] = 0
        return Instance(
            np.repeat(self.load_ns[n, :k, None], layers, axis=1),
            np.repeat(self.compute_ns[n, :k, None], layers, axis=1),
            transfer,
            np.repeat(self.weight_bytes[n], layers),
            np.repeat(self.activation_bytes[n], layers),
            self.memory_bytes[n, :k],
        )

    @property
    def objective(self) -> NDArray[np.float64]:
        """Seconds of the best plans known, float64 (N,)."""
        return np.asarray(self.finish_ns / NS_PER_SECOND)

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether the best plan known is proven optimal, bool (N,)."""
        return np.equal(self.finish_ns, self.bound_ns)

    def plan(self, n: int) -> Plan:
        """The best plan known of instance n."""
        status = "optimal" if self.is_optimal[n] else "feasible"
        bound = int(self.bound_ns[n]) / NS_PER_SECOND
        stages = [(int(device), int(count)) for device, count in self.stages[n] if count]
        return Plan.of(self.instances[n], stages, solver=self.name, status=status, bound=bound)

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return self._about(), {name: getattr(self, name) for name in _DIMENSIONS}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> BenchmarkSet:
        scenario = Scenario.from_dict(header.pop("scenario"))
        return cls(scenario=scenario, **header, **arrays)  # type: ignore[arg-type]


benchmark = BenchmarkSet.shipped
benchmark_names = BenchmarkSet.shipped_names
