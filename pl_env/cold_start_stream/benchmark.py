"""Benchmark sets: instances with the best plans known and proven bounds, shipped with the package.

`benchmark(name)` loads one. How they are made and verified again: ``python -m experiments benchmark-sets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.benchmark_sets import ShippedSet
from pl_env.cold_start_stream.dynamics import Tables
from pl_env.cold_start_stream.instance import Instance
from pl_env.cold_start_stream.plan import Plan
from pl_env.cold_start_stream.scenario import Scenario
from pl_env.ranges import require
from pl_env.read_only import read_only
from pl_env.times import NS_PER_SECOND

Ints = NDArray[np.int64]

_DIMENSIONS = {
    **{"n_devices": 1, "load_ns": 3, "n_layers": 2, "weight_bytes": 2, "memory_bytes": 2, "compute_ns": 3},
    **{"transfer_ns": 4, "activation_bytes": 2, "model": 2, "arrival_ns": 2},
    **{"stages": 3, "n_stages": 1, "latency_ns": 1, "bound_ns": 1},
}


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkSet(ShippedSet):
    """Streams drawn from one scenario, each with the best plan known and a proven bound (I instances).

    There is room for K_max devices; what is beyond an instance's is 0.

    Attributes:
        name: Name of the set.
        scenario: The `Scenario` that the instances were drawn from; an environment made with it can play them.
        seed: Instance i was drawn with ``default_rng((BENCHMARK_STREAM, seed, i))``.
        n_devices: int64 (I,), devices of each.
        load_ns: int64 (I, K_max, M), as those of `Instance`; the next ones likewise.
        n_layers: int64 (I, M).
        weight_bytes: int64 (I, M).
        memory_bytes: int64 (I, K_max).
        compute_ns: int64 (I, N, K_max).
        transfer_ns: int64 (I, N, K_max, K_max).
        activation_bytes: int64 (I, N).
        model: int64 (I, N).
        arrival_ns: int64 (I, N).
        stages: int64 (I, S, 3), the best plans known, see `Plan`.
        n_stages: int64 (I,), how many of them.
        latency_ns: int64 (I,), the sums of their prompts' times from arrival to finish.
        bound_ns: int64 (I,), no plan has a smaller sum.
        made_by: What computed them: solvers, versions of the software.

    Raises:
        InvalidValue: Shapes disagree.
    """

    KIND: ClassVar[str] = "cold-start-stream-benchmark-set"

    name: str
    scenario: Scenario
    seed: int
    n_devices: Ints
    load_ns: Ints
    n_layers: Ints
    weight_bytes: Ints
    memory_bytes: Ints
    compute_ns: Ints
    transfer_ns: Ints
    activation_bytes: Ints
    model: Ints
    arrival_ns: Ints
    stages: Ints
    n_stages: Ints
    latency_ns: Ints
    bound_ns: Ints
    made_by: dict[str, Any]

    def __post_init__(self) -> None:
        for name, ndim in _DIMENSIONS.items():
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, ndim))
        i, k, m = self.load_ns.shape
        n = self.model.shape[1]
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("n_devices", "n_stages", "latency_ns", "bound_ns"), (i,)),
            **dict.fromkeys(("n_layers", "weight_bytes"), (i, m)),
            **dict.fromkeys(("activation_bytes", "model", "arrival_ns"), (i, n)),
            **{"memory_bytes": (i, k), "compute_ns": (i, n, k), "transfer_ns": (i, n, k, k)},
            "stages": (i, self.stages.shape[1], 3),
        }
        for name, shape in shapes.items():
            found = getattr(self, name).shape
            require(found == shape, f"{name}.shape", found, f"{shape}, as of load_ns and model")

    def __len__(self) -> int:
        return len(self.n_devices)

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """The instances."""
        return tuple(self._instance(i) for i in range(len(self)))

    def _instance(self, i: int) -> Instance:
        k = int(self.n_devices[i])
        t = Tables(
            load_ns=self.load_ns[i, :k],
            n_layers=self.n_layers[i],
            weight_bytes=self.weight_bytes[i],
            memory_bytes=self.memory_bytes[i, :k],
            compute_ns=self.compute_ns[i, :, :k],
            transfer_ns=self.transfer_ns[i, :, :k, :k],
            activation_bytes=self.activation_bytes[i],
            model=self.model[i],
            arrival_ns=self.arrival_ns[i],
        )
        return Instance(*t)

    @property
    def objective(self) -> NDArray[np.float64]:
        """Mean seconds from arrival to finish of the best plans known, float64 (I,)."""
        return np.asarray(self.latency_ns / NS_PER_SECOND / max(1, self.model.shape[1]))

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether the best plan known is proven optimal, bool (I,)."""
        return np.equal(self.latency_ns, self.bound_ns)

    def plan(self, i: int) -> Plan:
        """The best plan known of instance i.

        Raises:
            InvalidValue: The stages are none of a plan.
        """
        status = "optimal" if self.is_optimal[i] else "feasible"
        bound = int(self.bound_ns[i]) / NS_PER_SECOND / max(1, self.model.shape[1])
        stages = self.stages[i, : int(self.n_stages[i])]
        return Plan.of(self.instances[i], stages, solver=self.name, status=status, bound=bound)

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return self._about(), {name: getattr(self, name) for name in _DIMENSIONS}

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> BenchmarkSet:
        scenario = Scenario.from_dict(header.pop("scenario"))
        return cls(scenario=scenario, **header, **arrays)  # type: ignore[arg-type]


benchmark = BenchmarkSet.shipped
benchmark_names = BenchmarkSet.shipped_names
