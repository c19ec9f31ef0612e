"""Tasks over a Ray cluster. A node that dies costs time and no answer: others do what it was doing again.

A task has one core of one node. Its function is sent to a node once, its answer comes back to this process. Every node
needs the same Python packages and the same sources as this process; a worker that has others refuses, as its numbers
might differ.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np

from pl_env.errors import PlEnvError
from pl_env.packages import require_package
from pl_env.sources import FLOORS, hash_of_files

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_MOST_RETRIES = 10
"""So often a task is done again when its worker dies; then it is taken to be what kills them."""

_STORE_BYTES = 200 << 20
"""Memory that the nodes of a local cluster share objects in. Answers are small."""

_SECONDS_BETWEEN_LOOKS = 0.2


def map_tasks(
    function: Callable[[Task], Answer], tasks: Sequence[Task], address: str, *, ordered: bool
) -> Iterator[Answer]:
    """The answers; arguments and errors as in `baselines.parallel.map_tasks`.

    Args:
        function: From a task to its answer.
        tasks: The tasks.
        address: The cluster's; empty for one of this machine's cores.
        ordered: Whether answers come in the tasks' order.
    """
    ray = connect(address)
    remote = ray.remote(num_cpus=1, max_retries=_MOST_RETRIES, scheduling_strategy="SPREAD")(_do)
    sent, versions = ray.put(function), _versions()
    waiting = [remote.remote(sent, task, versions) for task in tasks]
    try:
        while waiting:
            if ordered:
                ready, waiting = waiting[:1], waiting[1:]
            else:
                ready, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=_SECONDS_BETWEEN_LOOKS)
            yield from ray.get(ready)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise PlEnvError(f"the cluster gave a task up: {type(error).__name__}; did its workers lack memory?") from error
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)


def connect(address: str) -> Any:
    """Ray's module, connected to a cluster; to the one of before where this process is connected.

    Raises:
        MissingPackage: Ray is not installed.
        PlEnvError: No cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray reports to its makers
    ray = require_package("ray", "ray")
    if not ray.is_initialized():
        local = {} if address else {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
        try:
            _require_answer(address)
            ray.init(address or "local", log_to_driver=False, logging_level="error", **local)
        except (OSError, RuntimeError, ValueError) as error:
            what = str(error).partition("\n")[0]
            raise PlEnvError(
                f"engine is 'ray:{address}'; it must be a Ray cluster's HOST:PORT or auto: {what}"
            ) from None
    return ray


def _require_answer(address: str) -> None:
    """Raise an OSError or ValueError unless somebody listens there; Ray would wait for minutes."""
    if address not in ("", "auto"):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()


def cores(address: str) -> int:
    """Cores of a cluster."""
    return int(connect(address).cluster_resources().get("CPU", 1))


def _do(function: Callable[[Task], Answer], task: Task, versions: dict[str, str]) -> Answer:
    """Do a task, in a worker."""
    for what, here in _versions().items():
        if here != versions[what]:
            where, wanted = platform.node(), versions[what][:12]
            raise PlEnvError(f"{what} on {where} is {here[:12]}; it must be {wanted}, as where the command was given")
    return function(task)


@cache
def _versions() -> dict[str, str]:
    """What numbers depend on."""
    house = Path(__file__).parents[1]
    return {
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "sources": hash_of_files(path for floor in FLOORS for path in (house / floor).rglob("*.py")),
    }
