"""A run that is killed before any operation of the file system, or within a write, resumes to the same bits."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from agents.checkpoint import load_checkpoint, save_checkpoint
from tests.agents.toy import train_toy

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")

ROUNDS = (3, 2)

CHANGING = {"open", "os.mkdir", "os.chmod", "os.rename", "os.remove", "os.rmdir", "tempfile.mkdtemp", "shutil.rmtree"}
"""Audit events of what changes files; reading opens files too, and is counted along."""


def in_a_fork(action) -> int:
    """Run an action in a process of its own; its exit status, negative for a signal. Imports are there already."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_before(number: int, folder: Path) -> None:
    """Kill this process before the operation of that number on a checkpoint in the folder, the first being 1."""
    seen = 0

    def count(event, arguments):
        nonlocal seen
        if event in CHANGING and any(
            str(folder) in str(argument) and "checkpoint" in str(argument) for argument in arguments
        ):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def contents(out: Path) -> tuple:
    """What is in a run's checkpoint, but for the clock."""
    header, parts = load_checkpoint(out / "checkpoint", "weights", "training")
    curve = [{**point, "seconds": 0} for point in header["training"]["curve"]]
    tensors = {f"{part}.{name}": value.tolist() for part, named in parts.items() for name, value in named.items()}
    return curve, tensors


def begin(out: Path) -> None:
    """Two rounds."""

    def stop(agent, states):
        if states == 32:
            os._exit(0)

    train_toy(out, ROUNDS, watch=stop)


def third_round(out: Path, kill: int | None = None) -> None:
    """One round more, killed before an operation of its checkpoint."""

    def stop(agent, states):
        if states == 48:  # it is shown the round that is resumed, too
            os._exit(0)

    if kill is not None:
        kill_before(kill, out)
    train_toy(out, ROUNDS, resume=True, watch=stop)


def finish(out: Path) -> None:
    train_toy(out, ROUNDS, resume=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    assert in_a_fork(lambda: train_toy(out, ROUNDS)) == 0
    return contents(out)


def resumes(out: Path, whole: tuple) -> None:
    assert in_a_fork(lambda: finish(out)) == 0
    assert contents(out) == whole
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint", "tensorboard"], "nothing is left lying about"


def test_killed_before_every_operation_of_a_checkpoint(tmp_path, whole):
    """The checkpoint that is replaced, the one before it, and all that is written beside them."""
    assert in_a_fork(lambda: begin(tmp_path / "begun")) == 0
    kills, number = 0, 1
    while True:
        out = tmp_path / str(number)
        shutil.copytree(tmp_path / "begun", out)
        status = in_a_fork(lambda out=out, number=number: third_round(out, number))
        if status == 0:  # there are no more operations
            break
        assert status == -signal.SIGKILL
        resumes(out, whole)
        kills, number = kills + 1, number + 1
    assert kills >= 17


@pytest.mark.parametrize("file", ["weights.safetensors", "training.safetensors", "checkpoint.json"])
def test_killed_within_a_write(tmp_path, whole, file):
    assert in_a_fork(lambda: begin(tmp_path)) == 0

    def half_a_write():
        def write_bytes(path, content):
            with open(path, "wb") as stream:
                stream.write(content[: len(content) // 2] if path.name == file else content)
            if path.name == file:
                os.kill(os.getpid(), signal.SIGKILL)

        Path.write_bytes = write_bytes
        Path.write_text = lambda path, text: write_bytes(path, text.encode())
        third_round(tmp_path)

    assert in_a_fork(half_a_write) == -signal.SIGKILL
    resumes(tmp_path, whole)


def test_a_half_removed_older_checkpoint_blocks_nothing(tmp_path, agent):
    """A kill of an earlier release, in the middle of a removal, left a folder without its header."""
    agent.save(tmp_path / "agent")
    before = (tmp_path / "agent" / "weights.safetensors").read_bytes()
    (tmp_path / "agent.old").mkdir()
    (tmp_path / "agent.old" / "weights.safetensors").write_bytes(before)
    agent.save(tmp_path / "agent")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent"]


def test_saving_replaces_nothing_of_others(tmp_path):
    (tmp_path / "agent.old").mkdir()
    (tmp_path / "agent.old" / "notes.txt").write_text("mine")
    (tmp_path / ".agent.notes").mkdir()
    save_checkpoint(tmp_path / "other", {}, {})
    assert (tmp_path / "agent.old" / "notes.txt").exists()
    assert (tmp_path / ".agent.notes").exists()
