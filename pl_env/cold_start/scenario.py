"""A family of cold starts: the model, the prompt, the devices and the radio, and named presets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pl_env.cold_start.devices import MOST_BPS, MOST_BYTES_PER_SECOND, MOST_FLOPS, Device, paper_devices
from pl_env.cold_start.dynamics import (
    COMMON_DRAWS,
    DEVICE_COLUMNS,
    DRAWS_PER_DEVICE,
    Draws,
    Tables,
    draw,
)
from pl_env.cold_start.instance import MOST_DEVICES, Instance
from pl_env.cold_start.models import MOST_TOKENS, LanguageModel, LayerTable, model_named
from pl_env.configured import Configured
from pl_env.errors import InvalidValue
from pl_env.ranges import require, require_integer, require_real

_RANGES = {
    "peak_flops": (1.0, MOST_FLOPS),
    "utilisation": (1e-6, 1.0),
    "saturation": (1e-9, 1000.0),
    "read_bytes_per_second": (1.0, MOST_BYTES_PER_SECOND),
    "tx_power_dbm": (-100.0, 100.0),
    "memory_spread": (1e-3, 1e3),
    "memory_factor": (1e-3, 1e6),
}
_NUMBERS = {
    "radius_m": (0.0, 1e6),
    "band_share": (1e-9, 1.0),
    "bandwidth_hz": (1.0, 1e12),
    "base_tx_power_dbm": (-100.0, 100.0),
    "noise_dbm_per_hz": (-300.0, 0.0),
    "reference_gain_db": (-200.0, 100.0),
    "reference_distance_m": (1e-3, 1e6),
    "path_loss_exponent": (0.0, 10.0),
}


@dataclass(frozen=True)
class Scenario(Configured):
    """Everything that is fixed from episode to episode. SI units.

    A range (low, high) is what is drawn from: utilisation, power and the memory's factor uniformly, all else
    log-uniformly.

    Attributes:
        model: The model, by name or as `LanguageModel`.
        weight_bits: Bits of a weight in place of the model's own.
        ends: With embedding and head as a first and a last layer.
        prompt_tokens: Tokens t of the prompt, a number or a range.
        n_devices: Devices K, a number or a range, all alike.
        devices: Given devices, in place of what follows; none: they are drawn.
        links_bps: Bit/s from each of the given devices (row) to each, in place of the radio.
        peak_flops: c*, FLOP/s.
        utilisation: a.
        saturation: b, a token.
        read_bytes_per_second: r.
        tx_power_dbm: P_u of the devices.
        radius_m: Devices stand uniformly in a disc around the base station, 1 m away at least.
        fading: Rayleigh fading, the same in both directions.
        memory_spread: What memories are proportional to.
        memory_factor: Memory of all devices, as a multiple of the model's weights; 5 % more until it fits.
        band_share: mu, the share of the band that a transfer has.
        bandwidth_hz: B.
        base_tx_power_dbm: P_d of the base station.
        noise_dbm_per_hz: N0.
        reference_gain_db: beta0.
        reference_distance_m: d0.
        path_loss_exponent: zeta.

    Raises:
        InvalidValue: A field is out of range.
        UnknownName: The model does not exist.
    """

    model: str | LanguageModel = "qwen3-14b"
    weight_bits: int | None = None
    ends: bool = False
    prompt_tokens: int | tuple[int, int] = (128, 8192)
    n_devices: int | tuple[int, int] = (4, 8)
    devices: tuple[Device, ...] = ()
    links_bps: tuple[tuple[float, ...], ...] = ()
    peak_flops: tuple[float, float] = (10e12, 200e12)
    utilisation: tuple[float, float] = (0.3, 0.9)
    saturation: tuple[float, float] = (4e-4, 2e-3)
    read_bytes_per_second: tuple[float, float] = (1e9, 6e9)
    tx_power_dbm: tuple[float, float] = (15.0, 20.0)
    radius_m: float = 10.0
    fading: bool = True
    memory_spread: tuple[float, float] = (1.0, 4.0)
    memory_factor: tuple[float, float] = (1.1, 2.0)
    band_share: float = 0.5
    bandwidth_hz: float = 160e6
    base_tx_power_dbm: float = 25.0
    noise_dbm_per_hz: float = -174.0
    reference_gain_db: float = -47.2
    reference_distance_m: float = 1.0
    path_loss_exponent: float = 3.0

    def __post_init__(self) -> None:
        for name in ("ends", "fading"):
            require(isinstance(getattr(self, name), bool), name, getattr(self, name), "True or False")
        self._check_integers("prompt_tokens", MOST_TOKENS)
        self._check_integers("n_devices", MOST_DEVICES)
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            require(isinstance(value, (tuple, list)) and len(value) == 2, name, value, "a range (low, high)")
            require_real(f"{name}[0]", value[0], least, most)
            require_real(f"{name}[1]", value[1], value[0], most)
            object.__setattr__(self, name, (float(value[0]), float(value[1])))
        for name, (least, most) in _NUMBERS.items():
            require_real(name, getattr(self, name), least, most)
        good = isinstance(self.devices, (tuple, list)) and all(isinstance(one, Device) for one in self.devices)
        require(good and len(self.devices) <= MOST_DEVICES, "devices", self.devices, f"at most {MOST_DEVICES} Devices")
        object.__setattr__(self, "devices", tuple(self.devices))
        self._check_links()
        assert self.layers is not None  # which refuses a model that does not exist, and its bits

    def _check_integers(self, name: str, most: int) -> None:
        value = getattr(self, name)
        if isinstance(value, (tuple, list)):
            require(len(value) == 2, name, value, "a number or a range (low, high)")
            require_integer(f"{name}[0]", value[0], 1, most)
            require_integer(f"{name}[1]", value[1], int(value[0]), most)
            object.__setattr__(self, name, (int(value[0]), int(value[1])))
        else:
            require_integer(name, value, 1, most)

    def _check_links(self) -> None:
        n, rows = len(self.devices), self.links_bps
        square = isinstance(rows, (tuple, list)) and (not rows or [len(row) for row in rows] == [n] * n)
        require(square, "links_bps", rows, f"none, or {n} rows of {n} numbers, from each of the given devices to each")
        for i, row in enumerate(rows):
            for j, rate in enumerate(row):
                if i != j:
                    require_real(f"links_bps[{i}][{j}]", rate, 1, MOST_BPS)
        object.__setattr__(self, "links_bps", tuple(tuple(float(rate) for rate in row) for row in rows))

    # ------------------------------------------------------------ what follows from the fields

    @property
    def language_model(self) -> LanguageModel:
        """The model."""
        return self.model if isinstance(self.model, LanguageModel) else model_named(self.model)

    @cached_property
    def layers(self) -> LayerTable:
        """The model's layers."""
        return self.language_model.table(weight_bits=self.weight_bits, ends=self.ends)

    @property
    def n_layers(self) -> int:
        """Layers L."""
        return len(self.layers.weight_bytes)

    @property
    def most_devices(self) -> int:
        """The largest number of devices K."""
        return len(self.devices) or _pair(self.n_devices)[1]

    @cached_property
    def draws(self) -> Draws:
        """What `dynamics.draw` takes."""
        drawn = (
            *(self.peak_flops, self.utilisation, self.saturation, self.read_bytes_per_second, self.tx_power_dbm),
            *((0.0, self.radius_m), self.memory_spread, self.memory_factor),
        )
        radio = (
            *(self.band_share, self.bandwidth_hz, self.base_tx_power_dbm, self.noise_dbm_per_hz),
            *(self.reference_gain_db, self.reference_distance_m, self.path_loss_exponent),
        )
        given = [device.numbers for device in self.devices]
        n_links = len(self.links_bps)
        return Draws(
            *self.layers,
            n_devices=np.array(_pair(self.n_devices), dtype=np.int64),
            ranges=np.array((_pair(self.prompt_tokens), *drawn), dtype=np.float64),
            radio=np.array(radio, dtype=np.float64),
            fading=bool(self.fading),
            given=np.array(given, dtype=np.float64).reshape(len(given), DEVICE_COLUMNS),
            links_bps=np.array(self.links_bps, dtype=np.float64).reshape(n_links, n_links),
        )

    @property
    def n_draws(self) -> int:
        """Uniform numbers that an episode is drawn from."""
        return COMMON_DRAWS + DRAWS_PER_DEVICE * self.most_devices

    def room(self) -> tuple[Tables, NDArray[np.float64]]:
        """Arrays for the largest instance, and for its devices."""
        most, n_layers = self.most_devices, self.n_layers
        shapes = (most, n_layers), (most, n_layers), (n_layers, most, most), n_layers, n_layers, most
        tables = Tables(*(np.zeros(shape, dtype=np.int64) for shape in shapes))
        return tables, np.zeros((most, DEVICE_COLUMNS))

    # ------------------------------------------------------------ drawing

    def sample(self, rng: np.random.Generator) -> Instance:
        """Draw one episode.

        The environment's ``reset`` draws the very same numbers from the same state of the generator.

        Args:
            rng: The source of all randomness.
        """
        tables, devices = self.room()
        n_devices, _ = draw(rng.random(self.n_draws), self.draws, devices, tables)
        return self.instance(tables, n_devices)

    def instance(self, tables: Tables, n_devices: int) -> Instance:
        """The instance of the first devices of some tables."""
        names = tuple(device.name for device in self.devices)
        return Instance(
            tables.load_ns[:n_devices],
            tables.compute_ns[:n_devices],
            tables.transfer_ns[:, :n_devices, :n_devices],
            tables.weight_bytes,
            tables.activation_bytes,
            tables.memory_bytes[:n_devices],
            names=names,
        )

    # ------------------------------------------------------------ JSON

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["model"] = asdict(self.model) if isinstance(self.model, LanguageModel) else self.model
        values["devices"] = [asdict(device) for device in self.devices]
        return dict(json.loads(json.dumps(values, default=lambda number: number.item())))  # NumPy's numbers

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scenario:
        """The scenario that `to_dict` described.

        Raises:
            InvalidValue: A field is out of range.
            UnknownName: There is no such field or model.
        """
        try:
            model = values["model"] if isinstance(values["model"], str) else LanguageModel(**values["model"])
            devices = tuple(Device(**device) for device in values["devices"])
        except (KeyError, TypeError):
            raise InvalidValue("model and devices must be as to_dict wrote them") from None
        return cls().override(**(dict(values) | {"model": model, "devices": devices}))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _tiny() -> dict[str, Any]:
    """Two devices, four layers of 30 MB; an optimum can be found on paper.

    Device 1 loads a layer in 3 ms and computes it in 1, device 2 in 1 and 4. A transfer takes 2 ms. Each has memory for
    two layers and their activation of 3 MB.
    """
    model = LanguageModel("tiny", 4, 1000, 4, 2, 250, 4000, 1)
    return {
        "model": model,
        "prompt_tokens": 1500,
        "devices": (Device("device 1", 54e12, 10e9, 63_000_000), Device("device 2", 13.5e12, 30e9, 63_000_000)),
        "links_bps": ((0.0, 12e9), (12e9, 0.0)),
    }


Scenario.PRESETS = {
    "default": lambda: {},
    "paper": lambda: {"devices": paper_devices()},
    "tight": lambda: {"memory_factor": (1.05, 1.3)},
    "roomy": lambda: {"memory_factor": (8.0, 9.0)},
    "tiny": _tiny,
}
