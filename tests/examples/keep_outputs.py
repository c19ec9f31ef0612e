"""Run notebooks and keep what they print, without the times of their cells: ``make notebooks``."""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

for path in sys.argv[1:]:
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=600, record_timing=False, resources={"metadata": {"path": folder}}).execute()
    nbformat.write(notebook, path)
    print(f"written: {path}")
