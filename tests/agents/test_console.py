"""The console script ``pl-env``: every command of every floor, one help, completion in shells."""

from __future__ import annotations

import subprocess

import pytest

from agents import console
from agents.console import main
from tests import helpers


def said(capsys, *words: str) -> str:
    with pytest.raises(SystemExit, match="0"):
        main(list(words))
    return capsys.readouterr().out


def test_it_has_the_commands_of_all_floors(capsys):
    listed = said(capsys)
    assert listed.startswith("usage: pl-env ")
    assert listed == said(capsys, "--help")
    for command in ("scan", "measure", "split", "plan", "evaluate", "compare", "train"):
        assert f"• {command} " in listed


def test_the_upper_floor_says_what_a_shared_name_means(capsys):
    assert console.commands_of("pl_env", "baselines", "agents")["evaluate"].__module__ == "agents.evaluate_command"
    assert console.commands_of("baselines")["evaluate"].__module__ == "baselines.evaluate_command"
    assert "--agent" in said(capsys, "evaluate", "--help")


def test_a_command_runs(capsys):
    assert main(["list-solvers", "--system", "slide"]) == 0
    assert "edf-greedy" in capsys.readouterr().out


def test_a_command_says_its_own_name(capsys):
    assert said(capsys, "compare", "--help").startswith("usage: pl-env compare")
    assert said(capsys, "train", "slide", "--help").startswith("usage: pl-env train slide")


def test_a_mistake_prints_one_sentence(capsys):
    assert main(["play"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no command 'play'; known are: compare, evaluate, ")
    assert main(["train", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no preset 'nowhere'; known are: any-library, ")


def test_without_torch_all_but_train_is_there():
    code = f"""
{helpers.WITHOUT_TORCH}
from agents.console import main
assert main(["list-solvers"]) == 0
assert main(["train", "tiny"]) == 1
"""
    printed = helpers.run_python(f"import sys; sys.stderr = sys.stdout\n{code}")
    assert "optimal-dp" in printed
    assert "error: this needs torch; install it with: pip install 'pl-env[agents]'" in printed


@pytest.fixture(scope="module")
def completion(tmp_path_factory):
    """What bash offers after words, the last of which is being typed."""
    script = tmp_path_factory.mktemp("completion") / "pl-env.bash"
    code = "import sys; from agents.console import main; sys.exit(main(['--tyro-print-completion', 'bash']))"
    script.write_text(helpers.run_python(code))

    def offered(*words: str) -> list[str]:
        typed = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
        command = f'source {script}; {typed}; _tyro_pl_env; echo "${{COMPREPLY[@]}}"'
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.split()

    return offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pl-env", "comp"], ["compare"]),
        (["pl-env", "evaluate", "--opt"], ["--optimum"]),
        (["pl-env", "train", "tin"], ["tiny"]),
        (["pl-env", "train", "slide", "--res"], ["--resume"]),
    ],
)
def test_bash_completes(completion, words, offered):
    assert completion(*words) == offered
