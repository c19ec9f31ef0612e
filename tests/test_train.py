"""train.py, which is `python -m agents train`: what its command line understands, refuses and leaves behind."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch

import agents
import pl_env
from agents import train_command
from agents.checkpoint import load_checkpoint
from agents.jobs import jobs
from agents.partial_loading.recipes import COMPILED_RECIPES, RECIPES
from pl_env.systems import SYSTEMS

REPOSITORY = Path(__file__).parents[1]

SMALL = ["tiny", "--width", "8", "--layers", "1", "--heads", "2", "--episodes", "5"]
SMALL += ["--imitation.episodes", "8", "--imitation.rounds", "60", "--samples", "2", "--sampled-episodes", "2"]


def run_train(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_train_script_survives_a_kill_with_the_same_result(tmp_path):
    """Kill it in the middle of training; --resume ends with the weights of a run that nobody killed."""
    arguments = train_command.parse(SMALL)
    whole = agents.train(agents.Family.named("tiny"), arguments.job.training, tmp_path / "whole", progress=False)
    command = [sys.executable, str(REPOSITORY / "train.py"), *SMALL, "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    header = tmp_path / "killed" / "checkpoint" / "checkpoint.json"
    while not header.exists():
        assert process.poll() is None, "training ended before its first checkpoint"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert load_checkpoint(tmp_path / "killed" / "checkpoint")[0]["training"]["rounds_done"] < 60

    finished = run_train(*SMALL, "--out", str(tmp_path / "killed"), "--resume")
    assert finished.returncode == 0, finished.stderr
    killed = agents.load(tmp_path / "killed" / "checkpoint")
    torch.testing.assert_close(killed.network.state_dict(), whole.agent.network.state_dict(), rtol=0, atol=0)
    assert "gap to optimum" in finished.stdout
    for name in ("learning_curve.png", "served_ratio.png", "gantt.png"):
        assert (tmp_path / "killed" / name).read_bytes().startswith(b"\x89PNG")
    results = json.loads((tmp_path / "killed" / "results.json").read_text())["results"]
    names = ["agent", "optimal-dp", "greedy", "paper-dp", "paper-greedy", "independent", "max-overlap", "random"]
    assert list(results) == names
    assert results["optimal-dp"]["gap"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: there is no preset 'nowhere'; known are: any-library, any-library-fast, bls, bls-fast"),
        (["--scenario.n-users", "0"], "error: n_users is 0; it must be an integer from 1"),
        (["tiny", "--scenario.n-models", "4"], "error: n_models is 4; it must be 3, as in the library"),
        (
            ["--scenario.theta", "0.5", "0.6"],
            "error: theta is (0.5, 0.6); it must be None unless scenario.resample_library",
        ),
        (
            ["--override", "n_users=60"],
            "error: --scenario NAME and --override FIELD=VALUE are spelt otherwise now: python",
        ),
        (
            ["--scenario=bls"],
            "error: --scenario NAME and --override FIELD=VALUE are spelt otherwise now: python train.py",
        ),
    ],
)
def test_train_script_says_what_is_wrong_and_writes_nothing(tmp_path, arguments, message):
    result = run_train(*arguments, "--out", str(tmp_path / "run"))
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_train_script_says_which_stages_argument_is_wrong(capsys):
    with pytest.raises(SystemExit):
        train_command.parse(["--imitation.epochs", "0"])
    words = capsys.readouterr().err.replace("│", " ").split()
    assert "epochs is 0; it must be an integer of at least 1" in " ".join(words)


@pytest.mark.parametrize("words", ["--scenario.users 3", "bls --scenario.n-users 1 2 3", "--out x any-library"])
def test_what_the_command_line_cannot_read_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        train_command.parse(words.split())
    assert stopped.value.code == 2
    assert words.split()[-1] in capsys.readouterr().err


def test_the_name_sets_the_default_training():
    for name, config in RECIPES.items():
        assert train_command.parse([name]).job.training == config
    for name, compiled in COMPILED_RECIPES.items():
        job = train_command.parse([name]).job
        assert job.training == compiled
        assert job.family == agents.Family.named(name.removesuffix("-fast"))
    assert train_command.parse([]).job.name == train_command.parse(["--resume"]).job.name == "bls"
    assert train_command.parse([]).out == Path("runs/bls")
    for name in (*pl_env.Scenario.presets(), agents.ANY_LIBRARY):
        assert train_command.parse([name]).job.family == agents.Family.named(name)


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ("--scenario.n-users 60", {"n_users": 60}),
        ("--scenario.n-users 40 120 --scenario.deadline 0.5", {"n_users": (40, 120), "deadline": 0.5}),
        ("--scenario.backbones resnet18 resnet50", {"backbones": ("resnet18", "resnet50")}),
        ("bls --scenario.fading batch", {"fading": "batch"}),
        ("bls --scenario.deadline 0.4 0.9", {"deadline": (0.4, 0.9)}),
        ("any-library --scenario.deadline 0.7", {"deadline": 0.7}),
        ("any-library --scenario.theta 0.8 0.9 --scenario.n-users 50", {"theta": (0.8, 0.9), "n_users": 50}),
        ("any-library --scenario.no-resample-library", {"resample_library": False}),
    ],
)
def test_scenario_fields_are_typed_arguments(words, overrides):
    job = train_command.parse(words.split()).job
    assert job.family == agents.Family.named(job.name, **overrides)


def test_training_arguments_have_short_names():
    words = "fading --imitation.rounds 4 --seed 3 --fine-tuning.rounds 1 --out x --samples 0"
    arguments = train_command.parse(words.split())
    before = RECIPES["fading"]
    assert arguments.job.training == dataclasses.replace(
        before,
        seed=3,
        imitation=dataclasses.replace(before.imitation, rounds=4),
        fine_tuning=agents.FineTuningConfig(rounds=1),
    )
    assert (arguments.out, arguments.job.samples) == (Path("x"), 0)


def help_of(capsys, *words: str) -> list[str]:
    with pytest.raises(SystemExit) as stopped:
        train_command.parse([*words, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out.splitlines()


def test_help_is_short(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    names = help_of(capsys)
    assert len(names) < 10 + 2 * len(jobs())  # a line or two for each, and a few
    for name in jobs():
        assert any(f"• {name} " in line for line in names)
    text = "\n".join(help_of(capsys, "any-library"))
    assert len(text.splitlines()) < 160
    for word in ("--scenario.n-users", "(default: 20 200)", "--imitation.rounds", "--resume", "--samples"):
        assert word in text
    assert "--scenario.server" not in text
    assert "--name" not in text


def test_another_systems_jobs_go_by_the_systems_name(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Job:
        name: str
        description: str = ""
        speed: float = 1.0

    room = ModuleType("agents.toy")
    room.__spec__ = ModuleSpec("agents.toy", None)
    room.JOBS = {name: Job(name) for name in ("easy", "hard")}
    monkeypatch.setitem(sys.modules, "agents.toy", room)
    monkeypatch.setitem(SYSTEMS, "toy", {})
    monkeypatch.setitem(SYSTEMS, "toy_without_agents", {})
    assert train_command.parse(["toy"]).job == train_command.parse(["toy/easy"]).job == Job("easy")
    arguments = train_command.parse(["toy/hard", "--speed", "2"])
    assert (arguments.job, arguments.out) == (Job("hard", speed=2.0), Path("runs/toy/hard"))
    assert train_command.parse([]).job.name == "bls"


def test_results_are_on_disk_before_they_are_printed(tmp_path, monkeypatch, capsys):
    arguments = train_command.parse([*SMALL, "--imitation.rounds", "1", "--samples", "0", "--out", str(tmp_path)])
    written = []
    monkeypatch.setattr("builtins.print", lambda *_, **__: written.append((tmp_path / "results.json").exists()))
    train_command.run(arguments)
    assert written
    assert all(written)
    assert "sampled_results" not in json.loads((tmp_path / "results.json").read_text())


@pytest.mark.parametrize(
    ("words", "trained_on", "episodes"),
    [
        ("bls", "bls", "bls"),
        ("bls --scenario.n-users 20 30", "bls, n_users 20 to 30", "bls, n_users 20 to 30"),
        ("bls --scenario.backbones resnet18 resnet50", *["bls, backbones resnet18 resnet50"] * 2),
        (
            "any-library --scenario.n-users 60 --scenario.deadline 0.5 0.6",
            "any-library, n_users 60, deadline 0.5 to 0.6",
            "any-library, n_users 60, deadline 0.7, theta 0.85, n_models 50, bandwidth_hz 200000000.0, sharing bls",
        ),
    ],
)
def test_the_report_says_what_was_overridden(words, trained_on, episodes):
    job = train_command.parse(words.split()).job
    assert job.trained_on() == trained_on
    assert job.episodes() == episodes


def test_the_report_and_its_plots_say_what_is_shown(tmp_path, monkeypatch, capsys):
    """The titles, and a panel each for the share that is reached and the users lost."""
    drawn = {}
    monkeypatch.setattr(train_command, "save_figure", lambda figure, path: drawn.update({path.name: figure}))
    words = [*SMALL, "--scenario.n-users", "4", "--imitation.rounds", "4", "--samples", "0", "--out", str(tmp_path)]
    train_command.run(train_command.parse(words))
    assert "5 unseen episodes of tiny, n_users 4; the same for everybody" in capsys.readouterr().out
    curve = drawn["learning_curve.png"]
    assert curve.get_suptitle() == "training on tiny, n_users 4"
    reached, regret = curve.axes
    assert "share of its teacher's value" in reached.get_ylabel()
    assert "users lost" in regret.get_ylabel()
    points = json.loads((tmp_path / "results.json").read_text())["learning_curve"]
    shown = [point["reached"] for point in points if "reached" in point]
    assert len(shown) >= 1
    assert reached.lines[0].get_ydata().tolist() == shown
    assert drawn["served_ratio.png"].axes[0].get_title() == "tiny, n_users 4"


def test_where_nothing_can_be_written_one_sentence_says_so(tmp_path):
    """A file stands in the place of the folder: for root no folder is read-only."""
    (tmp_path / "file").write_bytes(b"")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        result = run_train(*SMALL, "--out", str(out))
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert result.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'file'}")
        assert result.stdout == ""
