"""Compiled kernels: kept on disk, but never longer than the source they were compiled from."""

from __future__ import annotations

import shutil

import pytest

from pl_env import wireless
from tests import helpers

UPLOADS = """
import numpy as np, pl_env
from pl_env.partial_loading import dynamics
uploads = np.empty(3, dtype=np.int64)
dynamics.draw_channels(np.array([0.1, 0.5, 0.9]), np.full(3, 30.0), 1e6, uploads)
print(pl_env.__file__)
print(*uploads.tolist())
print(len(dynamics.draw_channels.stats.cache_hits))
"""


def test_kernels_are_plain_functions_to_python():
    assert wireless.upload_time_ns.__doc__.startswith("Nanoseconds p_k / B")
    assert wireless.upload_time_ns.py_func(1000.0, 3.0) == wireless.upload_time_ns(1000.0, 3.0) == 334


@pytest.fixture
def copied_package(tmp_path):
    shutil.copytree(helpers.ROOT / "pl_env", tmp_path / "pl_env", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_kernels_are_compiled_again_when_a_kernel_that_they_call_changes(copied_package):
    """`draw_channels` of dynamics.py holds a copy of wireless.py's and of a constant; numba alone would not notice."""

    def uploads() -> tuple[list[int], bool]:
        file, numbers, hits = helpers.run_python(UPLOADS, folder=copied_package, NUMBA_CACHE_DIR="").splitlines()
        assert file == str(copied_package / "pl_env" / "__init__.py")
        return [int(number) for number in numbers.split()], hits == "1"

    first, _ = uploads()
    assert uploads() == (first, True)
    edit(copied_package / "pl_env" / "wireless.py", "math.ceil(unit_upload_ns / efficiency)", "7")
    assert uploads() == ([7, 7, 7], False)
    edit(copied_package / "pl_env" / "times.py", "LONGEST_UPLOAD_NS = 10**14", "LONGEST_UPLOAD_NS = 5")
    assert uploads() == ([5, 5, 5], False)


def test_everything_works_without_compilation():
    """As debuggers and coverage want it."""
    code = UPLOADS.rpartition("print(len")[0]
    plain = helpers.run_python(code, NUMBA_DISABLE_JIT="1")
    assert plain == helpers.run_python(code)
