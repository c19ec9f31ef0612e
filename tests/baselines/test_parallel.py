"""Tasks in this process and in others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from baselines.parallel import map_tasks, workers_of
from pl_env.errors import InvalidValue, MissingPackage, PlEnvError, UnknownName

ROOT = Path(__file__).resolve().parents[2]


def square(number: int) -> int:
    return number**2


def slower_at_first(number: int) -> int:
    time.sleep(0.1 if number == 0 else 0.0)
    return number


def process(_: int) -> int:
    return os.getpid()


def fails_at_three(number: int) -> int:
    if number == 3:
        raise UnknownName("number", number, ("1", "2"))
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_come_in_the_order_of_the_tasks(workers):
    assert list(map_tasks(square, range(20), workers=workers)) == [n**2 for n in range(20)]
    assert list(map_tasks(slower_at_first, range(4), workers=workers)) == [0, 1, 2, 3]
    assert list(map_tasks(square, [], workers=workers)) == []


def test_one_worker_is_this_process_and_two_are_others():
    assert set(map_tasks(process, range(3), workers=1)) == {os.getpid()}
    assert set(map_tasks(process, range(3), workers=1 + 1)).isdisjoint({os.getpid()})
    assert set(map_tasks(process, range(1), workers=8)) == {os.getpid()}


def test_functions_that_are_defined_anywhere():
    added = 3
    assert list(map_tasks(lambda number: number + added, range(3), workers=2)) == [3, 4, 5]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_arrives_as_it_is(workers):
    with pytest.raises(UnknownName, match="there is no number 3; known are: 1, 2"):
        list(map_tasks(fails_at_three, range(6), workers=workers))


def test_a_wrong_number_of_workers_is_refused_at_once():
    with pytest.raises(InvalidValue, match="workers is -1; it must be an integer of at least 0"):
        map_tasks(square, [1], workers=-1)


@pytest.mark.parametrize("engine", ["rya", "ray:", "process:2", ""])
def test_an_engine_that_there_is_not_is_refused(engine):
    with pytest.raises(
        InvalidValue, match=f"engine is '{engine}'; it must be 'process', 'ray' for this machine's cores"
    ):
        workers_of(engine, 1)
    with pytest.raises(InvalidValue, match=f"engine is '{engine}'; "):
        map_tasks(square, [1], workers=engine)


def test_an_engine_and_its_workers():
    assert [workers_of("process", 3), workers_of("ray", 3), workers_of("ray:auto", 0)] == [3, "ray", "ray:auto"]


def test_without_ray_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackage, match=r"this needs ray; install it with: pip install 'pl-env\[ray\]'"):
        list(map_tasks(square, [1], workers="ray"))


def dies(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_said_in_one_sentence():
    with pytest.raises(PlEnvError, match="a worker process was killed, perhaps as memory ran out; start again"):
        list(map_tasks(dies, range(2), workers=2))


def test_answers_as_soon_as_they_are_there(tmp_path):
    def first_is_last(number: int) -> int:
        while number == 0 and not (tmp_path / "3").exists():
            time.sleep(0.01)
        (tmp_path / str(number)).touch()
        return number

    answers = list(map_tasks(first_is_last, range(4), workers=2, ordered=False))
    assert sorted(answers) == [0, 1, 2, 3]
    assert answers.index(0) > answers.index(1)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_bar_goes_to_the_error_stream(capsys, workers):
    list(map_tasks(square, range(5), workers=workers, progress=True, title="squaring", unit="number"))
    captured = capsys.readouterr()
    assert captured.out == ""
    for word in ("squaring", "5/5", "numbers"):
        assert word in captured.err


SLEEP = """
import sys, time
from baselines.parallel import map_tasks, workers_of
def sleep(seconds):
    print(seconds, flush=True)
    time.sleep(seconds)
try:
    list(map_tasks(sleep, [60, 61], workers=2))
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_an_interrupted_or_killed_parent(signal_number):
    """The pipes, which workers hold too, are closed long before their tasks are done; nobody prints a traceback."""
    command = [sys.executable, "-c", SLEEP]
    run = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    watchdog = threading.Timer(90, run.kill)
    watchdog.start()
    assert {run.stdout.readline(), run.stdout.readline()} == {"60\n", "61\n"}
    if signal_number == signal.SIGINT:
        os.killpg(run.pid, signal_number)  # as a terminal does: to everybody
    else:
        run.send_signal(signal_number)
    _, errors = run.communicate(timeout=30)
    watchdog.cancel()
    assert run.returncode == (1 if signal_number == signal.SIGINT else -signal_number)
    if signal_number == signal.SIGINT:
        assert errors == "interrupted\n"
