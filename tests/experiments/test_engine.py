from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import engine, points
from experiments.figures import Panel
from experiments.partial_loading.figures import INDEPENDENT_SLOTTED, OPTIMAL_DP, PAPER_DP
from experiments.points import Curve, Point
from pl_env.errors import PlEnvError
from pl_env.partial_loading.scenario import Scenario

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = Panel("t", "a tiny figure", "bls", "n_users", (3, 6), "users K", (PAPER_DP, OPTIMAL_DP))


def same(results, others) -> bool:
    return all(np.array_equal(a.objective, b.objective) for a, b in zip(results, others, strict=True))


def test_a_tiny_figure(tmp_path):
    results = engine.run(TINY.points(4, seed=1), tmp_path, workers=1)
    assert [result.point.scenario.n_users for result in results] == [3, 6]
    for result in results:
        assert result.objective.shape == result.seconds.shape == (2, 4)
        assert (result.objective[result.row("optimal-dp")] >= result.objective[result.row("paper-dp")]).all()
        assert (result.seconds > 0).all()
    assert len(list(tmp_path.iterdir())) == 2


def test_one_worker_and_two_give_the_same(tmp_path):
    group = TINY.points(4, seed=1)
    one = engine.run(group, tmp_path / "one", workers=1)
    assert same(one, engine.run(group, tmp_path / "two", workers=2))
    assert same(one, [point.compute() for point in group])


def test_a_kept_result_is_not_computed_again_and_a_damaged_one_is(tmp_path):
    group = TINY.points(2, seed=0)
    first = engine.run(group, tmp_path, workers=1)
    kept, damaged = (points.path_of(point, tmp_path) for point in group)
    written = kept.stat().st_mtime_ns
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert same(first, engine.run(group, tmp_path, workers=1))
    assert kept.stat().st_mtime_ns == written
    assert points.load(group[1], tmp_path) is not None


def test_equal_points_are_computed_once(tmp_path):
    point = TINY.points(2, seed=0)[0]
    assert len(engine.run([point, point], tmp_path, workers=1)) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_in_a_worker_arrives(tmp_path):
    unknown = Point(Scenario(), (Curve("magic", "magic"),), 1)
    with pytest.raises(PlEnvError, match="there is no solver 'magic'"):
        engine.run([unknown], tmp_path, workers=1)
    assert not list(tmp_path.iterdir())


def test_the_kernels_of_an_uncompiled_point_run_as_python(tmp_path):
    point = TINY.points(1, seed=0)[0]
    compiled = engine.run([point], tmp_path, workers=1)
    uncompiled = engine.run([Point(point.scenario, point.curves, 1, 0, compiled=False)], tmp_path, workers=1)
    assert same(compiled, uncompiled)
    assert "NUMBA_DISABLE_JIT" not in os.environ or os.environ["NUMBA_DISABLE_JIT"] != "1"


@pytest.mark.parametrize(
    "change",
    [{"realisations": 3}, {"seed": 1}, {"compiled": False}, {"scenario": Scenario(n_users=9)},
     {"curves": (PAPER_DP, INDEPENDENT_SLOTTED)}],
)  # fmt: skip
def test_whatever_decides_a_result_is_in_its_key(change):
    fields = {"scenario": Scenario(), "curves": (PAPER_DP, OPTIMAL_DP), "realisations": 2}
    assert Point(**fields).key != Point(**(fields | change)).key
    assert Point(**fields).key == Point(**fields).key


def test_the_code_is_in_the_key(monkeypatch):
    before = Point(Scenario(), (PAPER_DP,), 2).key
    monkeypatch.setattr(points, "code_version", lambda *_: "another")
    assert Point(Scenario(), (PAPER_DP,), 2).key != before


def test_a_label_or_colour_is_not_in_the_key():
    renamed = Curve("another name", "paper-dp", colour="red", dashed=True)
    assert Point(Scenario(), (PAPER_DP,), 2).key == Point(Scenario(), (renamed,), 2).key


RUN_UNTIL_KILLED = """
import sys
from pathlib import Path
from experiments import engine
from tests.experiments.test_engine import many_points
engine.run(many_points(), Path(sys.argv[1]), workers=2)
"""


def many_points() -> list[Point]:
    return [Point(Scenario(n_users=20, resample_library=True), (PAPER_DP,), 60, seed) for seed in range(16)]


def test_a_killed_run_goes_on_where_it_stopped(tmp_path):
    cache = tmp_path / "killed"
    command = [sys.executable, "-c", RUN_UNTIL_KILLED, str(cache)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while len(list(cache.glob("*.npz"))) < 3:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)  # ends when the workers, who hold the pipes too, have ended with their parent
    kept = {path: path.stat().st_mtime_ns for path in cache.glob("*.npz")}
    assert 3 <= len(kept) < len(many_points())
    resumed = engine.run(many_points(), cache, workers=2)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert same(resumed, engine.run(many_points(), tmp_path / "uninterrupted", workers=2))


def test_a_source_that_changed_meanwhile_is_noticed(tmp_path):
    """The parent's key is of the source that it began with."""
    point = TINY.points(1, seed=0)[0]
    point.__dict__["key"] = "of an older source"
    with pytest.raises(PlEnvError, match="the source code changed during the run; start it again"):
        engine.run([point], tmp_path, workers=1)
    assert not list(tmp_path.iterdir())


def test_an_uncompiled_error_arrives_from_its_process(tmp_path):
    unknown = Point(Scenario(), (Curve("magic", "magic"),), 1, compiled=False)
    with pytest.raises(PlEnvError, match="there is no solver 'magic'"):
        engine.run([unknown], tmp_path, workers=1)
