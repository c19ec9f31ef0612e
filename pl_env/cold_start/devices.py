"""Devices: what a scenario of given ones is made of, the paper's four, and the reader of ``devices.json``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from pl_env.errors import FileFormatError, InvalidValue, shown
from pl_env.files import read_json
from pl_env.ranges import require, require_integer, require_real

MOST_MEMORY = 10**15
MOST_BYTES_PER_SECOND = 1e15
MOST_FLOPS = 1e18
MOST_BPS = 1e15
AT_ONCE = 1000.0
"""A saturation at which a single token makes full use of a device."""


@dataclass(frozen=True)
class Device:
    """One device; it computes c* · a · (1 − exp(−b t)) FLOP/s on a prompt of t tokens, equations (8) and (9).

    Attributes:
        name: Its name.
        peak_flops: c*, FLOP/s.
        read_bytes_per_second: r, of the disk.
        memory_bytes: m.
        utilisation: a, the share of the peak that long prompts get.
        saturation: b, a token; how fast longer prompts come to that.
        tx_power_dbm: P_u, of the uplink; where links follow from the radio.
        distance_m: d, to the base station; likewise.

    Raises:
        InvalidValue: A number is out of range.
    """

    name: str
    peak_flops: float
    read_bytes_per_second: float
    memory_bytes: int
    utilisation: float = 1.0
    saturation: float = AT_ONCE
    tx_power_dbm: float = 15.0
    distance_m: float = 1.0

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name != "", "name", self.name, "a string that is not empty")
        require_real("peak_flops", self.peak_flops, 1, MOST_FLOPS)
        require_real("read_bytes_per_second", self.read_bytes_per_second, 1, MOST_BYTES_PER_SECOND)
        require_integer("memory_bytes", self.memory_bytes, 0, MOST_MEMORY)
        require_real("utilisation", self.utilisation, 0, 1, above=True)
        require_real("saturation", self.saturation, 0, AT_ONCE, above=True)
        require_real("tx_power_dbm", self.tx_power_dbm, -100, 100)
        require_real("distance_m", self.distance_m, 1e-3, 1e6)

    @property
    def numbers(self) -> tuple[float, ...]:
        """What `dynamics` takes, in the order of its columns."""
        return (
            *(self.peak_flops, self.utilisation, self.saturation, self.read_bytes_per_second, float(self.memory_bytes)),
            *(self.tx_power_dbm, self.distance_m, 1.0),
        )


MIB, MB = 2**20, 10**6


def paper_devices(megabyte: int = MIB) -> tuple[Device, ...]:
    """The paper's four devices.

    Args:
        megabyte: Bytes of a "MB" of its read rates: `MIB`, as its published latencies need it, or `MB`.
    """
    rows = (
        (165e12, 0.4, 5.1e-4, 5000, 20, 20.0, 1.0),
        (70e12, 0.7, 8.7e-4, 4000, 10, 18.0, 3.0),
        (30e12, 0.8, 1.1e-3, 3000, 8, 15.0, 5.0),
        (20e12, 0.8, 1.8e-3, 2000, 8, 15.0, 7.0),
    )
    return tuple(
        Device(f"device {n}", peak, float(read * megabyte), memory * 10**9, used, saturation, power, distance)
        for n, (peak, used, saturation, read, memory, power, distance) in enumerate(rows, start=1)
    )


# ---------------------------------------------------------------- devices.json

FORMAT, VERSION = "pl-env-devices", 1

_UNITS = {
    "peak_tflops": ("peak_flops", 1e12),
    "read_mb_per_s": ("read_bytes_per_second", 1e6),
    "memory_gb": ("memory_bytes", 1e9),
    "utilisation": ("utilisation", 1.0),
    "saturation_per_token": ("saturation", 1.0),
    "tx_power_dbm": ("tx_power_dbm", 1.0),
    "distance_m": ("distance_m", 1.0),
}
"""From each number of a device in a file to the field and how much of its unit one is."""

_NEEDED = ("peak_tflops", "read_mb_per_s", "memory_gb")
_RADIO = {
    *("bandwidth_hz", "band_share", "base_tx_power_dbm", "noise_dbm_per_hz", "reference_gain_db"),
    *("reference_distance_m", "path_loss_exponent"),
}


def read_devices(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a `Scenario` that a ``devices.json`` gives: devices, and links or constants of the radio.

    Raises:
        FileFormatError: The file is missing, or something in it is wrong; the message says what.
    """
    content = read_json(path, FORMAT, VERSION, 'a file of devices, which says "format": "pl-env-devices"')
    try:
        return _fields(content)
    except (InvalidValue, _Fault) as error:
        raise FileFormatError(f"{path}: {error}") from None


