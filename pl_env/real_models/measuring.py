"""Measure a machine: how long it loads and computes real models, fitted to the numbers of an `EdgeServer`.

    V1(s) = c1 + s / disk        reading s bytes from files into system memory, cold or from the page cache
    V2(s) = c2 + s / gpu         copying them to the device
    t(b)  = mu · b + beta        forward pass of a batch of b samples, for each architecture
    A                            memory for each sample of a batch, besides the model

Each point is the median of several runs; all points are visited once before any is visited again, so that a disturbance
hits all of them alike. Lines are fitted by least squares, with both coefficients at least 0.

This module needs torch.
"""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pl_env.errors import InvalidValue
from pl_env.partial_loading.server import ComputeProfile, EdgeServer
from pl_env.ranges import require, require_integer, require_one_of
from pl_env.real_models.loading import BlockLoader, synchronize
from pl_env.real_models.resnet import build
from pl_env.real_models.running import Builder, ModelRunner, generated_inputs
from pl_env.real_models.scanning import CheckpointScan

PageCache = Literal["cold", "warm"]

_PARTS = 8
"""Loads are measured of a tensor alone, then of about one to eight eighths of a model."""
_HIGHEST_RATE = 1e15  # bytes per second; stands for a load that takes no longer with more bytes


@dataclass(frozen=True, eq=False)
class Line:
    """A line fitted to measured times.

    Attributes:
        x: float64 (n,), bytes of a load or samples of a batch.
        seconds: float64 (n,), measured medians.
        constant: Seconds at x = 0, at least 0.
        slope: Seconds for each unit of x, at least 0.
    """

    x: NDArray[np.float64]
    seconds: NDArray[np.float64]
    constant: float
    slope: float

    def at(self, x: ArrayLike) -> NDArray[np.float64]:
        """The line's seconds at x."""
        return self.constant + self.slope * np.asarray(x, dtype=np.float64)

    @property
    def r_squared(self) -> float:
        """Share of the variance of ``seconds`` that the line explains; 1 where they do not vary."""
        spread = float(((self.seconds - self.seconds.mean()) ** 2).sum())
        return 1 - float(((self.seconds - self.at(self.x)) ** 2).sum()) / spread if spread > 0 else 1.0

    @property
    def largest_error(self) -> float:
        """Largest distance of a measured point from the line, as a fraction of the largest time measured."""
        return float(np.abs(self.at(self.x) - self.seconds).max() / max(float(self.seconds.max()), 1e-300))

    def summary(self) -> dict[str, float]:
        """Coefficients and errors, as JSON types."""
        return {
            "constant_seconds": self.constant,
            "seconds_per_unit": self.slope,
            "r_squared": self.r_squared,
            "largest_error": self.largest_error,
        }


