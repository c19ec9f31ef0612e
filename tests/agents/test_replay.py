"""Result files that anybody can play again: a true one holds, a forged one is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.console import main
from baselines import results
from baselines.evaluation import PolicyResult
from pl_env.errors import FileFormatError
from tests import helpers

EPISODES = 5
TRAP = "def policy(observation, info):\n    raise SystemExit('ran')\nopen('ran', 'w').close()\n"


@pytest.fixture(scope="module")
def true_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("results") / "result.json"
    words = ["evaluate", "--set", "bls-100", "--solver", "greedy", "random", "--episodes", str(EPISODES)]
    assert main([*words, "--seed", "3", "--out", str(file)]) == 0
    return file


@pytest.fixture
def content(true_file) -> dict:
    return json.loads(true_file.read_text())


def write(content: dict, folder: Path) -> Path:
    (folder / "forged.json").write_text(json.dumps(content))
    return folder / "forged.json"


def better(content: dict) -> dict:
    """One episode of greedy's is said to be better than it was, and everything that follows agrees."""
    greedy = content["results"]["greedy"]
    greedy["objective"][2] += 1 / 80
    forged = PolicyResult(np.array(greedy["objective"]), np.array(content["optimum"]), greedy["decision_seconds"])
    greedy |= forged.to_dict()
    return content


def test_a_true_file_holds(true_file, capsys):
    assert main(["replay", str(true_file)]) == 0
    assert f"2 of 2 policies give the same in all {EPISODES} episodes" in capsys.readouterr().out


def test_an_agent_of_the_package_is_found_by_name(tmp_path, capsys):
    file = tmp_path / "result.json"
    words = ["evaluate", "--set", "bls-100", "--agent", "bls", "--samples", "2", "--rollouts", "2", "--episodes", "2"]
    assert main([*words, "--out", str(file)]) == 0
    assert list(results.read(file).results) == ["agent bls", "agent bls-2", "agent bls-rollout-2"]
    assert main(["replay", str(file)]) == 0
    assert "3 of 3 policies give the same" in capsys.readouterr().out


def test_a_folder_may_be_named_like_a_search(agent, tmp_path, capsys):
    file, folder = tmp_path / "result.json", tmp_path / "mine-rollout"
    agent.save(folder)
    words = ["evaluate", "--set", "bls-100", "--agent", str(folder), "--samples", "2", "--rollouts", "2"]
    assert main([*words, "--episodes", "1", "--out", str(file)]) == 0
    assert main(["replay", str(file), "--agent", str(folder)]) == 0
    assert "3 of 3 policies give the same" in capsys.readouterr().out


def test_a_forged_episode_is_refused(content, tmp_path, capsys):
    file = write(better(content), tmp_path)
    results.read(file)  # in itself it is sound
    assert main(["replay", str(file)]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("error: results['greedy'].objective[2] is 0.")
    assert said.endswith("as played again")
    assert main(["replay", str(file), "--skip", "greedy"]) == 0


def change(path: str, value: object):
    def forge(content: dict) -> dict:
        *groups, last = path.split("/")
        place = content
        for group in groups:
            place = place[group]
        place[int(last) if isinstance(place, list) else last] = value
        return content

    return forge


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (
            change("results/greedy/mean", 0.9),
            r"'greedy'\].mean is 0.9; it must be 0\.\d+, as its episodes say",
        ),
        (change("results/greedy/low", None), r"results\['greedy'\].low is None; it must be 0"),
        (change("results/greedy/gap", -1), "gap is -1; it must be"),
        (change("results/greedy/objective/0", 1e999), "objective.0. is inf; it must be a finite number"),
        (change("results/greedy/objective", [0.5]), "is 1; it must be 5, one per episode"),
        (change("results/greedy/illegal", -1), "illegal is -1"),
        (change("results/greedy/decision_seconds", "fast"), "decision_seconds is 'fast'"),
        (change("results", {}), "at least one policy"),
        (change("optimum/1", 0.1), "optimum is .* it must be the set's own"),
        (change("episodes/set_sha256", "0" * 64), "set_sha256 is '0000"),
        (change("episodes/set", "easy-100"), "there is no benchmark set 'easy-100'"),
        (change("episodes/episodes", 101), "episodes is 101; it must be an integer from 1 to 100"),
        (change("kind", "checkpoint"), "kind is 'checkpoint'"),
        (change("episodes", 3), "no sound result file"),
    ],
)
def test_what_needs_no_playing_is_refused_at_once(content, tmp_path, forge, message):
    with pytest.raises(FileFormatError, match=message):
        results.read(write(forge(content), tmp_path))


def test_no_file_and_no_json(tmp_path, capsys):
    (tmp_path / "noise.json").write_bytes(bytes(range(256)))
    assert main(["replay", str(tmp_path / "noise.json")]) == 1
    assert main(["replay", str(tmp_path / "missing.json")]) == 1
    said = capsys.readouterr().err
    assert "no sound result file" in said
    assert "No such file" in said


def test_code_that_a_file_names_is_not_run(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "trap_of_replay.py").write_text(TRAP)
    content["results"] = {"trap_of_replay:policy": content["results"]["greedy"]}
    assert main(["replay", str(write(content, tmp_path))]) == 1
    assert "there is no player without --policy, --agent or --skip 'trap_of_replay:policy'" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_solvers_are_played_again_without_torch(true_file):
    code = f"{helpers.WITHOUT_TORCH}\nfrom agents.console import main\nassert main(['replay', {str(true_file)!r}]) == 0"
    assert "2 of 2 policies" in helpers.run_python(code)
