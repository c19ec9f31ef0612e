"""Sweeps with processes; `tests/ecosystem/test_ray.py` has them on a cluster."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agents.jobs import jobs
from experiments import sweep_files, sweep_runs, sweeps
from experiments.__main__ import main
from pl_env.errors import FileFormatError, InvalidValue, PlEnvError

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
seeds = [0, 1]
scenarios = ["tiny"]
episodes = 5
evaluate_every = 20

[[algorithms]]
name = "PPO without masks"
width = 8
layers = 1
heads = 2
imitation = { rounds = 0 }
fine_tuning = { rounds = 4, n_envs = 2, rollout_steps = 8, minibatch_size = 8, masks = false }

[[algorithms]]
name = "masked DQN"
jobs = "experiments.partial_loading.agents.masked_dqn"
rounds = 6
n_envs = 4
minibatch_size = 8
capacity = 50
"""


def bits(out: Path) -> dict[str, bytes]:
    """What two runs must agree on: the weights, and what training goes on from."""
    files = sorted(out.rglob("*.safetensors"))
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def objectives(out: Path) -> list[tuple[str, ...]]:
    rows = csv.DictReader((out / "curves.csv").read_text().splitlines())
    names = ("scenario", "algorithm", "seed", "round", "states", "objective", "gap")
    return [tuple(row[name] for name in names) for row in rows]


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def whole(file) -> Path:
    """The finished sweep, in this process."""
    out = file.parent / "whole"
    sweeps.run(sweep_files.read(file), out, 1)
    return out


def test_every_run_has_a_folder_and_a_row_of_the_table(file, whole, capsys):
    assert len(bits(whole)) == 2 * 4
    assert (whole / "curves.png").read_bytes().startswith(b"\x89PNG")
    table = (whole / "table.md").read_text().splitlines()
    assert [line.split("|")[2:4] for line in table[2:]] == [[" PPO without masks ", " 2 "], [" masked DQN ", " 2 "]]
    points = objectives(whole)
    assert {point[:3] for point in points} == {
        ("tiny", algorithm, seed) for algorithm in ("PPO without masks", "masked DQN") for seed in ("0", "1")
    }
    for point, following in itertools.pairwise(points):
        if point[:3] == following[:3]:  # 16 states a round: every other round, and the last
            assert int(following[3]) > int(point[3])
    assert {point[3] for point in points if point[1].startswith("PPO")} == {"1", "3", "4"}
    for path in whole.rglob("run.json"):
        record = json.loads(path.read_text())
        assert record["done"]
        assert record["cpu_seconds"] > 0


def test_what_is_finished_is_not_trained_again(file, whole, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}
    assert main(["sweep", str(file), "--workers", "1", "--out", str(whole)]) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")} == before
    printed = capsys.readouterr().out
    assert "masked DQN" in printed
    assert f"written: {whole}" in printed


def test_two_processes_give_the_same_bits(file, whole, tmp_path):
    sweeps.run(sweep_files.read(file), tmp_path / "two", 2)
    assert bits(tmp_path / "two") == bits(whole)
    assert objectives(tmp_path / "two") == objectives(whole)


