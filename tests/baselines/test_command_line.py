from __future__ import annotations

import subprocess
import sys

import pytest

from baselines.__main__ import main


def test_compare_prints_every_solver_and_a_gantt_chart(capsys, tmp_path):
    assert main(["compare", "--preset", "bls", "--seed", "0", "--out", str(tmp_path / "gantt.png")]) == 0
    out = capsys.readouterr().out
    for word in ("optimal-dp", "greedy", "paper-dp", "independent", "max-overlap", "left out: exhaustive", "loaded MB"):
        assert word in out
    assert out.count("|") >= 2 * 20  # a row per batch
    assert (tmp_path / "gantt.png").read_bytes().startswith(b"\x89PNG")


def test_compare_general_leaves_out_what_does_not_apply(capsys):
    assert main(["compare", "--preset", "general-hard"]) == 0
    assert "left out: optimal-dp needs bottom-layer sharing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "nowhere"], "error: there is no preset 'nowhere'"),
        (["--solver", "magic"], "error: there is no solver 'magic'"),
        (["--preset", "general", "--solver", "optimal-dp"], "error: optimal-dp needs bottom-layer sharing"),
        (["--seed", "-1"], "error: seed is -1"),
    ],
)
def test_a_mistake_prints_one_sentence(capsys, arguments, message):
    assert main(["compare", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert len(captured.err.strip().splitlines()) == 1


def test_runs_as_a_module():
    command = [sys.executable, "-m", "baselines", "list-solvers"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "exact dynamic program" in result.stdout