class _Fault(Exception):
    """What is wrong with a file of devices."""


def _fields(content: dict[str, Any]) -> dict[str, Any]:
    _no_others(content, {"format", "version", "comment", "devices", "links_mbit_per_s", "radio"}, "the file")
    entries = content.get("devices")
    if not isinstance(entries, list) or not entries:
        raise _Fault(f"devices is {shown(entries)}; it must be a list of at least one device")
    devices = tuple(_device(entry, n) for n, entry in enumerate(entries, start=1))
    names = [device.name for device in devices]
    if len(set(names)) < len(names):
        raise _Fault(f"the names of devices are {shown(names)}; they must be all different")
    if ("links_mbit_per_s" in content) == ("radio" in content):
        raise _Fault('it must have either "links_mbit_per_s" or "radio"')
    if "radio" in content:
        return {"devices": devices} | _radio(content["radio"], entries)
    return {"devices": devices, "links_bps": _links(content["links_mbit_per_s"], len(devices))}


def _no_others(entry: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(entry) - known)
    if unknown:
        raise _Fault(f"{where} has {shown(unknown[0])}; known are: {', '.join(sorted(known))}")


def _device(entry: Any, n: int) -> Device:
    if not isinstance(entry, dict):
        raise _Fault(f"device {n} is {shown(entry)}; it must be an object")
    where = f"device {n}"
    _no_others(entry, {"name", "comment", *_UNITS}, where)
    for key in _NEEDED:
        if key not in entry:
            raise _Fault(f"{where} has no {key}")
    fields: dict[str, Any] = {}
    for key, (field, unit) in _UNITS.items():
        if key in entry:
            number = _number(entry[key], f"{key} of {where}") * unit
            fields[field] = round(number) if field == "memory_bytes" else number
    try:
        return Device(name=entry.get("name", where), **fields)
    except InvalidValue as error:
        raise _Fault(f"{where}: {error}") from None


def _number(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e300:
        raise _Fault(f"{what} is {shown(value)}; it must be a number")
    return float(value)


def _links(value: Any, n: int) -> tuple[tuple[float, ...], ...]:
    """Bit/s from each device (row) to each other; the diagonal does not count."""
    if not isinstance(value, list):
        value = [[value] * n] * n
    if len(value) != n or not all(isinstance(row, list) and len(row) == n for row in value):
        raise _Fault(f"links_mbit_per_s must be a number, or {n} rows of {n} numbers, from each device to each")
    return tuple(
        tuple(0.0 if i == j else 1e6 * _number(link, f"the link from device {i + 1} to {j + 1}") for j, link in row)
        for i, row in ((i, list(enumerate(row))) for i, row in enumerate(value))
    )


def _radio(value: Any, entries: list[Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Fault(f"radio is {shown(value)}; it must be an object, {{}} for the paper's constants")
    _no_others(value, _RADIO, "radio")
    for n, entry in enumerate(entries, start=1):
        for key in ("tx_power_dbm", "distance_m"):
            if key not in entry:
                raise _Fault(f"device {n} has no {key}, which links by radio need")
    return {name: _number(number, name) for name, number in value.items()}