@pytest.mark.parametrize("algorithm", ["PPO-without-masks", "masked-DQN"])
def test_a_killed_sweep_goes_on_to_the_same_bits(file, whole, tmp_path, algorithm):
    command = [sys.executable, "-m", "experiments", "sweep", str(file), "--workers", "1", "--out", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    record = tmp_path / "tiny" / algorithm / "seed-0" / "run.json"
    while not (record.exists() and json.loads(record.read_text())["round"] >= 2):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not json.loads(record.read_text())["done"]
    sweeps.run(sweep_files.read(file), tmp_path, 1)
    assert bits(tmp_path) == bits(whole)
    assert objectives(tmp_path) == objectives(whole)


def runs_of(file: Path, out: Path, **changes) -> list[sweep_runs.Run]:
    said = dataclasses.replace(sweep_files.read(file), **changes)
    sign = (out / sweep_runs.SIGN).read_text()
    return [sweep_runs.Run(entry, said.episodes, said.evaluate_every, out, sign) for entry in said.entries]


def test_a_folder_of_something_else_is_refused(file, whole):
    with pytest.raises(InvalidValue, match=r"episodes is 6; it must be 5, as in .*seed-0"):
        sweeps.run(dataclasses.replace(sweep_files.read(file), episodes=6), whole, 1)


def test_a_damaged_record_is_named(file, whole, tmp_path):
    (run, *_) = runs_of(file, whole)
    elsewhere = dataclasses.replace(run, out=tmp_path)
    elsewhere.folder.mkdir(parents=True)
    for text in ("{", "[]", '{"of": 1}', '{"of": {}}'):
        (elsewhere.folder / sweep_runs.RECORD).write_text(text)
        with pytest.raises(FileFormatError, match=r"run.json: damaged, or no record of a run"):
            elsewhere.record()


def test_a_worker_that_does_not_see_the_folder_says_so(file, whole, tmp_path):
    (run, *_) = runs_of(file, whole)
    with pytest.raises(PlEnvError, match="it must be a folder that all nodes see"):
        sweep_runs.train(dataclasses.replace(run, out=tmp_path))
    with pytest.raises(PlEnvError, match="it must be a folder that all nodes see"):
        sweep_runs.train(dataclasses.replace(run, sign="another sweep's"))


def test_one_waits_for_another_in_the_same_folder(file, whole):
    (run, *_) = runs_of(file, whole)
    waits = threading.Thread(target=sweep_runs.train, args=(run,))
    with sweep_runs._alone(run.folder):
        waits.start()
        waits.join(0.3)
        assert waits.is_alive()
    waits.join(30)
    assert not waits.is_alive()


ONE = '[[algorithms]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = [0", "cannot be read as TOML"),
        ('scenarios = ["bls"]\n' + ONE, "seeds is None; it must be a list of at least one"),
        ('seeds = []\nscenarios = ["bls"]\n' + ONE, r"seeds is \[\]; it must be a list of at least one"),
        ('seeds = ["x"]\nscenarios = ["bls"]\n' + ONE, "seeds is 'x'; it must be an integer from 0 to 2147483648"),
        ('seed = [0]\nscenarios = ["bls"]\n' + ONE, "there is no field 'seed'; known are: algorithms, episodes"),
        ('seeds = [0]\nscenarios = ["bsl"]\n' + ONE, "there is no scenario of algorithm 'a' 'bsl'; known are: .*bls"),
        ("seeds = [0]\nscenarios = [7]\n" + ONE, "scenarios is 7; it must be names of jobs"),
        ('seeds = [0]\nscenarios = ["bls"]\nepisodes = 1\n' + ONE, "episodes is 1; it must be an integer of at"),
        ('seeds = [0]\nscenarios = ["bls"]\nalgorithms = ["a"]\n', "algorithms is 'a'; it must be tables"),
        ('seeds = [0]\nscenarios = ["bls"]\n[[algorithms]]\n', r"algorithms\[0\].name is None; it must be a text"),
        ('seeds = [0]\nscenarios = ["bls"]\n' + ONE + ONE, "names of algorithms is .* it must be different"),
        ('seeds = [0, 0]\nscenarios = ["bls"]\n' + ONE, "folder of two runs is 'bls/a/seed-0'"),
        ('seeds = [0]\nscenarios = ["bls"]\n' + ONE + "rounds = 3\n", "there is no field of algorithm 'a' 'rounds'"),
        ('seeds = [0]\nscenarios = ["bls"]\n' + ONE + "seed = 3\n", "there is no field of algorithm 'a' 'seed'"),
        ('seeds = [0]\nscenarios = ["bls"]\n' + ONE + "imitation = 3\n", "imitation is 3; it must be a table"),
        (
            'seeds = [0]\nscenarios = ["bls"]\n' + ONE + 'imitation.rounds = "many"\n',
            "algorithm 'a', imitation: rounds is 'many'; it must be an integer of at least 0",
        ),
        ('seeds = [0]\nscenarios = ["bls"]\n' + ONE + 'jobs = "nowhere"\n', "jobs of algorithm 'a' is 'nowhere'"),
    ],
)  # fmt: skip
def test_mistakes_give_one_clear_sentence(tmp_path, capsys, text, message):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(PlEnvError, match=message) as caught:
        sweep_files.read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert main(["sweep", str(file)]) == 1


def test_the_comparison_of_algorithms_is_such_a_file():
    said = sweep_files.read(ROOT / "experiments" / "partial_loading" / "sweeps" / "comparison.toml")
    assert len(said.entries) == 5 * 3
    assert [entry.seed for entry in said.entries[:6]] == [0, 0, 0, 0, 0, 1]  # a column of seeds after the other


def test_systems_side_by_side(tmp_path):
    file = tmp_path / "all.toml"
    file.write_text('seeds = [3]\nscenarios = ["tiny", "slide/hard", "cold_start", "co_inference/budget"]\n' + ONE)
    entries = sweep_files.read(file).entries
    assert [str(entry.folder) for entry in entries] == [
        f"{name}/a/seed-3" for name in ("tiny", "slide-hard", "cold_start", "co_inference-budget")
    ]
    assert {entry.job.training.seed for entry in entries} == {3}
    assert {getattr(entry.job.training, "processes", 1) for entry in entries} == {1}


def test_every_job_can_be_watched_and_has_a_seed():
    for name, job in jobs().items():
        assert "watch" in inspect.signature(job.train).parameters, name
        assert job.training.seed == 0, name
