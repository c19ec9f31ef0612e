"""The notebooks run from top to bottom, print what is stored in them, and print little."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
MOST_CHARACTERS = 2000


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each cell prints; how it comes in pieces is a matter of time."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.text for output in cell.outputs if output.output_type == "stream") for cell in cells]


def test_there_are_five():
    assert NOTEBOOKS == [
        "compare-planners",
        "online-serving",
        "quick-start",
        "train-an-agent",
        "your-own-checkpoints",
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_prints_what_is_stored_in_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = read(name)
    stored = printed(notebook)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert printed(notebook) == stored
    assert list(tmp_path.iterdir()) == []  # what it writes it writes elsewhere


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_stored_outputs_are_short(name):
    notebook = read(name)
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) <= 2
    assert all(len(text) < MOST_CHARACTERS for text in printed(notebook))
    shown = [output.data["text/plain"] for output in outputs(notebook) if "text/plain" in output.get("data", {})]
    assert shown
    assert all(len(text) < MOST_CHARACTERS for text in shown)
    assert [cell.source for cell in notebook.cells if cell.cell_type == "code" and not cell.outputs] == []
    assert not any(output.output_type == "error" or output.get("name") == "stderr" for output in outputs(notebook))
