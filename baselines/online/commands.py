"""Commands of PartialLoadingOnline alone: ``python -m baselines serve`` serves requests for real, by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_INPUTS = 64
"""Different inputs; users take turns where there are more."""

_POLICIES = (*(name for name in RULES if name != RULES[RANDOM_MODEL]), "replan")


@dataclass(frozen=True)
class Arguments:
    """Serve requests that arrive by the clock, with the models of a library, and compare with the simulation.

    Ctrl-C ends it with the report so far.

    Attributes:
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

    library: tyro.conf.Positional[Path]
    server: tyro.conf.Positional[Path]
    models: Annotated[tuple[Path, ...], tyro.conf.Positional]
    policy: str = "urgent-greedy"
    rate: float = 20.0
    seconds: float = 30.0
    trace: Path | None = None
    arrivals: Literal["bursty", "poisson", "diurnal"] = "bursty"
    deadline: tuple[float, float] = (0.2, 0.6)
    cache_bytes: int | None = None
    eviction: Literal["demand", "lru", "previous"] = "demand"
    base: Path | None = None
    bandwidth_hz: float = 10e6
    margin: float = 0.05
    max_batch_size: int = 8
    seed: int = 0
    page_cache: Literal["cold", "warm"] | None = None
    device: str | None = None
    threads: int | None = None
    builder: str | None = None
    verify: bool = True

    def chooser(self) -> Chooses:
        """Who decides."""
        if self.policy not in _POLICIES:
            raise UnknownName("policy", self.policy, _POLICIES)
        return Replan() if self.policy == "replan" else Rule(self.policy)


def serve(arguments: Annotated[Arguments, tyro.conf.arg(name="")]) -> None:
    """Serve requests that arrive by the clock, with the models of a library, and compare with the simulation.

    Ctrl-C ends it with the report so far.
    """
    run(arguments)


def run(arguments: Arguments) -> None:
    """Serve, report and verify.

    Raises:
        InvalidValue: An argument is out of range.
        UnknownName: There is no such policy.
    """
    require_package("torch")
    require_package("safetensors")
    import torch

    from baselines.online.serving import serve_for_real
    from pl_env.real_models.execution import outputs_of_whole_models
    from pl_env.real_models.loading import BlockLoader
    from pl_env.real_models.measuring import Conditions, prepare_torch
    from pl_env.real_models.running import ModelRunner, builder_named, generated_inputs

    require_real("margin", arguments.margin, 0, 0.9)
    require_integer("seed", arguments.seed, 0)
    chooser = arguments.chooser()
    conditions = Conditions.from_measurement(
        load_measurement(arguments.server),
        page_cache=arguments.page_cache,
        device=arguments.device,
        threads=arguments.threads,
    )
    held = ModelLibrary.load(arguments.library)
    scenario = _scenario(arguments, held, conditions.upload_bits)
    instance = _instance(scenario, arguments.trace, arguments.seed)
    torch_device = prepare_torch(conditions.device, conditions.threads)
    scan = scan_as(held, arguments.models, arguments.base)
    runner = ModelRunner(scan.models, torch_device, builder_named(arguments.builder))
    inputs = generated_inputs(_INPUTS, conditions.input_shape, arguments.seed, torch_device)
    simulated = {"simulated": plan_by(instance, chooser, "serve")}
    with BlockLoader(scan, conditions.device, cache_bytes=instance.cache_bytes) as loader:
        last = int(instance.arrival_ns[-1]) / NS_PER_SECOND
        print(f"{instance.n_users} users come within {last:.1f} s; Ctrl-C ends it with the report so far", flush=True)
        cold = conditions.page_cache == "cold"
        served = serve_for_real(instance, chooser, loader, runner, inputs, margin=arguments.margin, cold=cold)
    slowdown = _slowdown(served)
    if slowdown is not None:
        slower = scenario.override(server=_slower(scenario.server, *slowdown))
        again = _instance(slower, arguments.trace, arguments.seed)
        simulated["at measured speed"] = plan_by(again, chooser, "serve")
    _print_report(served, simulated)
    if arguments.verify:
        whole = outputs_of_whole_models(served.batches, scan, runner, inputs)
        same = sum(map(torch.equal, served.outputs, whole))
        print(f"outputs of {same} of {len(whole)} batches equal those of models read whole, bit for bit")


