"""Traces: who came when, read from a CSV or Parquet file into an `Instance`, or written into one.

A row is a user. Columns, in any order, others are ignored:

| column     | meaning                                                                          |
|------------|----------------------------------------------------------------------------------|
| `arrival`  | seconds since the start, at least 0; rows in any order                           |
| `model`    | name of a model of the library, or its number                                    |
| `deadline` | seconds after the arrival, above 0                                               |
| `upload`   | seconds that the upload takes alone on the whole band, at least 0; or            |
| `signal`   | signal-to-noise ratio as a plain number, above 0: the upload follows by the radio |
"""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from pl_env.errors import FileFormatError, shown
from pl_env.files import reason, write_atomically
from pl_env.online.arrays import ARRIVAL, DEADLINE, MODEL, READY, UPLOAD, USER_COLUMNS
from pl_env.online.arrivals import upload_before
from pl_env.online.instance import Instance
from pl_env.online.scenario import MOST_USERS, Scenario
from pl_env.packages import require_package
from pl_env.times import LONGEST_NS, LONGEST_UPLOAD_NS, NS_PER_SECOND, nanoseconds
from pl_env.wireless import spectral_efficiency, upload_time_ns

_NEEDED = ("arrival", "model", "deadline")
_LONGEST_SECONDS = LONGEST_NS / NS_PER_SECOND


def read_trace(path: str | os.PathLike[str], scenario: Scenario) -> Instance:
    """The instance of a scenario's library, server, memory and radio whose users are those of a trace.

    Args:
        path: A file that ends in .csv or .parquet.
        scenario: All else. With uploads on arrival the uploads come before, one after the other.

    Raises:
        FileFormatError: The file is missing or no such file, or a row is wrong; says which and what.
        MissingPackage: The file is Parquet, and pyarrow is not installed.
    """
    file = Path(path)
    columns = _read_parquet(file) if file.suffix == ".parquet" else _read_csv(file)
    for name in _NEEDED:
        if name not in columns:
            raise FileFormatError(f"{file}: has no column {name!r}; a trace has {', '.join(_NEEDED)}, upload or signal")
    if ("upload" in columns) == ("signal" in columns):
        raise FileFormatError(f"{file}: must have one of the columns 'upload' and 'signal'")
    n_users = len(columns["arrival"])
    if not 1 <= n_users <= MOST_USERS:
        raise FileFormatError(f"{file}: has {n_users} rows; it must have from 1 to {MOST_USERS}")
    names = {name: i for i, name in enumerate(_model_names(scenario))}
    users = np.zeros((n_users, USER_COLUMNS), dtype=np.int64)
    for row in range(n_users):
        values = {name: column[row] for name, column in columns.items()}
        users[row] = _user(values, f"{file}: row {row + 1}", names, scenario)
    users = users[np.argsort(users[:, ARRIVAL], kind="stable")]
    upload_before(scenario.draws, users)
    return scenario.instance(users)


def _model_names(scenario: Scenario) -> tuple[str, ...]:
    if scenario.library is not None:
        return scenario.library.model_names
    kinds = scenario.backbones
    return tuple(f"{kinds[i % len(kinds)]}-{i}" for i in range(scenario.n_models))


def _user(values: dict[str, Any], where: str, names: dict[str, int], scenario: Scenario) -> list[int]:
    """A row as the kernels take it."""
    arrival = _number(values["arrival"], where, "arrival", 0.0, _LONGEST_SECONDS)
    deadline = _number(values["deadline"], where, "deadline", 1 / NS_PER_SECOND, _LONGEST_SECONDS)
    model = _model(values["model"], where, names)
    if "upload" in values:
        upload = nanoseconds(_number(values["upload"], where, "upload", 0.0, LONGEST_UPLOAD_NS / NS_PER_SECOND))
    else:
        signal = _number(values["signal"], where, "signal", 1e-300, 1e300)
        upload = upload_time_ns(scenario.cell.unit_upload_ns, spectral_efficiency(signal))
    user = [0] * USER_COLUMNS
    user[MODEL], user[UPLOAD] = model, upload
    user[ARRIVAL] = user[READY] = nanoseconds(arrival)
    user[DEADLINE] = user[ARRIVAL] + nanoseconds(deadline)
    return user


def _number(value: Any, where: str, name: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise FileFormatError(f"{where}: {name} is {shown(value)}; it must be a number") from None
    if not (math.isfinite(number) and low <= number <= high):
        raise FileFormatError(f"{where}: {name} is {shown(value)}; it must be from {low:g} to {high:g}")
    return number


def _model(value: Any, where: str, names: dict[str, int]) -> int:
    if isinstance(value, str) and value in names:
        return names[value]
    try:
        number = int(str(value))
    except ValueError:
        raise FileFormatError(f"{where}: there is no model {shown(value)} in the library") from None
    if not 0 <= number < len(names):
        raise FileFormatError(f"{where}: model is {number}; it must be from 0 to {len(names) - 1}")
    return number


def _read_csv(file: Path) -> dict[str, list[Any]]:
    """The columns of a CSV file with a header."""
    try:
        with open(file, newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream, strict=True)
            head = [name.strip() for name in next(reader, [])]
            if len(set(head)) < len(head):
                raise FileFormatError(f"{file}: two columns have the same name")
            columns: dict[str, list[Any]] = {name: [] for name in head}
            for row in reader:
                if not row:
                    continue
                if len(row) != len(head):
                    where = f"{file}: row {len(columns[head[0]]) + 1}"
                    raise FileFormatError(f"{where}: has {len(row)} fields; the head has {len(head)}")
                for name, field in zip(head, row, strict=True):
                    columns[name].append(field.strip())
                if len(columns[head[0]]) > MOST_USERS:
                    raise FileFormatError(f"{file}: has more than {MOST_USERS} rows")
    except FileNotFoundError:
        raise FileFormatError(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(f"{file}: not a CSV file ({reason(error)})") from None
    return columns


def _read_parquet(file: Path) -> dict[str, list[Any]]:
    """The columns of a Parquet file."""
    parquet = require_package("pyarrow.parquet", "traces")
    if not file.exists():
        raise FileFormatError(f"{file}: there is no such file")
    try:
        with parquet.ParquetFile(file) as content:
            if content.metadata.num_rows > MOST_USERS:
                raise FileFormatError(f"{file}: has more than {MOST_USERS} rows")
            known = [name for name in content.schema_arrow.names if name in (*_NEEDED, "upload", "signal")]
            if len(set(known)) < len(known):
                raise FileFormatError(f"{file}: two columns have the same name")
            columns: dict[str, list[Any]] = content.read(columns=known).to_pydict()
            return columns
    except FileFormatError:
        raise
    except Exception as error:  # whatever a damaged file makes of it
        raise FileFormatError(f"{file}: not a Parquet file, or damaged ({reason(error)})") from None


def write_trace(path: str | os.PathLike[str], instance: Instance, scenario: Scenario) -> None:
    """Write the users of an instance to a CSV file that `read_trace` reads; uploads must be in the batch.

    Args:
        path: Where to.
        instance: The instance, whose times are written to the nanosecond.
        scenario: What it was drawn from, for the models' names.

    Raises:
        OSError: It cannot be written.
    """
    names = _model_names(scenario)
    lines = ["arrival,model,deadline,upload"]
    for model, _, deadline, upload, arrival in instance.users.tolist():
        lines.append(f"{_seconds(arrival)},{names[model]},{_seconds(deadline - arrival)},{_seconds(upload)}")
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _seconds(ns: int) -> str:
    return f"{ns // NS_PER_SECOND}.{ns % NS_PER_SECOND:09d}"
