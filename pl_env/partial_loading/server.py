"""The edge server: how fast it loads, how fast it computes, and how much fits into its GPU memory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.errors import FileFormatError, UnknownName, abbreviated
from pl_env.files import read_json, write_atomically
from pl_env.layers import BYTES_PER_PARAMETER, layer_table
from pl_env.partial_loading.library import ModelLibrary
from pl_env.partial_loading.serving_table import MOST_BYTES, ServingTable
from pl_env.ranges import require, require_integer, require_real
from pl_env.times import nanoseconds, nanoseconds_up

FORMAT, VERSION = "edge-server", 1


@dataclass(frozen=True)
class ComputeProfile:
    """How one architecture runs on the server's GPU, equation (9) and constraint (10c).

    Attributes:
        architecture: Name of the architecture, as in `ModelLibrary.architectures`.
        seconds_per_sample: mu, compute seconds for each sample of a batch.
        seconds_per_batch: beta, compute seconds for each batch.
        activation_bytes: GPU memory that each sample of a batch takes besides the model, in bytes.

    Raises:
        InvalidValue: A number is negative or not finite.
    """

    architecture: str
    seconds_per_sample: float
    seconds_per_batch: float
    activation_bytes: int

    def __post_init__(self) -> None:
        require(isinstance(self.architecture, str), "architecture", self.architecture, "a string")
        require_real("seconds_per_sample", self.seconds_per_sample, 0, 3600)
        require_real("seconds_per_batch", self.seconds_per_batch, 0, 3600)
        require_integer("activation_bytes", self.activation_bytes, 0)
        require(self.activation_bytes <= MOST_BYTES, "activation_bytes", self.activation_bytes, f"at most {MOST_BYTES}")


def resnet_profile(architecture: str, seconds_per_sample: float, seconds_per_batch: float) -> ComputeProfile:
    """Profile of a ResNet whose activations are all its layers' outputs for a 128×128 image, in single precision."""
    outputs = sum(layer.outputs for layer in layer_table(architecture))
    return ComputeProfile(architecture, seconds_per_sample, seconds_per_batch, outputs * BYTES_PER_PARAMETER)


RESNET_PROFILES = (
    resnet_profile("resnet18", 60e-6, 1.6e-3),
    resnet_profile("resnet34", 90e-6, 2.8e-3),
    resnet_profile("resnet50", 100e-6, 4.0e-3),
)
"""Not published; chosen so that loading is 88.9 % of loading plus compute at batch 32 (figure 1 says 88.94 %)."""


