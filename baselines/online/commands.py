"""Commands of PartialLoadingOnline alone: ``python -m baselines serve`` serves requests for real, by the clock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from baselines.online.policies import Chooses, Rule, plan_by
from baselines.online.replan import Replan
from baselines.online.rules import RANDOM_MODEL, RULES
from pl_env.errors import UnknownName
from pl_env.online.instance import Instance
from pl_env.online.plan import ROW_FINISH, ROW_SIZE, Plan
from pl_env.online.scenario import Scenario
from pl_env.online.trace import read_trace
from pl_env.packages import require_package
from pl_env.partial_loading.library import ModelLibrary
from pl_env.partial_loading.server import EdgeServer, load_measurement
from pl_env.ranges import require_integer, require_real
from pl_env.real_models.scanning import scan_as
from pl_env.times import NS_PER_SECOND

if TYPE_CHECKING:
    from baselines.online.serving import Serving

_INPUTS = 64
"""Different inputs; users take turns where there are more."""

_POLICIES = (*(name for name in RULES if name != RULES[RANDOM_MODEL]), "replan")


def serve(
    library: tyro.conf.Positional[Path],
    server: tyro.conf.Positional[Path],
    models: Annotated[tuple[Path, ...], tyro.conf.Positional],
    policy: str = "urgent-greedy",
    rate: float = 20.0,
    seconds: float = 30.0,
    trace: Path | None = None,
    arrivals: Literal["bursty", "poisson", "diurnal"] = "bursty",
    deadline: tuple[float, float] = (0.2, 0.6),
    cache_bytes: int | None = None,
    eviction: Literal["demand", "lru", "previous"] = "demand",
    base: Path | None = None,
    bandwidth_hz: float = 10e6,
    margin: float = 0.05,
    max_batch_size: int = 8,
    seed: int = 0,
    page_cache: Literal["cold", "warm"] | None = None,
    device: str | None = None,
    threads: int | None = None,
    builder: str | None = None,
    verify: bool = True,
) -> None:
    """Serve requests that arrive by the clock, with the models of a library, and compare with the simulation.

    Ctrl-C ends it with the report so far.

    Args:
        library: What `python -m pl_env scan` wrote.
        server: What `python -m pl_env measure` wrote.
        models: The same checkpoints (.safetensors), or their folder.
        policy: Who decides: urgent-greedy, replan, or another rule of `baselines.online`.
        rate: Users a second.
        seconds: In which they arrive.
        trace: A trace (.csv or .parquet) of who arrives when, in place of drawn arrivals; see docs/online.md.
        arrivals: How users arrive.
        deadline: Shortest and longest time in seconds from a user's arrival to the deadline.
        cache_bytes: Memory for parameter blocks; half of what all models hold together unless given, but at least the
            largest model.
        eviction: Which blocks leave; docs/online.md.
        base: The base that was given to `scan`.
        bandwidth_hz: Uplink bandwidth.
        margin: The policy aims at deadlines that are earlier by this fraction, as measured times vary.
        max_batch_size: Batch cap besides memory.
        seed: Seed of arrivals, channels and inputs.
        page_cache: Read files from the disk (cold) or from memory (warm); as the server was measured unless given.
        device: cpu or cuda; as the server was measured unless given.
        threads: Threads of torch; as the server was measured unless given.
        builder: Your own code that makes a network, as for `measure`.
        verify: Compare all outputs with those of models that are read whole, bit for bit.
    """
    require_package("torch")
    require_package("safetensors")
    import torch

    from baselines.online.serving import serve_for_real
    from pl_env.real_models.execution import outputs_of_whole_models
    from pl_env.real_models.loading import BlockLoader
    from pl_env.real_models.measuring import Conditions, prepare_torch
    from pl_env.real_models.running import ModelRunner, builder_named, generated_inputs

    require_real("margin", margin, 0, 0.9)
    require_integer("seed", seed, 0)
    chosen = _policy(policy)
    conditions = Conditions.from_measurement(
        load_measurement(server), page_cache=page_cache, device=device, threads=threads
    )
    held = ModelLibrary.load(library)
    half = max(int(held.block_bytes.sum()) // 2, int(held.model_bytes.max()))
    scenario = Scenario().override(
        library=held,
        server=EdgeServer.load(server),
        arrivals=arrivals,
        arrival_rate=rate,
        episode_seconds=seconds,
        relative_deadline=deadline,
        cache_bytes=half if cache_bytes is None else cache_bytes,
        eviction=eviction,
        bandwidth_hz=bandwidth_hz,
        upload_bits=conditions.upload_bits,
        max_batch_size=max_batch_size,
    )
    instance = scenario.sample(np.random.default_rng(seed)) if trace is None else read_trace(trace, scenario)
    torch_device = prepare_torch(conditions.device, conditions.threads)
    scan = scan_as(held, models, base)
    runner = ModelRunner(scan.models, torch_device, builder_named(builder))
    inputs = generated_inputs(_INPUTS, conditions.input_shape, seed, torch_device)
    simulated = plan_by(instance, chosen, policy)
    with BlockLoader(scan, conditions.device, cache_bytes=instance.cache_bytes) as loader:
        last = int(instance.arrival_ns[-1]) / NS_PER_SECOND
        print(f"{instance.n_users} users come within {last:.1f} s; Ctrl-C ends it with the report so far", flush=True)
        cold = conditions.page_cache == "cold"
        served = serve_for_real(instance, chosen, loader, runner, inputs, margin=margin, cold=cold)
    _print_report(served, simulated)
    if verify:
        whole = outputs_of_whole_models(served.batches, scan, runner, inputs)
        same = sum(map(torch.equal, served.outputs, whole))
        print(f"outputs of {same} of {len(whole)} batches equal those of models read whole, bit for bit")


def _policy(name: str) -> Chooses:
    if name not in _POLICIES:
        raise UnknownName("policy", name, _POLICIES)
    return Replan() if name == "replan" else Rule(name)


def _print_report(served: Serving, simulated: Plan) -> None:
    """The users who were served or dropped by the clock, and what came of the same ones in the simulation."""
    instance, decided = served.instance, served.decided
    if served.interrupted:
        print(f"interrupted: {decided.sum()} of {instance.n_users} users were served or dropped; the report is of them")
    in_time = np.zeros(instance.n_users, dtype=np.bool_)
    in_time[simulated.users] = True
    finish = np.zeros(instance.n_users, dtype=np.int64)
    finish[simulated.users] = np.repeat(simulated.history[:, ROW_FINISH], simulated.history[:, ROW_SIZE])
    table = Table("", "by the clock", "simulated", title=f"{decided.sum()} users")
    for column in table.columns[1:]:
        column.justify = "right"
    n_decided = int(decided.sum())
    pairs = ((served.in_time, served.finish_ns), (in_time & decided, finish))
    counts = [int(mask.sum()) for mask, _ in pairs]
    responses = [_responses(instance, mask, end) for mask, end in pairs]
    table.add_row("in time", *(str(count) for count in counts))
    table.add_row("late", str(served.late.sum()), "0")
    table.add_row("dropped", str(served.dropped.sum()), str(n_decided - counts[1]))
    table.add_row("goodput", *(f"{count / max(1, n_decided):.3f}" for count in counts))
    for row, q in enumerate((50, 99)):
        table.add_row(f"response, {q} % (ms)", *(f"{numbers[row]:.1f}" for numbers in responses))
    if not served.interrupted:
        loaded = [batch.loaded_bytes for batch in served.batches]
        amounts = [np.sum(loaded) / 1e6, simulated.loaded_bytes(instance).sum() / 1e6]
        table.add_row("batches", str(len(served.batches)), str(len(simulated.history)))
        table.add_row("MB loaded", *(f"{amount:.1f}" for amount in amounts))
    Console(width=120).print(table)
    print(f"blocks on the device: at most {served.most_bytes / 1e6:.1f} of {instance.cache_bytes / 1e6:.1f} MB; "
          f"{sum(len(batch.evicted) for batch in served.batches)} evicted")  # fmt: skip
    _print_parts(served)


def _responses(instance: Instance, served: NDArray[np.bool_], finish: NDArray[np.int64]) -> list[float]:
    """Median and 99th percentile in milliseconds; 0 where nobody was served."""
    times = (finish[served] - instance.arrival_ns[served]) / 1e6
    return [float(value) for value in np.percentile(times, [50, 99])] if len(times) else [0.0, 0.0]


def _print_parts(served: Serving) -> None:
    """What the parts of the batches took, and what the server's numbers say of the same batches."""
    if not served.batches:
        return
    instance, table = served.instance, served.instance.table
    resident = np.zeros(table.n_blocks, dtype=np.bool_)
    predicted = np.zeros(3, dtype=np.int64)
    for batch in served.batches:
        resident[list(batch.evicted)] = False
        missing = int(table.block_load_ns[table.has_block[batch.model] & ~resident].sum())
        resident |= table.has_block[batch.model]
        compute = table.compute_ns_per_sample[batch.model] * len(batch.users) + table.compute_ns_per_batch[batch.model]
        load = missing + table.load_overhead_ns if missing else 0
        predicted += [instance.upload_ns[list(batch.users)].sum(), load, compute]
    measured = np.array([batch.seconds for batch in served.batches]).sum(axis=0)
    names = ("uploads", "loads", "forward passes")
    parts = zip(names, measured, predicted / NS_PER_SECOND, strict=True)
    shown = ", ".join(f"{name} {seconds:.2f} s ({planned:.2f} s)" for name, seconds, planned in parts)
    print(f"by the clock, and in brackets by the server's numbers for the same batches: {shown}")


COMMANDS = (serve,)
"""What ``python -m baselines`` offers besides the commands of all systems."""
