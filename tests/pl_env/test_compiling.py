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


def test_a_change_in_another_systems_room_voids_nothing(copied_package):
    def hits() -> bool:
        return helpers.run_python(UPLOADS, folder=copied_package, NUMBA_CACHE_DIR="").splitlines()[2] == "1"

    hits()
    (copied_package / "pl_env" / "another_system").mkdir()
    (copied_package / "pl_env" / "another_system" / "dynamics.py").write_text("one = 1\n")
    assert hits()
    (copied_package / "pl_env" / "partial_loading" / "another_file.py").write_text("one = 1\n")
    assert not hits()


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80", b"nonsense"])
def test_damaged_files_of_a_kernel_are_done_without(copied_package, suffix, content):
    def uploads() -> tuple[str, bool]:
        _, numbers, hits = helpers.run_python(UPLOADS, folder=copied_package, NUMBA_CACHE_DIR="").splitlines()
        return numbers, hits == "1"

    first, _ = uploads()
    for path in (copied_package / "pl_env").rglob(f"dynamics.draw_channels*{suffix}"):
        path.write_bytes(path.read_bytes()[:100] if content == b"\x80" else content)
    assert uploads() == (first, False)
    assert uploads() == (first, True), "what was damaged is written again"


def test_a_disk_that_takes_nothing_is_done_without(copied_package):
    """As a full one: the folder can be made, and an empty file in it, but nothing written."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    lines = helpers.run_python(limited + UPLOADS, folder=copied_package, NUMBA_CACHE_DIR="").splitlines()
    assert lines[1:] == [*helpers.run_python(UPLOADS, folder=copied_package, NUMBA_CACHE_DIR="").splitlines()[1:2], "0"]


SOLVE_FIRST = """
import numpy as np, baselines, pl_env
print(baselines.solve(pl_env.Scenario.preset("tiny").sample(np.random.default_rng(0)), "optimal-dp").served)
"""
PLAY_FIRST = """
import gymnasium as gym, pl_env
print(int(gym.make("PartialLoading-v0", scenario="tiny").reset(seed=0)[1]["action_mask"].sum()))
"""
COUNT = """
from numba.core import event
recorder = event.RecordingListener()
event.register("numba:compile", recorder)
"""


def test_the_order_of_imports_voids_nothing(tmp_path):
    """Solving before or after the environment is imported, in fresh processes: what is kept is never void."""

    def compilations(code: str, **environment: str) -> int:
        code = COUNT + code + "print(len(recorder.buffer))"
        return int(helpers.run_python(code, **environment).splitlines()[-1])

    one = "import pl_env.wireless\npl_env.wireless.spectral_efficiency(1.0)\n"
    assert compilations(one, NUMBA_CACHE_DIR=str(tmp_path)) > 0
    assert compilations(one, NUMBA_CACHE_DIR=str(tmp_path)) == 0
    compilations(SOLVE_FIRST + PLAY_FIRST)  # whatever is not kept yet
    assert compilations(PLAY_FIRST + SOLVE_FIRST) == 0
    assert compilations(SOLVE_FIRST + PLAY_FIRST) == 0
    assert compilations(PLAY_FIRST) == compilations(SOLVE_FIRST) == 0
