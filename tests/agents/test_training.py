from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import agents
import pl_env
from agents.checkpoint import load_checkpoint

REPOSITORY = Path(__file__).parents[2]


def test_learning_happens(tiny, tmp_path):
    """On a problem of three models an agent closes most of the distance from random to optimal in some seconds."""
    config = agents.TrainingConfig(
        timesteps=6000, n_envs=8, rollout_steps=64, minibatch_size=128, learning_rate=3e-3, width=32
    )
    agent = agents.train(tiny, config, tmp_path, progress=False).agent
    policies = {"agent": agent, "optimal": "optimal-dp", "random": "random"}
    result = agents.evaluate(policies, tiny, episodes=300, seed=5)
    distance = result["optimal"].mean - result["random"].mean
    assert result["agent"].mean > result["random"].mean + 0.6 * distance
    assert result["agent"].low > result["random"].high


def test_a_run_leaves_a_checkpoint_a_curve_and_tensorboard_logs(tiny, quick_config, tmp_path):
    result = agents.train(tiny, quick_config, tmp_path, progress=False)
    assert [point["timesteps"] for point in result.curve] == [32, 64]
    loaded = agents.load(tmp_path / "checkpoint")
    for name, tensor in result.agent.network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], tensor, rtol=0, atol=0)
    assert loaded.trained_on["timesteps"] == 64
    assert pl_env.Scenario.from_dict(loaded.trained_on["scenario"], tiny.library) == tiny
    assert list(tmp_path.glob("tensorboard/*/events*"))


def test_the_same_seed_gives_the_same_agent(tiny, quick_config, tmp_path):
    first = agents.train(tiny, quick_config, tmp_path / "1", progress=False).agent
    second = agents.train(tiny, quick_config, tmp_path / "2", progress=False).agent
    other = dataclasses.replace(quick_config, seed=1)
    third = agents.train(tiny, other, tmp_path / "3", progress=False).agent
    weights = [agent.network.state_dict()["encode.0.weight"] for agent in (first, second, third)]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert not torch.equal(weights[0], weights[2])


def test_resume_goes_on_where_the_run_stopped(tiny, quick_config, tmp_path):
    agents.train(tiny, quick_config, tmp_path, progress=False)
    before, _ = load_checkpoint(tmp_path / "checkpoint")
    longer = dataclasses.replace(quick_config, timesteps=128)
    result = agents.train(tiny, longer, tmp_path, resume=True, progress=False)
    after, parts = load_checkpoint(tmp_path / "checkpoint", "training")
    assert [point["timesteps"] for point in result.curve] == [32, 64, 96, 128]
    assert (before["training"]["timesteps_done"], after["training"]["timesteps_done"]) == (64, 128)
    assert after["training"]["updates"] == 2 * before["training"]["updates"]
    assert parts["training"]["0.step"] == after["training"]["updates"] * 2  # two minibatches an epoch: Adam went on


def test_resume_of_a_finished_run_changes_nothing(tiny, quick_config, tmp_path):
    first = agents.train(tiny, quick_config, tmp_path, progress=False)
    again = agents.train(tiny, quick_config, tmp_path, resume=True, progress=False)
    assert again.curve == first.curve
    for name, tensor in first.agent.network.state_dict().items():
        torch.testing.assert_close(again.agent.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_folder_with_a_run_is_not_overwritten(tiny, quick_config, tmp_path):
    agents.train(tiny, quick_config, tmp_path, progress=False)
    with pytest.raises(pl_env.InvalidValue, match="must be a folder without a checkpoint, or be given with resume"):
        agents.train(tiny, quick_config, tmp_path, progress=False)


def test_resume_of_something_else_is_refused(tiny, quick_config, tmp_path):
    agents.train(tiny, quick_config, tmp_path, progress=False)
    for scenario, config, message in (
        (tiny.override(max_batch_size=3), quick_config, "max_batch_size is 3; it must be 2, as in the scenario"),
        (tiny, dataclasses.replace(quick_config, width=16), "width is 16; it must be 8, as in the config"),
    ):
        with pytest.raises(pl_env.InvalidValue, match=message):
            agents.train(scenario, config, tmp_path, resume=True, progress=False)


def test_resume_without_a_run_or_with_an_agent_only(tiny, quick_config, agent, tmp_path):
    with pytest.raises(pl_env.FileFormatError, match=r"checkpoint\.json: cannot be read"):
        agents.train(tiny, quick_config, tmp_path, resume=True, progress=False)
    agent.save(tmp_path / "checkpoint")
    with pytest.raises(pl_env.FileFormatError, match=r"training\.safetensors: cannot be read"):
        agents.train(tiny, quick_config, tmp_path, resume=True, progress=False)


def run_train(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def test_train_script_survives_a_kill(tmp_path):
    """Kill it in the middle of training; --resume goes on and leaves everything that a whole run leaves."""
    arguments = ["--scenario", "tiny", "--out", str(tmp_path), "--n-envs", "2", "--rollout-steps", "32"]
    arguments += ["--minibatch-size", "32", "--width", "8", "--episodes", "5"]
    command = [sys.executable, str(REPOSITORY / "train.py"), *arguments, "--timesteps", "1000000"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    header = tmp_path / "checkpoint" / "checkpoint.json"
    while not header.exists():
        assert process.poll() is None, "training ended before its first checkpoint"
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = load_checkpoint(tmp_path / "checkpoint")[0]["training"]["timesteps_done"]
    assert 64 <= done < 1_000_000

    finished = run_train(*arguments, "--timesteps", str(done + 128), "--resume")
    assert finished.returncode == 0, finished.stderr
    assert "gap to optimum" in finished.stdout
    for name in ("learning_curve.png", "served_ratio.png", "gantt.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    results = json.loads((tmp_path / "results.json").read_text())
    names = ["agent", "optimal-dp", "greedy", "paper-dp", "paper-greedy", "independent", "max-overlap", "random"]
    assert list(results["results"]) == names
    assert results["results"]["optimal-dp"]["gap"] == 0
    assert results["learning_curve"][-1]["timesteps"] >= done + 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "nowhere"], "error: there is no preset 'nowhere'; known are: bls, fading"),
        (["--override", "n_users=0"], "error: n_users is 0; it must be an integer from 1"),
        (["--override", "users=3"], "error: there is no scenario field 'users'"),
        (["--override", "n_users"], "error: override is 'n_users'; it must be field=value"),
        (["--timesteps", "0"], "error: timesteps is 0; it must be an integer of at least 1"),
    ],
)
def test_train_script_says_what_is_wrong_and_writes_nothing(tmp_path, arguments, message):
    result = run_train(*arguments, "--out", str(tmp_path / "run"))
    assert result.returncode == 1
    assert result.stderr.startswith(message)
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(agents.TrainingConfig)])
def test_every_training_argument_is_checked(field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is -1; it must be"):
        agents.TrainingConfig(**{field: -1})