@dataclass(frozen=True)
class EdgeServer:
    """One edge server with one GPU.

    Loading s bytes takes V(s) = load_overhead · [s > 0] + s / disk + s / gpu seconds: from disk to system memory (V1)
    and on to GPU memory (V2), one after the other (equation 8).

    Attributes:
        disk_bytes_per_second: Rate of V1.
        gpu_bytes_per_second: Rate of V2.
        load_overhead: Seconds that every load of at least one block takes besides.
        memory_bytes: GPU memory Q in bytes.
        profiles: One `ComputeProfile` per architecture.

    Raises:
        InvalidValue: A field is out of range.
    """

    disk_bytes_per_second: float = 2.3e9
    gpu_bytes_per_second: float = 6.5e9
    load_overhead: float = 0.0
    memory_bytes: int = 24_000_000_000
    profiles: tuple[ComputeProfile, ...] = RESNET_PROFILES

    def __post_init__(self) -> None:
        require_real("disk_bytes_per_second", self.disk_bytes_per_second, 1.0)
        require_real("gpu_bytes_per_second", self.gpu_bytes_per_second, 1.0)
        require_real("load_overhead", self.load_overhead, 0, 3600)
        require_integer("memory_bytes", self.memory_bytes, 0)
        require(self.memory_bytes <= MOST_BYTES, "memory_bytes", self.memory_bytes, f"at most {MOST_BYTES}")
        good = isinstance(self.profiles, tuple) and all(isinstance(p, ComputeProfile) for p in self.profiles)
        require(good, "profiles", self.profiles, "a tuple of ComputeProfile")

    def __repr__(self) -> str:
        disk, gpu = self.disk_bytes_per_second / 1e9, self.gpu_bytes_per_second / 1e9
        names = abbreviated(", ".join(profile.architecture for profile in self.profiles), 60)
        memory = f"{self.memory_bytes / 1e9:g} GB of memory"
        return f"<EdgeServer: disk {disk:g} GB/s, GPU {gpu:g} GB/s, {memory}, profiles of {names or 'nothing'}>"

    @property
    def load_seconds_per_byte(self) -> float:
        """Seconds to bring one byte from disk into GPU memory."""
        return 1 / self.disk_bytes_per_second + 1 / self.gpu_bytes_per_second

    def profile(self, architecture: str) -> ComputeProfile:
        """Profile of an architecture.

        Raises:
            UnknownName: The server has no profile of it.
        """
        for profile in self.profiles:
            if profile.architecture == architecture:
                return profile
        known = [profile.architecture for profile in self.profiles]
        raise UnknownName("compute profile for the architecture", architecture, known)

    def largest_batches(self, library: ModelLibrary, max_batch_size: int) -> NDArray[np.int64]:
        """Largest batch b_i of each model, int64 (I,): model bytes + b · activation bytes <= memory, at most the cap.

        It is 0 for a model that does not fit at all (constraint 10c).
        """
        largest = np.empty(library.n_models, dtype=np.int64)
        for model, architecture in enumerate(library.architectures):
            free_bytes = self.memory_bytes - int(library.model_bytes[model])
            activation_bytes = self.profile(architecture).activation_bytes
            fitting = max_batch_size if activation_bytes == 0 else free_bytes // activation_bytes
            largest[model] = 0 if free_bytes < 0 else min(fitting, max_batch_size)
        return largest

    def table(self, library: ModelLibrary, max_batch_size: int) -> ServingTable:
        """Integer nanoseconds of everything the server does with the library.

        Raises:
            UnknownName: A model's architecture has no profile.
        """
        profiles = [self.profile(architecture) for architecture in library.architectures]
        return ServingTable(
            has_block=library.has_block,
            block_bytes=library.block_bytes,
            block_load_ns=nanoseconds_up(library.block_bytes * self.load_seconds_per_byte),
            load_overhead_ns=nanoseconds(self.load_overhead),
            compute_ns_per_sample=np.array([nanoseconds(profile.seconds_per_sample) for profile in profiles]),
            compute_ns_per_batch=np.array([nanoseconds(profile.seconds_per_batch) for profile in profiles]),
            max_batch=self.largest_batches(library, max_batch_size),
        )

    # ------------------------------------------------------------ JSON

    def save(self, path: str | os.PathLike[str], measurement: Mapping[str, Any] | None = None) -> None:
        """Write the server to a JSON file, whole or not at all.

        Args:
            path: Where to.
            measurement: How its numbers were measured, as JSON types; `load` does not need it.
        """
        content = {"format": FORMAT, "version": VERSION, "server": asdict(self), "measurement": measurement}
        text = json.dumps(content, indent=2, default=lambda number: number.item())  # NumPy's numbers
        write_atomically(path, text.encode() + b"\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EdgeServer:
        """Read a server that `save` wrote, or that was written by hand.

        Raises:
            FileFormatError: The file is missing, damaged or of another kind, or a number is out of range.
        """
        try:
            fields = dict(_read(path)["server"])
            listed = fields.pop("profiles")
            require(isinstance(listed, list), "profiles", listed, "a list")
            profiles = tuple(ComputeProfile(**profile) for profile in listed)
            return cls(**fields, profiles=profiles)
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # InvalidValue is a ValueError
            raise FileFormatError(f"{path}: not a valid {FORMAT} ({error})") from None


def load_measurement(path: str | os.PathLike[str]) -> dict[str, Any]:
    """How the numbers of a server's file were measured, as given to `EdgeServer.save`; empty where they were not.

    Raises:
        FileFormatError: The file is missing, damaged or of another kind.
    """
    measurement = _read(path).get("measurement") or {}
    if not isinstance(measurement, dict):
        raise FileFormatError(f"{path}: not a valid {FORMAT} (its measurement is no JSON object)")
    return measurement


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    return read_json(path, FORMAT, VERSION, f"an {FORMAT} file")