def fit_line(x: ArrayLike, seconds: ArrayLike) -> Line:
    """Fit a line with nonnegative coefficients by least squares.

    Args:
        x: n numbers, at least 0.
        seconds: n numbers, at least 0.

    Raises:
        InvalidValue: There are no points, or a number is below 0.
    """
    at, times = np.asarray(x, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    require(len(at) == len(times) >= 1, "points of a fit", len(at), "at least one, with a time each")
    require(bool((at >= 0).all() and (times >= 0).all()), "points of a fit", "negative", "at least 0")
    candidates = []  # the best nonnegative line is one of these; the first of equally good ones counts
    if at.any():
        candidates.append((0.0, float(at @ times / (at @ at))))
    candidates.append((float(times.mean()), 0.0))
    if np.ptp(at) > 0:
        columns = np.stack([np.ones(len(at)), at / at.max()], axis=1)
        constant, slope = np.linalg.lstsq(columns, times, rcond=None)[0]
        candidates.append((float(constant), float(slope / at.max())))
    possible = [line for line in candidates if min(line) >= 0]
    constant, slope = min(possible, key=lambda line: float(((line[0] + line[1] * at - times) ** 2).sum()))
    return Line(at, times, constant, slope)


@dataclass(frozen=True)
class ComputeMeasurement:
    """What was measured of one architecture.

    Attributes:
        line: Seconds of a forward pass against samples of the batch.
        peak_bytes: Memory at the peak of a forward pass besides the model and the inputs' origin, for each batch size.
        activation_bytes: Least A such that no peak is above A times the batch size.
    """

    line: Line
    peak_bytes: tuple[int, ...]
    activation_bytes: int


@dataclass(frozen=True)
class Conditions:
    """Under which a machine was measured; `execute` takes them from the server's file.

    Attributes:
        device: Torch's name of the device.
        page_cache: Whether V1 is that of files that the page cache does not hold ("cold") or does ("warm").
        threads: Threads of torch.
        input_shape: Shape of one sample.

    Raises:
        InvalidValue: A field is out of range.
    """

    device: str = "cpu"
    page_cache: PageCache = "cold"
    threads: int = 1
    input_shape: tuple[int, ...] = (3, 32, 32)

    def __post_init__(self) -> None:
        require(isinstance(self.device, str), "device", self.device, "a string")
        require_one_of("page_cache", self.page_cache, ("cold", "warm"))
        require_integer("threads", self.threads, 1)
        require(isinstance(self.input_shape, (tuple, list)), "input_shape", self.input_shape, "integers")
        for side in self.input_shape:
            require_integer("a side of input_shape", side, 1)
        object.__setattr__(self, "input_shape", tuple(self.input_shape))

    @property
    def upload_bits(self) -> float:
        """Bits that a user uploads: a raw sample of one byte a value."""
        return float(8 * math.prod(self.input_shape))

    @classmethod
    def from_measurement(cls, measurement: Mapping[str, Any], **changes: Any) -> Conditions:
        """The conditions in a server's file, with those that are not None changed.

        Raises:
            InvalidValue: A field is out of range.
        """
        found = {field.name: measurement[field.name] for field in fields(cls) if field.name in measurement}
        return cls(**(found | {name: value for name, value in changes.items() if value is not None}))


@dataclass(frozen=True)
class Measurement:
    """A measured machine.

    Attributes:
        conditions: Under which it was measured.
        cold: V1 from files that the page cache does not hold; None where it cannot be emptied.
        warm: V1 from the page cache.
        copy: V2.
        bind_seconds: To put a model's tensors into its network, on average over the architectures; a part of every
            load.
        compute: By architecture.
        memory_bytes: Memory Q of the device.
    """

    conditions: Conditions
    cold: Line | None
    warm: Line
    copy: Line
    bind_seconds: float
    compute: dict[str, ComputeMeasurement]
    memory_bytes: int

    @property
    def read(self) -> Line:
        """V1 under the conditions."""
        return self.cold if self.conditions.page_cache == "cold" and self.cold is not None else self.warm

    def server(self) -> EdgeServer:
        """The fitted server."""
        return EdgeServer(
            disk_bytes_per_second=1 / max(self.read.slope, 1 / _HIGHEST_RATE),
            gpu_bytes_per_second=1 / max(self.copy.slope, 1 / _HIGHEST_RATE),
            load_overhead=self.read.constant + self.copy.constant + self.bind_seconds,
            memory_bytes=self.memory_bytes,
            profiles=tuple(
                ComputeProfile(name, found.line.slope, found.line.constant, found.activation_bytes)
                for name, found in self.compute.items()
            ),
        )

    def description(self) -> dict[str, Any]:
        """Conditions and errors of the fits, as JSON types, for the server's file."""
        cold = {} if self.cold is None else {"read_cold": self.cold.summary()}
        return {
            **asdict(self.conditions),
            "torch": torch.__version__,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            **cold,
            "read_warm": self.warm.summary(),
            "copy": self.copy.summary(),
            "bind_seconds": self.bind_seconds,
            "compute": {name: found.line.summary() for name, found in self.compute.items()},
        }


def measure(
    scan: CheckpointScan,
    conditions: Conditions,
    max_batch_size: int = 8,
    repeats: int = 15,
    builder: Builder = build,
    seed: int = 0,
) -> Measurement:
    """Measure this machine with real models.

    Args:
        scan: The models; one of each architecture is measured.
        conditions: Device, page cache, threads and shape of a sample. Where the page cache cannot be emptied,
            ``cold`` is None in the result, and its conditions say "warm".
        max_batch_size: Batches of 1 to this many samples are measured.
        repeats: Runs of each point, of which the median counts.
        builder: Makes the network of an architecture.
        seed: Seed of the inputs.

    Raises:
        InvalidValue: A number is out of range, there is no such device, or a network does not fit a checkpoint.
        FileFormatError: A file has changed since the scan.
    """
    require_integer("max_batch_size", max_batch_size, 1, 1024)
    require_integer("repeats", repeats, 1)
    device = prepare_torch(conditions.device, conditions.threads)
    chosen = {model.architecture: i for i, model in reversed(list(enumerate(scan.models)))}  # the first of each
    compute: dict[str, ComputeMeasurement] = {}
    bind_seconds = []
    runner = ModelRunner(scan.models, device, builder)
    inputs = generated_inputs(max_batch_size, conditions.input_shape, seed, device)
    with BlockLoader(scan, conditions.device) as loader:
        for architecture, model in sorted(chosen.items()):
            loader.load(model)
            bind_seconds.append(float(np.median([_bind_seconds(loader, runner, model) for _ in range(repeats)])))
            network = runner.bind(model, loader.tensors(model))
            _check_input(network, inputs, architecture)
            compute[architecture] = _measure_compute(network, inputs, repeats)
    cold, warm, copy = _measure_loading(scan, conditions.device, list(chosen.values()), repeats)
    if cold is None:
        conditions = replace(conditions, page_cache="warm")
    bind = float(np.mean(bind_seconds))
    return Measurement(conditions, cold, warm, copy, bind, compute, _memory_bytes(device))


def _check_input(network: nn.Module, inputs: Tensor, architecture: str) -> None:
    try:
        with torch.inference_mode():
            network(inputs[:1])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:  # what layers raise, of whatever make
        reason = (str(error).splitlines() or [""])[0]
        shape = tuple(inputs.shape[1:])
        raise InvalidValue(f"input_shape is {shape}; it must be one that {architecture!r} takes ({reason})") from None


def _bind_seconds(loader: BlockLoader, runner: ModelRunner, model: int) -> float:
    begin = time.perf_counter()
    runner.bind(model, loader.tensors(model))
    return time.perf_counter() - begin


def prepare_torch(device: str, threads: int) -> torch.device:
    """Set the number of threads, and find the device.

    Raises:
        InvalidValue: There is no such device.
    """
    require_integer("threads", threads, 1)
    torch.set_num_threads(threads)
    found = torch.device(device) if device.split(":")[0] in ("cpu", "cuda") else None
    there = found is not None and (found.type == "cpu" or torch.cuda.is_available())
    require(there, "device", device, "cpu, or cuda where torch finds a GPU")
    assert found is not None
    return found


def default_device() -> str:
    """The GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# ---------------------------------------------------------------- loading


def _measure_loading(
    scan: CheckpointScan, device: str, models: list[int], repeats: int
) -> tuple[Line | None, Line, Line]:
    """V1 cold (or None) and warm, and V2: loads of the first 1, 2, … parts of models."""
    read: dict[PageCache, list[tuple[int, float]]] = {"cold": [], "warm": []}
    copy: list[tuple[int, float]] = []
    with ExitStack() as stack:
        loaders = []
        for model in (scan.models[i] for i in models):
            alone = replace(scan, models=(model,))
            loaders.append(stack.enter_context(BlockLoader(alone, device, _parts(model.piece_bytes))))
        caches: tuple[PageCache, ...] = ("cold", "warm") if all(it.can_drop_pages(0) for it in loaders) else ("warm",)
        for turn in range(repeats + 1):  # the first turn warms up
            for loader, page_cache in product(loaders, caches):
                for part in loader.blocks(0):
                    loader.clear()
                    if page_cache == "cold":
                        loader.drop_pages(0)
                    load = loader.load(0, range(part + 1))
                    if turn > 0:
                        read[page_cache].append((load.n_bytes, load.read_seconds))
                        copy.append((load.n_bytes, load.copy_seconds))
    cold = _line_of_medians(read["cold"]) if read["cold"] else None
    return cold, _line_of_medians(read["warm"]), _line_of_medians(copy)


def _parts(piece_bytes: dict[str, int]) -> dict[str, int]:
    """Cut a model into its first tensor alone, part 0, and about eighths."""
    total, done = sum(piece_bytes.values()), 0
    part_of: dict[str, int] = {}
    starts: dict[int, int] = {}  # number of each eighth, in order, without gaps where one tensor spans several
    for piece, size in piece_bytes.items():
        part_of[piece] = 1 + starts.setdefault(done * _PARTS // total, len(starts)) if part_of else 0
        done += size
    return part_of


def _line_of_medians(points: list[tuple[int, float]]) -> Line:
    """Fit the medians of measured (bytes, seconds), taken over all loads of the same bytes."""
    times: dict[int, list[float]] = {}
    for n_bytes, seconds in points:
        times.setdefault(n_bytes, []).append(seconds)
    sizes = sorted(times)
    return fit_line(sizes, [float(np.median(times[size])) for size in sizes])


# ---------------------------------------------------------------- computing


def _measure_compute(network: nn.Module, inputs: Tensor, repeats: int) -> ComputeMeasurement:
    """Forward passes of 1, 2, … samples."""
    sizes = range(1, len(inputs) + 1)
    with torch.inference_mode():
        for size in sizes:  # kernels are chosen at the first pass of a shape
            network(inputs[:size])
        times = [[_seconds(network, inputs[:size]) for size in sizes] for _ in range(repeats)]
        peaks = tuple(_peak_bytes(network, inputs[:size]) for size in sizes)
    line = fit_line(list(sizes), np.median(np.array(times), axis=0))
    return ComputeMeasurement(line, peaks, max(-(-peak // size) for size, peak in zip(sizes, peaks, strict=True)))


def _seconds(network: nn.Module, inputs: Tensor) -> float:
    synchronize(inputs.device)
    begin = time.perf_counter()
    network(inputs)
    synchronize(inputs.device)
    return time.perf_counter() - begin


def _peak_bytes(network: nn.Module, inputs: Tensor) -> int:
    """Most memory that torch holds during a forward pass, besides what it held before."""
    if inputs.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(inputs.device)
        before = torch.cuda.memory_allocated(inputs.device)
        network(inputs)
        return torch.cuda.max_memory_allocated(inputs.device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or the profiler prints that it starts and stops
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        network(inputs)
    held = most = 0
    assert profile.profiler is not None
    events = profile.profiler.kineto_results.events()
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
