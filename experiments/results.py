"""All solvers and agents on all benchmark sets: docs/results.md, from the result files in docs/results/.

    python -m experiments.results

A result file is what ``pl-env evaluate --set NAME --out docs/results/NAME.json`` writes. A row that somebody sends in
is a file beside it. ``pl-env replay FILE`` plays it again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase
from typing import NamedTuple

import tyro

from baselines.evaluation import PolicyResult
from baselines.results import SavedEvaluation, read
from experiments.tables import markdown
from pl_env.command_line import exit_code
from pl_env.errors import InvalidValue
from pl_env.files import write_atomically
from pl_env.systems import SYSTEMS, face, split

TABLES_START, TABLES_END = "<!-- tables -->", "<!-- end of tables -->"
NUMBERS = ("mean", "95 % interval", "gap", "ms a decision", "illegal")
VERSIONS = ("pl_env", "python", "numpy", "numba", "gymnasium")
BETTER = {"max": "more", "min": "less"}


class Row(NamedTuple):
    """A policy in a file."""

    name: str
    result: PolicyResult
    file: Path
    saved: SavedEvaluation


def write_page(folder: Path = Path("docs/results"), page: Path = Path("docs/results.md")) -> None:
    """Put the tables of all benchmark sets into their place in the page.

    Args:
        folder: Folder of the result files.
        page: Existing page, with marks where the tables go.
    """
    saved = {file: read(file) for file in sorted(folder.glob("*.json"))}
    before, start, rest = page.read_text().partition(TABLES_START)
    _, end, after = rest.partition(TABLES_END)
    if not (start and end):
        raise InvalidValue(f"{page} has no {TABLES_START} and {TABLES_END}")
    text = "\n".join(tables(saved, page.parent))
    write_atomically(page, f"{before}{TABLES_START}\n{text}{TABLES_END}{after}".encode())
    print(f"{len(saved)} files; written: {page}")


def tables(saved: dict[Path, SavedEvaluation], relative_to: Path) -> Iterable[str]:
    """Lines of the page: a headline and a table for each set, in the order of the systems."""
    places = {name if system == next(iter(SYSTEMS)) else f"{system}/{name}": None for system, name in _sets()}
    for place in places:
        rows = [
            Row(name, result, file, each)
            for file, each in saved.items()
            if each.place == place
            for name, result in each.results.items()
        ]
        if rows:
            yield from _table(place, rows, relative_to)
        else:
            yield f"### {place}\n\nNobody has sent in a row yet.\n"


def _sets() -> Iterable[tuple[str, str]]:
    return ((system, name) for system in SYSTEMS for name in face(system).benchmark_names())


def _table(place: str, rows: list[Row], relative_to: Path) -> Iterable[str]:
    """Best first; what is compared is the gap, as some files may have fewer episodes."""
    sense = rows[0].result.sense
    system, name = split(place)
    benchmark = face(system).benchmark(name)
    proven = int(benchmark.is_optimal.sum())
    yield f"### {place}\n"
    yield (
        f"{len(benchmark.instances)} instances, {proven} of them with a proven optimum; the best plans known attain "
        f"{benchmark.objective.mean():.4f} in the mean. {BETTER[sense].capitalize()} is better.\n"
    )
    ordered = sorted(rows, key=lambda row: (row.result.gap is None, row.result.gap, row.name))
    files = {row.file: row.saved for row in rows}
    letters = dict(zip(files, ascii_lowercase, strict=False))
    illegal = any(row.result.illegal for row in rows)
    yield markdown([_cells(row, letters[row.file], illegal) for row in ordered], right=NUMBERS)
    yield ""
    for file, saved in files.items():
        versions = ", ".join(f"{name} {saved.versions.get(name, '?')}" for name in VERSIONS)
        link = f"[{file.name}]({file.relative_to(relative_to).as_posix()})"
        yield f"File {letters[file]}: {link}, {saved.episodes} instances, seed {saved.seed}; {versions}.\n"


def _cells(row: Row, letter: str, illegal: bool) -> dict[str, str]:
    result = row.result
    gap = "–" if result.gap is None else f"{round(100 * result.gap, 2) + 0.0:+.2f}\N{NO-BREAK SPACE}%"
    cells = {
        "who": f"`{row.name}`",
        "mean": f"{result.mean:.4f}",
        "95 % interval": f"{result.low:.4f} … {result.high:.4f}".replace(" ", "\N{NO-BREAK SPACE}"),
        "gap": gap,
        "ms a decision": f"{1e3 * result.decision_seconds:.3g}",
        "file": letter,
    }
    return cells | ({"illegal": str(result.illegal)} if illegal else {})


if __name__ == "__main__":
    sys.exit(exit_code(lambda: tyro.cli(write_page, prog="python -m experiments.results")))
