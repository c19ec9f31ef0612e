"""Run a schedule for real: load missing blocks, run forward passes, wait for simulated uploads, read the clock.

This module needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from pl_env.partial_loading.dynamics import COMPUTE, LOAD, MODEL, UPLOAD
from pl_env.partial_loading.schedule import Schedule
from pl_env.real_models.loading import BlockLoader, synchronize
from pl_env.real_models.running import ModelRunner
from pl_env.real_models.scanning import CheckpointScan
from pl_env.times import NS_PER_SECOND

_SPIN_SECONDS = 1e-3
"""The last millisecond is waited for awake: a sleeping process is woken late."""


@dataclass(frozen=True, eq=False)
class Execution:
    """A schedule that has run.

    Attributes:
        schedule: The schedule.
        seconds: float64 (N, 3), measured upload, load and compute of each batch; they leave no gaps.
        loaded_bytes: int64 (N,), bytes that each batch loaded.
        outputs: Each batch's outputs, in the order of its users.
    """

    schedule: Schedule
    seconds: NDArray[np.float64]
    loaded_bytes: NDArray[np.int64]
    outputs: tuple[Tensor, ...]

    @property
    def planned_seconds(self) -> NDArray[np.float64]:
        """What the schedule says, float64 (N, 3)."""
        return self.schedule.history[:, [UPLOAD, LOAD, COMPUTE]] / NS_PER_SECOND

    @property
    def finish_seconds(self) -> NDArray[np.float64]:
        """Measured end of each batch since the start, float64 (N,)."""
        return np.cumsum(self.seconds.sum(axis=1))

    def served_until(self, deadline_seconds: float) -> int:
        """Users whose batch ended by then, by the measured clock."""
        batches = zip(self.schedule.batches, self.finish_seconds, strict=True)
        return sum(len(batch.users) for batch, finish in batches if finish <= deadline_seconds)


def execute(
    schedule: Schedule,
    loader: BlockLoader,
    runner: ModelRunner,
    inputs: Tensor,
    *,
    reuse: bool = True,
    cold: bool = True,
) -> Execution:
    """Run a schedule on an empty device.

    Before the clock starts, every batch runs once: kernels are chosen at the first pass of a shape, and a disk may have
    a cache of its own, which is warm in `measure` too.

    Args:
        schedule: What to run.
        loader: Has the models.
        runner: Has their networks.
        inputs: Every user's input, (K, …), on the device: uploads are waiting times.
        reuse: Keep the blocks that the next model has too; else every change of models loads the whole model.
        cold: Have files read from the disk, not from the page cache.

    Raises:
        FileFormatError: A file ends early.
    """
    batches = schedule.batches
    batch_inputs = [samples(inputs, batch.users) for batch in batches]
    models = schedule.history[:, MODEL]
    outputs: list[Tensor] = []
    seconds = np.zeros((len(batches), 3))
    loaded = np.zeros(len(batches), dtype=np.int64)
    with torch.inference_mode():
        for batch, sample in zip(batches, batch_inputs, strict=True):
            if cold:
                loader.drop_pages(batch.model)
            if not reuse:
                loader.clear()
            loader.load(batch.model)
            runner.bind(batch.model, loader.tensors(batch.model))(sample)
        loader.clear()
        if cold:
            for model in set(models.tolist()):
                loader.drop_pages(model)
        resident, network = -1, None
        clock = time.perf_counter()
        for n, (batch, sample) in enumerate(zip(batches, batch_inputs, strict=True)):
            if cold and loaded[:n][models[:n] == batch.model].any():
                loader.drop_pages(batch.model)  # loaded before; hidden by the upload, unless that is short
            wait_until(clock + batch.upload_seconds)
            uploaded = time.perf_counter()
            if batch.model != resident or network is None:
                if not reuse:
                    loader.clear()
                loaded[n] = loader.load(batch.model).n_bytes
                network = runner.bind(batch.model, loader.tensors(batch.model))
            bound = time.perf_counter()
            outputs.append(network(sample))
            synchronize(loader.device)
            computed = time.perf_counter()
            seconds[n] = uploaded - clock, bound - uploaded, computed - bound
            clock, resident = computed, batch.model
    return Execution(schedule, seconds, loaded, tuple(outputs))


def wait_until(moment: float) -> None:
    """Sleep, then stay awake, until `time.perf_counter` shows a moment."""
    left = moment - time.perf_counter()
    if left > _SPIN_SECONDS:
        time.sleep(left - _SPIN_SECONDS)
    while time.perf_counter() < moment:
        pass


class RunsModel(Protocol):
    """A batch, as far as its outputs follow from it."""

    @property
    def model(self) -> int:
        """Its model."""

    @property
    def users(self) -> tuple[int, ...]:
        """Its users, whose inputs it takes."""


def samples(inputs: Tensor, users: Sequence[int]) -> Tensor:
    """Users' inputs; where there are fewer inputs than users they take turns."""
    return inputs[[user % len(inputs) for user in users]]


def outputs_of_whole_models(
    batches: Sequence[RunsModel], scan: CheckpointScan, runner: ModelRunner, inputs: Tensor
) -> list[Tensor]:
    """Each batch's outputs when its model is read whole by the safetensors library; to hold those of a loader against.

    Tensors are copied to memory of their own, which torch aligns as `BlockLoader` aligns its: a layer's output for a
    batch of one depends in its last bits on whether the weights begin at a multiple of 16 bytes, and in a file they may
    not.
    """
    outputs: dict[int, Tensor] = {}
    with torch.inference_mode():
        for number in sorted({batch.model for batch in batches}):
            model = scan.models[number]
            paths = {tensor.path for tensor in model.tensors.values()}
            files = {path: load_file(path, device=str(inputs.device)) for path in paths}
            tensors = {name: files[tensor.path][name].clone() for name, tensor in model.tensors.items()}
            for n, batch in enumerate(batches):
                if batch.model == number:
                    outputs[n] = runner.bind(number, tensors)(samples(inputs, batch.users))
    return [outputs[n] for n in range(len(batches))]
