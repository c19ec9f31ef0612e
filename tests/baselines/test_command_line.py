from __future__ import annotations

import json
import subprocess
import sys

import pytest

import pl_env
from baselines import evaluation
from baselines.__main__ import main
from tests import helpers


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


# ---------------------------------------------------------------- evaluate


MODULE = """
import numpy as np

def function(observation, info):
    return int(np.argmax(info["action_mask"]))

class Policy:
    def __init__(self, name="mine"):
        self.name = name
    def act(self, observation, info, env):
        return function(observation, info)

class Needy:
    def __init__(self, name):
        self.name = name
    def act(self, observation, info, env):
        return 0

def factory():
    return Policy()

policy = Policy()
number = 7
"""


@pytest.fixture
def my_module(tmp_path, monkeypatch):
    (tmp_path / "my_policies.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import a_package_that_nobody_has")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # for workers
    yield "my_policies"
    sys.modules.pop("my_policies", None)


def test_evaluate_on_a_set_without_torch(tmp_path, my_module):
    """Solvers and a policy of one's own, in an environment that has only what `baselines` needs."""
    out = tmp_path / "result.json"
    code = (
        helpers.WITHOUT_TORCH
        + f"""
from baselines.__main__ import main
sys.path.insert(0, {str(tmp_path)!r})
assert main(["evaluate", "--set", "general-hard-100", "--solver", "greedy", "exact", "--policy",
             "my_policies:policy", "--episodes", "2", "--out", {str(out)!r}]) == 0
assert "torch" not in sys.modules
"""
    )
    printed = helpers.run_python(code)
    saved = json.loads(out.read_text())
    benchmark = pl_env.benchmark("general-hard-100")
    assert saved["episodes"]["set_sha256"] == benchmark.content_hash()
    assert saved["results"]["exact"]["objective"] == benchmark.objective[:2].tolist()
    assert saved["results"]["exact"]["gap"] == 0
    assert saved["policies"]["my_policies:policy"] == "my_policies:Policy"
    for word in ("greedy", "exact", "my_policies:policy", "0.00 %", f"written: {out}"):
        assert word in printed


def test_importing_baselines_loads_no_torch():
    helpers.run_python("import sys, baselines; assert not {'torch', 'tqdm', 'stable_baselines3'} & set(sys.modules)")


def test_evaluate_on_a_preset_with_workers(capsys, tmp_path, my_module):
    names = [f"{my_module}:{name}" for name in ("function", "Policy", "factory", "policy")]
    arguments = ["--scenario", "bls", "--episodes", "4", "--seed", "3", "--solver", "random", "--policy", *names]
    for workers in ("1", "2"):
        out = ["--workers", workers, "--out", str(tmp_path / workers)]
        assert main(["evaluate", *arguments, *out]) == 0
    one, two = (json.loads((tmp_path / workers).read_text())["results"] for workers in ("1", "2"))
    assert {name: one[name]["objective"] for name in one} == {name: two[name]["objective"] for name in two}
    assert len({tuple(one[name]["objective"]) for name in names}) == 1
    assert set(one) == {"random", *names}


def test_the_result_is_written_before_it_is_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation.Evaluation, "__str__", lambda self: pytest.fail("no terminal"))
    with pytest.raises(pytest.fail.Exception, match="no terminal"):
        main(
            ["evaluate", "--scenario", "tiny", "--solver", "greedy", "--episodes", "2", "--out", str(tmp_path / "out")]
        )
    assert (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--solver", "greedy"], "error: --set and --scenario is []; it must be one of the two"),
        (["--set", "bls-100", "--scenario", "bls", "--solver", "greedy"], "error: --set and --scenario is ['bls-100'"),
        (["--scenario", "bls"], "error: --solver and --policy is []; it must be at least one of the two"),
        (["--set", "nowhere", "--solver", "greedy"], "error: there is no preset or benchmark set 'nowhere'; known are"),
        (["--scenario", "bls", "--solver", "magic"], "error: there is no solver 'magic'; known are"),
        (["--scenario", "bls", "--policy", "policy"], "error: --policy is 'policy'; it must be module:attribute"),
        (
            ["--scenario", "bls", "--policy", "nowhere:x"],
            "error: --policy is 'nowhere:x'; there is no module 'nowhere'",
        ),
        (["--scenario", "bls", "--policy", "broken:x"], "error: --policy is 'broken:x'; its module needs a_package_th"),
        (["--scenario", "bls", "--policy", "my_policies:x"], "error: --policy is 'my_policies:x'; my_policies has no"),
        (["--scenario", "bls", "--policy", "my_policies:Needy"], "error: --policy is 'my_policies:Needy'; it must be"),
        (
            ["--scenario", "bls", "--policy", "my_policies:number"],
            "error: policies['my_policies:number'] is 7; it must",
        ),
    ],
)
def test_a_mistake_in_evaluate_prints_one_sentence(capsys, my_module, arguments, message):
    assert main(["evaluate", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert len(captured.err.strip().splitlines()) == 1


@pytest.mark.parametrize("words", ["compare --preset tiny", "evaluate --scenario tiny --solver greedy --episodes 2"])
def test_where_nothing_can_be_written_one_sentence_says_so_and_no_result_is_printed(capsys, tmp_path, words):
    """A file stands in the place of the folder: for root no folder is read-only."""
    (tmp_path / "file").write_bytes(b"")
    out = tmp_path / "file" / "x"
    assert main([*words.split(), "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == f"error: {out}: File exists"
    assert main([*words.split(), "--out", str(tmp_path / "new" / "x")]) == 0
    assert (tmp_path / "new" / "x").exists()