def _scenario(arguments: Arguments, library: ModelLibrary, upload_bits: float) -> Scenario:
    half = max(int(library.block_bytes.sum()) // 2, int(library.model_bytes.max()))
    return Scenario().override(
        library=library,
        server=EdgeServer.load(arguments.server),
        arrivals=arguments.arrivals,
        arrival_rate=arguments.rate,
        episode_seconds=arguments.seconds,
        relative_deadline=arguments.deadline,
        cache_bytes=half if arguments.cache_bytes is None else arguments.cache_bytes,
        eviction=arguments.eviction,
        bandwidth_hz=arguments.bandwidth_hz,
        upload_bits=upload_bits,
        max_batch_size=arguments.max_batch_size,
    )


def _instance(scenario: Scenario, trace: Path | None, seed: int) -> Instance:
    return scenario.sample(np.random.default_rng(seed)) if trace is None else read_trace(trace, scenario)


def _parts(served: Serving) -> Floats:
    """Seconds of uploads, loads and passes, float64 (2, 3): by the clock, and what the server's numbers say."""
    instance, table = served.instance, served.instance.table
    resident = np.zeros(table.n_blocks, dtype=np.bool_)
    parts = np.zeros((2, 3))
    for batch in served.batches:
        resident[list(batch.evicted)] = False
        missing = int(table.block_load_ns[table.has_block[batch.model] & ~resident].sum())
        resident |= table.has_block[batch.model]
        load = missing + table.load_overhead_ns if missing else 0
        compute = table.compute_ns_per_sample[batch.model] * len(batch.users) + table.compute_ns_per_batch[batch.model]
        parts[0] += batch.seconds
        parts[1] += np.array([instance.upload_ns[list(batch.users)].sum(), load, compute]) / NS_PER_SECOND
    return parts


def _slowdown(served: Serving) -> tuple[float, float] | None:
    """How many times as long loads and passes took as the server's numbers say; None where there were none of them."""
    clock, planned = _parts(served)
    return None if planned[1:].min() == 0 else (float(clock[1] / planned[1]), float(clock[2] / planned[2]))


def _slower(server: EdgeServer, load: float, compute: float) -> EdgeServer:
    """A server whose loads and passes take so many times as long."""
    return replace(
        server,
        disk_bytes_per_second=server.disk_bytes_per_second / load,
        gpu_bytes_per_second=server.gpu_bytes_per_second / load,
        load_overhead=server.load_overhead * load,
        profiles=tuple(
            replace(
                profile,
                seconds_per_sample=profile.seconds_per_sample * compute,
                seconds_per_batch=profile.seconds_per_batch * compute,
            )
            for profile in server.profiles
        ),
    )


def _print_report(served: Serving, simulated: Mapping[str, Plan]) -> None:
    """The users who were served or dropped by the clock, and what came of the same ones in simulations."""
    instance, decided = served.instance, served.decided
    if served.interrupted:
        print(f"interrupted: {decided.sum()} of {instance.n_users} users were served or dropped; the report is of them")
    rows = [_row(instance, served.in_time, served.late, served.dropped, served.finish_ns)]
    loads = [(len(served.batches), sum(batch.loaded_bytes for batch in served.batches))]
    for plan in simulated.values():
        in_time, finish = np.zeros(instance.n_users, dtype=np.bool_), np.zeros(instance.n_users, dtype=np.int64)
        in_time[plan.users] = True
        finish[plan.users] = np.repeat(plan.history[:, ROW_FINISH], plan.history[:, ROW_SIZE])
        rows.append(_row(instance, in_time & decided, np.zeros_like(decided), decided & ~in_time, finish))
        loads.append((len(plan.history), int(plan.loaded_bytes(instance).sum())))
    table = Table("", "by the clock", *simulated, title=f"{decided.sum()} users")
    for column in table.columns[1:]:
        column.justify = "right"
    names = ("in time", "late", "dropped", "goodput", "response, 50 % (ms)", "response, 99 % (ms)")
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        table.add_row(name, *cells)
    if not served.interrupted:
        table.add_row("batches", *(str(batches) for batches, _ in loads))
        table.add_row("MB loaded", *(f"{n_bytes / 1e6:.1f}" for _, n_bytes in loads))
    Console(width=120).print(table)
    evicted = sum(len(batch.evicted) for batch in served.batches)
    print(f"blocks on the device: at most {served.most_bytes / 1e6:.1f} of {instance.cache_bytes / 1e6:.1f} MB; "
          f"{evicted} evicted")  # fmt: skip
    parts = zip(("uploads", "loads", "forward passes"), *_parts(served), strict=True)
    shown = ", ".join(f"{name} {clock:.2f} s ({planned:.2f} s)" for name, clock, planned in parts)
    print(f"by the clock, and in brackets by the server's numbers for the same batches: {shown}")


def _row(instance: Instance, in_time: Bools, late: Bools, dropped: Bools, finish: NDArray[np.int64]) -> list[str]:
    """The cells of a column of the report; percentiles are 0 where nobody was served."""
    times = (finish[in_time] - instance.arrival_ns[in_time]) / 1e6
    percentiles = np.percentile(times, [50, 99]).tolist() if len(times) else [0.0, 0.0]
    counts = [int(mask.sum()) for mask in (in_time, late, dropped)]
    goodput = counts[0] / max(1, sum(counts))
    return [*map(str, counts), f"{goodput:.3f}", *(f"{value:.1f}" for value in percentiles)]


COMMANDS = (serve,)
"""What ``python -m baselines`` offers besides the commands of all systems."""
