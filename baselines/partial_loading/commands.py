"""Commands of PartialLoading alone: ``python -m baselines execute`` runs schedules for real."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from baselines.registry import solve
from pl_env.packages import require_package
from pl_env.partial_loading.library import ModelLibrary
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.schedule import Schedule
from pl_env.partial_loading.server import EdgeServer, load_measurement
from pl_env.ranges import require, require_integer, require_real
from pl_env.real_models.scanning import scan_as
from pl_env.times import NS_PER_SECOND

if TYPE_CHECKING:
    from pl_env.real_models.execution import Execution

WITHOUT_SHARING = "independent"
"""The solver that is planned and run on a server that knows nothing of shared blocks."""


def execute(
    library: tyro.conf.Positional[Path],
    server: tyro.conf.Positional[Path],
    models: Annotated[tuple[Path, ...], tyro.conf.Positional],
    solver: tuple[str, ...] = ("optimal-dp",),
    base: Path | None = None,
    n_users: int = 80,
    bandwidth_hz: float = 10e6,
    deadline: float | None = None,
    margin: float = 0.05,
    max_batch_size: int = 8,
    seed: int = 0,
    runs: int = 1,
    page_cache: Literal["cold", "warm"] | None = None,
    device: str | None = None,
    threads: int | None = None,
    builder: str | None = None,
    verify: bool = True,
    out: Path | None = None,
) -> None:
    """Run schedules for real, with the models of a library, and compare what was planned with what was measured.

    Args:
        library: What `python -m pl_env scan` wrote.
        server: What `python -m pl_env measure` wrote.
        models: The same checkpoints (.safetensors), or their folder.
        solver: Solvers whose schedules are run, one after the other, on the same requests. "independent" stands for a
            server that knows nothing of shared blocks: it is planned and run with every model loaded in full.
        base: The base that was given to `scan`.
        n_users: Users K; requests are uniform over the models.
        bandwidth_hz: Uplink bandwidth.
        deadline: Seconds; half of what loading and computing takes for everybody without sharing, unless given.
        margin: Plan for a deadline that is earlier by this fraction, as measured times vary.
        max_batch_size: Batch cap besides memory.
        seed: Seed of the requests, the channels and the inputs.
        runs: Draw and run this many sets of requests, with the seeds that follow; the last table has their means.
        page_cache: Read files from the disk (cold) or from memory (warm); as the server was measured unless given.
        device: cpu or cuda; as the server was measured unless given.
        threads: Threads of torch; as the server was measured unless given.
        builder: Your own code that makes a network, as for `measure`.
        verify: Compare all outputs with those of models that are read whole, bit for bit.
        out: Write the Gantt chart of the first run, planned and measured, to this PNG file.
    """
    require_package("torch")
    require_package("safetensors")
    import torch

    from pl_env.real_models.execution import execute as run
    from pl_env.real_models.execution import outputs_of_whole_models
    from pl_env.real_models.loading import BlockLoader
    from pl_env.real_models.measuring import Conditions, prepare_torch
    from pl_env.real_models.running import ModelRunner, builder_named, generated_inputs

    require_real("margin", margin, 0, 0.9)
    require_integer("seed", seed, 0)
    require_integer("runs", runs, 1)
    require(len(solver) >= 1, "solver", solver, "at least one")
    conditions = Conditions.from_measurement(
        load_measurement(server), page_cache=page_cache, device=device, threads=threads
    )
    scenario = Scenario().override(
        library=ModelLibrary.load(library),
        server=EdgeServer.load(server),
        n_users=n_users,
        bandwidth_hz=bandwidth_hz,
        upload_bits=conditions.upload_bits,
        max_batch_size=max_batch_size,
    )
    plans = [_plan(scenario, solver, deadline, margin, s) for s in range(seed, seed + runs)]
    torch_device = prepare_torch(conditions.device, conditions.threads)
    assert scenario.library is not None
    scan = scan_as(scenario.library, models, base)
    runner = ModelRunner(scan.models, torch_device, builder_named(builder))
    results: list[tuple[Execution, float]] = []
    with BlockLoader(scan, conditions.device) as loader:
        for n, (schedules, deadline_seconds) in enumerate(plans):
            inputs = generated_inputs(n_users, conditions.input_shape, seed + n, torch_device)
            for schedule in schedules:
                execution = run(
                    schedule,
                    loader,
                    runner,
                    inputs,
                    reuse=schedule.solver != WITHOUT_SHARING,
                    cold=conditions.page_cache == "cold",
                )
                results.append((execution, deadline_seconds))
                if verify:
                    whole = outputs_of_whole_models(schedule.batches, scan, runner, inputs)
                    same = sum(map(torch.equal, execution.outputs, whole))
                    print(f"seed {seed + n}, {schedule.solver}: outputs of {same} of {len(whole)} batches equal those "
                          "of models read whole, bit for bit")  # fmt: skip
    first_run = [execution for execution, _ in results[: len(solver)]]
    if out is not None:  # before anything that a terminal may refuse
        _draw(first_run, results[0][1], out)
    for execution in first_run:
        _print_batches(execution)
    _print_summary(results, runs)
    if out is not None:
        print(f"written: {out}")


def _plan(
    scenario: Scenario, solvers: tuple[str, ...], deadline: float | None, margin: float, seed: int
) -> tuple[list[Schedule], float]:
    """Each solver's schedule for the requests of a seed, and the deadline in seconds."""
    assert scenario.library is not None
    unshared = scenario.override(library=scenario.library.without_sharing())
    if deadline is None:
        instance = unshared.sample(np.random.default_rng(seed))
        counts = np.bincount(instance.requested_model, minlength=instance.n_models)
        batches = -(-counts // np.maximum(1, instance.max_batch))
        compute_ns = counts * instance.compute_ns_per_sample + batches * instance.compute_ns_per_batch
        everybody_ns = np.where(counts > 0, instance.load_ns[-1] + compute_ns, 0).sum()
        deadline = float(everybody_ns) / NS_PER_SECOND / 2
    schedules = []
    for name in solvers:
        world = (unshared if name == WITHOUT_SHARING else scenario).override(deadline=deadline * (1 - margin))
        schedules.append(solve(world.sample(np.random.default_rng(seed)), name))
    return schedules, deadline


def _print_batches(execution: Execution) -> None:
    table = Table("batch", "model", "users", "MB loaded", "upload (ms)", "load", "compute", "ends (ms)",
                  title=f"{execution.schedule.solver}: planned / measured")  # fmt: skip
    planned_ends = np.cumsum(execution.planned_seconds.sum(axis=1))
    for n, batch in enumerate(execution.schedule.batches):
        pairs = zip(execution.planned_seconds[n], execution.seconds[n], strict=True)
        phases = [f"{planned * 1e3:.2f} / {measured * 1e3:.2f}" for planned, measured in pairs]
        ends = f"{planned_ends[n] * 1e3:.1f} / {execution.finish_seconds[n] * 1e3:.1f}"
        loaded = f"{execution.loaded_bytes[n] / 1e6:.2f}"
        table.add_row(str(n), str(batch.model), str(len(batch.users)), loaded, *phases, ends)
    Console(width=120).print(table)


def _print_summary(results: list[tuple[Execution, float]], runs: int) -> None:
    """Means over the runs, a row for each solver."""
    deadline = float(np.mean([seconds for _, seconds in results]))
    title = f"deadline {deadline * 1e3:.1f} ms, {results[0][0].schedule.n_users} users; means of {runs} runs"
    table = Table("solver", "planned", "in time, measured", "batches", "MB loaded", "planned end (ms)",
                  "measured end (ms)", "error of the end", title=title)  # fmt: skip
    for solver in dict.fromkeys(execution.schedule.solver for execution, _ in results):
        rows = np.array(
            [
                [
                    execution.schedule.served,
                    execution.served_until(seconds),
                    len(execution.schedule),
                    execution.loaded_bytes.sum() / 1e6,
                    execution.schedule.finish_seconds * 1e3,
                    execution.seconds.sum() * 1e3,
                ]
                for execution, seconds in results
                if execution.schedule.solver == solver
            ]
        )
        errors = rows[:, 5] / np.maximum(rows[:, 4], 1e-9) - 1
        shown = " … ".join(f"{error:+.1%}" for error in sorted({errors.min(), errors.max()}))
        table.add_row(solver, *(f"{value:.1f}" for value in rows.mean(axis=0)), shown)
    Console(width=120).print(table)


def _draw(executions: list[Execution], deadline: float, out: Path) -> None:
    from pl_env.figures import save_figure
    from pl_env.real_models.plots import planned_and_run

    charts = []
    for execution in executions:
        name = execution.schedule.solver
        charts += [(f"{name}, planned", execution.planned_seconds), (f"{name}, measured", execution.seconds)]
    save_figure(planned_and_run(charts, deadline), out)


COMMANDS = (execute,)
"""What ``python -m baselines`` offers besides the commands of all systems."""
