"""What reports are made of: number formats, Markdown tables, CSV files, and documents from Jinja templates."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from baselines.statistics import mean_and_half_width
from experiments.figures import Panel
from experiments.points import Result, code_version
from pl_env.configured import flattened
from pl_env.files import write_atomically
from pl_env.protocols import Scenario
from pl_env.systems import FIRST, scenario_named, system_of


def number(value: float, form: str) -> str:
    """A number in a format as in Python's f-strings."""
    return format(+value, form)  # the sign lets a missing value of a template say its name


def interval(value: float, half_width: float, decimals: int = 1) -> str:
    """A number with half the width of its interval; alone, with three digits or whole, where that is NaN."""
    if math.isnan(half_width):
        return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
    return f"{value:.{decimals}f} ± {half_width:.{decimals}f}"


def bold(text: str, when: object = True) -> str:
    """Text in bold, where it is to be."""
    return f"**{text}**" if when else text


def duration(seconds: float) -> str:
    """Seconds with three digits, in s, ms or µs."""
    for unit, length in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def markdown(rows: Sequence[Mapping[str, str]], *, right: Iterable[str] = ()) -> str:
    """Rows with the same columns as a Markdown table, its header the keys.

    Args:
        rows: From each column's name to the cell; at least one row.
        right: Names of the columns that are set to the right.
    """
    columns = list(rows[0])
    aligned = ["---:" if column in set(right) else "---" for column in columns]
    lines = [columns, aligned, *([row[column] for column in columns] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def point_row(panel: Panel, value: Any, result: Result, row: int, *, quantity: str, timed: bool) -> dict[str, object]:
    """One number of a figure with all that it comes from, for a CSV file.

    Args:
        panel: Its panel.
        value: Value of the swept field.
        result: Result of the point.
        row: Row of the curve.
        quantity: Name of the column of the mean.
        timed: Whether run times count; they do where points ran one at a time.
    """
    curve, point = panel.curves[row], result.point
    mean, half_width = mean_and_half_width(result.objective[row])
    options = [name if value is True else f"{name}={value}" for name, value in curve.options.items()]
    return {
        "panel": panel.name,
        "curve": curve.label,
        "swept": panel.swept,
        "value": f"{value:g}",
        quantity: f"{mean:.6f}",
        "low": f"{mean - half_width:.6f}",
        "high": f"{mean + half_width:.6f}",
        "median_ms": f"{1e3 * np.median(result.seconds[row]):.4f}" if timed else "",
        "solver": " ".join([curve.solver, *options]),
        "realisations": point.realisations,
        "seed": point.seed,
        "scenario": scenario_text(panel.preset, point.scenario),
        "code": code_version(system_of(point.scenario) or FIRST)[:12],
    }


def scenario_text(preset: str, scenario: Scenario) -> str:
    """A preset's name and every field of the scenario that differs from it."""
    base, changed = flattened(scenario_named(preset).to_dict()), flattened(scenario.to_dict())
    differences = [f"{name}={json.dumps(value)}" for name, value in changed.items() if base[name] != value]
    return " ".join([preset, *differences])


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows with the same columns to a CSV file, whole or not at all."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, stream.getvalue().encode())


def render(template: Path, values: Mapping[str, object]) -> str:
    """A document from a Jinja template; a value that the template names and nobody gives is an error.

    Beside Jinja's own filters there are ``number``, with a format as in Python's f-strings, ``interval`` and ``bold``.
    A line of the template that holds nothing but a block leaves no line in the document.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "interval": interval, "bold": bold}
    return environment.get_template(template.name).render(values)
