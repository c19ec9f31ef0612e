"""``python -m agents``: evaluate and train, and what both do with a user's mistake."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

import agents
from agents.__main__ import main
from tests import helpers

WORDS = ["evaluate", "--agent", "bls", "--solver", "greedy", "--scenario", "bls", "--episodes", "2"]


def test_evaluate_lets_agents_play_beside_solvers(capsys, tmp_path, agent):
    agent.save(tmp_path / "mine")
    out = tmp_path / "new" / "result.json"
    words = [*WORDS, "--agent", "bls", str(tmp_path / "mine"), "--samples", "2", "--rollouts", "3"]
    assert main([*words, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    saved = json.loads(out.read_text())
    mine = f"agent {tmp_path / 'mine'}"
    names = [f"{name}{end}" for name in ("agent bls", mine) for end in ("", "-2", "-rollout-3")]
    assert list(saved["results"]) == [*names, "greedy"]
    results = {name: result["mean"] for name, result in saved["results"].items()}
    assert results["agent bls-2"] >= results["agent bls"] > results["greedy"] > results[mine]
    assert results[f"{mine}-rollout-3"] > results[mine]
    for word in ("agent bls ", "agent bls-2", "greedy", "gap to optimum", f"written: {out}"):
        assert word in printed


def test_evaluate_without_torch_plays_solvers_and_says_what_agents_need(tmp_path):
    code = f"""
{helpers.WITHOUT_TORCH}
from agents.__main__ import main
assert main(["evaluate", "--solver", "greedy", "--set", "bls-100", "--episodes", "2"]) == 0
assert main({WORDS!r}) == 1
assert main(["train", "tiny"]) == 1
"""
    printed = helpers.run_python(f"import sys; sys.stderr = sys.stdout\n{code}")
    assert printed.count("error: this needs") == 2
    assert printed.count("pip install 'pl-env[agents]'") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["play"], "error: there is no command 'play'; known are: evaluate, replay, serve, train"),
        (["train", "nowhere"], "error: there is no preset 'nowhere'; known are: any-library, any-library-fast, bls"),
        (["evaluate", "--scenario", "bls"], "error: --agent and --solver and --policy is []; it must be at least one"),
        (["evaluate", "--agent", "nosuch", "--scenario", "bls"], "error: there is no agent or folder 'nosuch'; known"),
        (["evaluate", "--agent", "bls", "--set", "x"], "error: there is no preset or benchmark set 'x'; known are"),
    ],
)
def test_a_mistake_prints_one_sentence(capsys, words, message):
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert len(captured.err.strip().splitlines()) == 1


def test_it_says_what_it_can_do(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["agents"])
    with pytest.raises(SystemExit, match="0"):
        main()
    said = capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert capsys.readouterr().out == said
    assert "evaluate " in said
    with pytest.raises(SystemExit):
        main(["train", "bls", "--help"])
    assert capsys.readouterr().out.startswith("usage: python -m agents train")
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("--agent", "names of those that come with the package", "its folder is made where there is none"):
        assert words in said


def test_agents_of_a_system_that_does_not_sample_plans(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "agents.toy", ModuleType("agents.toy"))
    monkeypatch.setattr(agents, "load", lambda name: SimpleNamespace(SYSTEM="toy"))
    assert main([*WORDS, "--samples", "2"]) == 1
    assert capsys.readouterr().err == "error: samples is 2; it must be 0, as agents of toy know no BestOf\n"
