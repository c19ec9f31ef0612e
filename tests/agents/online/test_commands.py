"""``serve`` with an agent that decides, on models of a few megabytes."""

from __future__ import annotations

import pytest

from agents import console
from agents.__main__ import main
from agents.online.agent import Agent
from tests.baselines.online.test_serving import ARGUMENTS, save_what_is_served

SHORT = ("--rate", "40", "--seconds", "0.3")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_what_is_served(tmp_path)


def test_an_agent_decides_what_is_served(folder, capsys, monkeypatch):
    decided, choice = [], Agent.choice
    monkeypatch.setattr(Agent, "choice", lambda *words: decided.append(choice(*words)) or decided[-1])
    assert main([*ARGUMENTS, "--agent", "online/reactive", *SHORT]) == 0
    words = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("outputs of")).split()
    assert words[2] == words[4] != "0"
    assert len(decided) > 2 * int(words[2])  # in the two simulations and by the clock


def test_without_an_agent_the_policy_decides(folder, capsys, monkeypatch):
    monkeypatch.setattr(Agent, "choice", None)
    assert main([*ARGUMENTS, "--policy", "edf", *SHORT]) == 0
    assert "goodput" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--agent", "online/none"), "error: there is no agent or folder 'online/none'; known are: "),
        (("--agent", "bls"), "error: agent is 'bls'; it must be an agent of online"),
        (("--policy", "best"), "error: there is no policy 'best'; known are: "),
    ],
)
def test_a_mistake_gets_one_sentence(folder, capsys, words, message):
    assert main([*ARGUMENTS, *words]) == 1
    assert capsys.readouterr().err.startswith(message)


def test_the_console_script_has_the_one_that_knows_agents():
    assert console.commands_of("pl_env", "baselines", "agents")["serve"].__module__ == "agents.online.commands"
    assert console.commands_of("pl_env", "baselines")["serve"].__module__ == "baselines.online.commands"
