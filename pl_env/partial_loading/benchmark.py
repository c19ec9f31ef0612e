"""Benchmark sets: instances with certified optima, shipped with the package.

`benchmark(name)` loads one. How the sets are made and verified again: ``python -m experiments benchmark-sets``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pl_env.benchmark_sets import ShippedSet
from pl_env.partial_loading.instance import Instance
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.serving_table import ServingTable
from pl_env.ranges import require, require_integer
from pl_env.read_only import read_only

Ints = NDArray[np.int64]

_MOST_INSTANCES = 10_000
_MOST_TABLE_BYTES = 128 << 20

_PER_MODEL = ("compute_ns_per_sample", "compute_ns_per_batch", "max_batch")
_PER_BLOCK = ("block_bytes", "block_load_ns")
_PER_USER = ("requested_model", "upload_ns")


@dataclass(frozen=True, eq=False, repr=False)
class BenchmarkSet(ShippedSet):
    """Instances drawn from one scenario, each with the best schedule known and a proven upper bound (N instances).

    Attributes:
        name: Name of the set.
        scenario: The `Scenario` that the instances were drawn from; an environment made with it can play them.
        seed: Instance n was drawn with ``default_rng((BENCHMARK_STREAM, seed, n))``.
        instances: The N instances. What a schedule does not depend on, the users' mean signal-to-noise ratios, is
            left out.
        upper_bound: int64 (N,), no schedule of instance n serves more users.
        run_start: int64 (N + 1,), where the runs of each instance begin in the two arrays that follow.
        run_models: int64 (R,), the best schedules known: the model of each run, in order.
        run_counts: int64 (R,), how many of the model's users the run serves, those with the shortest uploads.
        made_by: What computed the schedules and bounds: solver, its options, versions of the software.

    Raises:
        InvalidValue: Lengths disagree, or a result is impossible.
    """

    KIND: ClassVar[str] = "benchmark-set"

    name: str
    scenario: Scenario
    seed: int
    instances: tuple[Instance, ...]
    upper_bound: Ints
    run_start: Ints
    run_models: Ints
    run_counts: Ints
    made_by: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("upper_bound", "run_start", "run_models", "run_counts"):
            object.__setattr__(self, name, read_only(name, getattr(self, name), np.int64, 1))
        require(isinstance(self.name, str), "name", self.name, "a string")
        require(isinstance(self.scenario, Scenario), "scenario", self.scenario, "a Scenario")
        require_integer("seed", self.seed, 0)
        require(isinstance(self.made_by, dict), "made_by", self.made_by, "a dictionary")
        good = isinstance(self.instances, tuple) and all(isinstance(one, Instance) for one in self.instances)
        require(good, "instances", self.instances, "a tuple of Instance")
        n, runs = len(self.instances), len(self.run_models)
        tables = [instance.table for instance in self.instances]
        _require_sizes([table.n_models for table in tables], [table.n_blocks for table in tables])
        require(len(self.upper_bound) == n, "len(upper_bound)", len(self.upper_bound), f"{n}, one for each instance")
        good = len(self.run_start) == n + 1 and self.run_start[0] == 0 and self.run_start[-1] == runs
        good = good and bool((np.diff(self.run_start) >= 0).all())
        require(good, "run_start", self.run_start, f"{n + 1} ascending integers from 0 to {runs}")
        require(len(self.run_counts) == runs, "len(run_counts)", len(self.run_counts), f"{runs}, one for each run")
        self._check_results()

    def _check_results(self) -> None:
        """What can be told without a solver: models that exist, and served <= upper_bound <= K."""
        of_run = np.repeat(np.arange(len(self)), np.diff(self.run_start))
        n_models = np.array([instance.n_models for instance in self.instances], dtype=np.int64)
        n_users = np.array([instance.n_users for instance in self.instances], dtype=np.int64)
        good = bool(((self.run_models >= 0) & (self.run_models < n_models[of_run])).all())
        require(good, "run_models", self.run_models, "models of their instances")
        good = bool(((self.run_counts >= 1) & (self.run_counts <= n_users[of_run])).all())
        require(good, "run_counts", self.run_counts, "from 1 to the users of their instances")
        good = bool(((self.served <= self.upper_bound) & (self.upper_bound <= n_users)).all())
        require(good, "upper_bound", self.upper_bound, "from the users served to all users, for each instance")

    def __len__(self) -> int:
        return len(self.instances)

    @property
    def served(self) -> Ints:
        """Users served by the best schedule known, int64 (N,)."""
        total = np.concatenate([[0], np.cumsum(self.run_counts)])
        served: Ints = total[self.run_start[1:]] - total[self.run_start[:-1]]
        return served

    @property
    def objective(self) -> NDArray[np.float64]:
        """Served users / K of the best schedule known, float64 (N,)."""
        ratios: NDArray[np.float64] = self.served / np.array([instance.n_users for instance in self.instances])
        return ratios

    @property
    def is_optimal(self) -> NDArray[np.bool_]:
        """Whether the best schedule known is proven optimal, bool (N,)."""
        return np.equal(self.served, self.upper_bound)

    def runs(self, n: int) -> tuple[Ints, Ints]:
        """Models and counts of the best schedule known of instance n."""
        part = slice(self.run_start[n], self.run_start[n + 1])
        return self.run_models[part], self.run_counts[part]

    def plan(self, n: int) -> Schedule:
        """The best schedule known of instance n, with its bound."""
        models, counts = self.runs(n)
        solver, bound = f"benchmark set {self.name}", int(self.upper_bound[n])
        return Schedule.from_runs(self.instances[n], models, counts, solver=solver, upper_bound=bound)

    def _stored(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        tables = [instance.table for instance in self.instances]
        header = self._about() | {
            "load_overhead_ns": [table.load_overhead_ns for table in tables],
            "deadline_ns": [int(instance.deadline_ns) for instance in self.instances],
            "slot_ns": [int(instance.slot_ns) for instance in self.instances],
            "resident": [int(instance.resident) for instance in self.instances],
        }
        arrays: dict[str, NDArray[Any]] = {
            "n_users": np.array([instance.n_users for instance in self.instances]),
            "n_models": np.array([table.n_models for table in tables]),
            "n_blocks": np.array([table.n_blocks for table in tables]),
            "has_block": np.packbits(np.concatenate([table.has_block.reshape(-1) for table in tables])),
        }
        for name in (*_PER_MODEL, *_PER_BLOCK):
            arrays[name] = np.concatenate([getattr(table, name) for table in tables])
        for name in _PER_USER:
            arrays[name] = np.concatenate([getattr(instance, name) for instance in self.instances])
        results = {name: getattr(self, name) for name in ("upper_bound", "run_start", "run_models", "run_counts")}
        return header, arrays | results

    @classmethod
    def _restored(cls, header: dict[str, Any], arrays: dict[str, Ints]) -> BenchmarkSet:
        sizes = [arrays.pop(name).tolist() for name in ("n_users", "n_models", "n_blocks")]
        pieces = _pieces(arrays, *sizes)
        per_instance = zip(*(header.pop(name) for name in _OF_INSTANCES), strict=True)
        instances = tuple(_instance(piece, *numbers) for piece, numbers in zip(pieces, per_instance, strict=True))
        scenario = Scenario.from_dict(header.pop("scenario"))
        return cls(scenario=scenario, instances=instances, **header, **arrays)  # type: ignore[arg-type]


def _require_sizes(n_models: Sequence[int], n_blocks: Sequence[int]) -> None:
    """Require instances whose tables fit into memory: I · J bits each, and (I + 1) · I loading times, which follow."""
    require_integer("len(instances)", len(n_models), 0, _MOST_INSTANCES)
    sizes = (n for n in (*n_models, *n_blocks))
    require(all(n >= 0 for n in sizes), "n_models and n_blocks", "negative", "at least 0")
    cells = sum(models * (8 * (models + 1) + blocks) for models, blocks in zip(n_models, n_blocks, strict=True))
    require(cells <= _MOST_TABLE_BYTES, "bytes of all tables", cells, f"at most {_MOST_TABLE_BYTES}")


_OF_INSTANCES = ("load_overhead_ns", "deadline_ns", "slot_ns", "resident")


def _pieces(
    arrays: dict[str, NDArray[Any]], n_users: Sequence[int], n_models: Sequence[int], n_blocks: Sequence[int]
) -> list[dict[str, NDArray[Any]]]:
    """Take the instances' arrays out of ``arrays`` and cut them at the instances' borders."""
    _require_sizes(n_models, n_blocks)
    cells = [models * blocks for models, blocks in zip(n_models, n_blocks, strict=True)]
    bits = arrays["has_block"]
    require(len(bits) == -(-sum(cells) // 8), "len(has_block)", len(bits), f"{sum(cells)} bits")
    arrays["has_block"] = np.unpackbits(bits, count=sum(cells)).view(np.bool_)
    lengths = {"has_block": cells} | dict.fromkeys(_PER_MODEL, n_models)
    lengths |= dict.fromkeys(_PER_BLOCK, n_blocks) | dict.fromkeys(_PER_USER, n_users)
    require(all(users >= 0 for users in n_users), "n_users", "negative", "at least 0")
    for name, length in lengths.items():
        require(len(arrays[name]) == sum(length), f"len({name})", len(arrays[name]), f"{sum(length)}, as the sizes say")
    cut = {name: np.split(arrays.pop(name), np.cumsum(length)[:-1]) for name, length in lengths.items()}
    pieces = [{name: parts[n] for name, parts in cut.items()} for n in range(len(n_users))]
    for piece, models, blocks in zip(pieces, n_models, n_blocks, strict=True):
        piece["has_block"] = piece["has_block"].reshape(models, blocks)
    return pieces


def _instance(
    piece: dict[str, NDArray[Any]], load_overhead_ns: int, deadline_ns: int, slot_ns: int, resident: int
) -> Instance:
    users = {name: piece.pop(name) for name in _PER_USER}
    table = ServingTable(load_overhead_ns=load_overhead_ns, **piece)  # type: ignore[arg-type]
    return Instance(table=table, deadline_ns=deadline_ns, slot_ns=slot_ns, resident=resident, **users)  # type: ignore[arg-type]


benchmark = BenchmarkSet.shipped
benchmark_names = BenchmarkSet.shipped_names
