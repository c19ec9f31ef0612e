"""What a Ray cluster gives, and a model of what limits it: ``python -m benchmarks.cluster``.

Starts a cluster of two nodes of one core each on this machine and does the same work with one of them, with both, and
in this process. Prints what docs/scale.md says: the parts of the model, what it says of these clusters, what was
measured, and what it says of larger ones. Needs Ray (``make ecosystem``), and two cores that nothing else uses.
"""

from __future__ import annotations

import os
import pickle
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import tyro

from baselines.parallel import map_tasks
from experiments.figures import Panel
from experiments.partial_loading.figures import OPTIMAL_DP, PAPER_DP
from experiments.points import Point, Result
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.packages import require_package
from pl_env.ranges import require_integer

STORE = 100 << 20


@dataclass(frozen=True)
class Arguments:
    """Measure a cluster of two nodes.

    Attributes:
        points: Points of a figure, which are the pieces of work.
        realisations: Instances of a point.
        empty: Tasks that do nothing, to measure what a task costs this process.
    """

    points: int = 40
    realisations: int = 1000
    empty: int = 2000

    def __post_init__(self) -> None:
        for name in ("points", "realisations", "empty"):
            require_integer(name, getattr(self, name), 1)


@dataclass(frozen=True)
class Model:
    """The time of a run on P cores: start + max(pieces · dispatch, work / P + longest).

    Attributes:
        start: Seconds until workers have begun.
        dispatch: Seconds of this process for a piece: to send it, to receive the answer, to keep that.
        pieces: Number of pieces.
        work: Seconds of all pieces on one core.
        longest: Seconds of the longest piece, for which the others may have to wait at the end.
    """

    start: float
    dispatch: float
    pieces: int
    work: float
    longest: float

    def seconds(self, cores: int) -> float:
        """Of a run."""
        return self.start + max(self.pieces * self.dispatch, self.work / cores + self.longest)

    def most_cores(self) -> float:
        """Beyond so many this process is what all wait for."""
        return self.work / (self.pieces * self.dispatch)


def nothing(number: int) -> int:
    """A task that takes no time."""
    return number


class Piece(NamedTuple):
    """A point's result, and the seconds that it took where it was computed."""

    result: Result
    seconds: float


def compute(point: Point) -> Piece:
    """Compute a point."""
    before = time.perf_counter()
    return Piece(point.compute(), time.perf_counter() - before)


def measured(points: list[Point], workers: int | str, cores: int) -> tuple[Model, float]:
    """The model of a run whose workers have begun, and its seconds by the clock."""
    with TemporaryDirectory() as folder:
        begun, own = time.perf_counter(), time.process_time()
        pieces = []
        for piece in map_tasks(compute, points, workers=workers, ordered=False):
            piece.result.save(Path(folder))
            pieces.append(piece.seconds)
        seconds, own = time.perf_counter() - begun, time.process_time() - own
    dispatch = 0.0 if workers == 1 else own / len(points)
    return Model(0.0, dispatch, len(points), sum(pieces), max(pieces) * (cores > 1)), seconds


def row(name: str, model: Model, seconds: float, cores: int) -> dict[str, str]:
    """What was measured, and what the model says of it."""
    return {
        "workers": name,
        "seconds": f"{seconds:.2f}",
        "the pieces' own": f"{model.work:.2f}",
        "cores busy": f"{100 * model.work / cores / seconds:.0f} %",
        "model": f"{model.seconds(cores):.2f}",
    }


def main(arguments: Arguments) -> None:
    """Measure, fit, print."""
    ray = require_package("ray", "ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    users = tuple(range(20, 20 + arguments.points))
    points = list(Panel("", "", "bls", "n_users", users, "", (PAPER_DP, OPTIMAL_DP)).points(arguments.realisations, 0))
    points[0].compute()  # kernels compile
    rows = [row("this process", *measured(points, 1, 1), 1)]
    nodes: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    workers = f"ray:{nodes.address}"
    begun = time.perf_counter()
    list(map_tasks(nothing, range(1), workers=workers))
    start = time.perf_counter() - begun
    for cores in (1, 2):
        if cores == 2:
            nodes.add_node(num_cpus=1, object_store_memory=STORE)
            nodes.wait_for_nodes()
        measured([replace(point, realisations=1) for point in points], workers, cores)  # kernels are loaded
        model, seconds = measured(points, workers, cores)
        rows.append(row(f"{cores} node" + "s" * (cores > 1), model, seconds, cores))
    own = time.process_time()
    list(map_tasks(nothing, range(arguments.empty), workers=workers, ordered=False))
    empty = (time.process_time() - own) / arguments.empty
    ray.shutdown()
    nodes.shutdown()
    sizes = {"point": len(pickle.dumps(points[0])), "answer": len(pickle.dumps(compute(points[0])))}
    print(f"{model.pieces} pieces, {sizes['point']:,} bytes there and {sizes['answer']:,} back; start {start:.1f} s")
    print(f"processor time of this process: {1e3 * empty:.2f} ms an empty task, {1e3 * model.dispatch:.2f} ms a piece")
    print(markdown(rows, right=list(rows[0])[1:]))
    print("\nTen hours of work on one core in 4,000 pieces, the longest four times the mean:\n")
    print(predicted(replace(model, start=start, work=36_000.0, pieces=4000, longest=36.0)))


def predicted(model: Model) -> str:
    """What the model says of larger clusters, as Markdown."""
    rows = []
    for cores in (1, 10, 100, 1000):
        seconds = model.seconds(cores)
        times = f"{model.work / seconds:.0f}"
        rows.append({"nodes of one core": f"{cores:,}", "seconds": f"{seconds:,.0f}", "times as fast": times})
    table = markdown(rows, right=list(rows[0]))
    return f"{table}\n\nThis process is what all wait for from {model.most_cores():,.0f} cores on."


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(tyro.cli(Arguments))))
