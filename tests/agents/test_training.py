from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import agents
import pl_env
import train as train_script
from agents import training
from agents.checkpoint import load_checkpoint
from agents.partial_loading.recipes import RECIPES

REPOSITORY = Path(__file__).parents[2]


def assert_same_weights(one: agents.Agent, two: agents.Agent) -> None:
    for name, tensor in one.network.state_dict().items():
        torch.testing.assert_close(two.network.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.fixture
def family(tiny) -> agents.Family:
    return agents.Family(tiny)


def test_learning_happens(family, tmp_path):
    """On a problem of three models an agent closes most of the distance from random to optimal in some seconds."""
    imitation = agents.ImitationConfig(rounds=12, episodes=64, minibatch_size=64, learning_rate=5e-3, averaging=0.1)
    config = agents.TrainingConfig(width=32, imitation=imitation)
    agent = agents.train(family, config, tmp_path, progress=False).agent
    policies = {"agent": agent, "optimal": "optimal-dp", "random": "random"}
    result = agents.evaluate(policies, family.scenario, episodes=200, seed=5)
    distance = result["optimal"].mean - result["random"].mean
    assert result["agent"].mean > result["random"].mean + 0.6 * distance
    assert result["agent"].low > result["random"].high


def test_a_run_leaves_a_checkpoint_a_curve_and_tensorboard_logs(family, quick_config, tmp_path):
    result = agents.train(family, quick_config, tmp_path, progress=False)
    assert [(point["round"], point["stage"]) for point in result.curve] == [
        (0, "imitation"),
        (1, "imitation"),
        (2, "fine-tuning"),
        (3, "fine-tuning"),
    ]
    loaded = agents.load(tmp_path / "checkpoint")
    assert_same_weights(loaded, result.agent)
    assert loaded.trained_on["rounds"] == 4
    assert pl_env.Scenario.from_dict(loaded.trained_on["family"]["scenario"], family.scenario.library)
    assert list(tmp_path.glob("tensorboard/events*"))


def test_the_same_seed_gives_the_same_agent(family, quick_config, tmp_path):
    first = agents.train(family, quick_config, tmp_path / "1", progress=False).agent
    second = agents.train(family, quick_config, tmp_path / "2", progress=False).agent
    third = agents.train(family, dataclasses.replace(quick_config, seed=1), tmp_path / "3", progress=False).agent
    assert_same_weights(first, second)
    weights = [agent.network.state_dict()["encode.0.weight"] for agent in (first, third)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_run_that_stops_anywhere_resumes_to_the_same_bits(family, quick_config, tmp_path, monkeypatch, stop_after):
    """Within the first stage, between the two, and within the second; a stop within a round loses that round."""
    whole = agents.train(family, quick_config, tmp_path / "whole", progress=False)
    save = training.save_checkpoint
    saved = []

    def stop(*arguments):
        if len(saved) == stop_after:
            raise KeyboardInterrupt
        saved.append(save(*arguments))

    monkeypatch.setattr(training, "save_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        agents.train(family, quick_config, tmp_path / "cut", progress=False)
    monkeypatch.undo()
    resumed = agents.train(family, quick_config, tmp_path / "cut", resume=True, progress=False)
    assert_same_weights(whole.agent, resumed.agent)
    without_clock = [[{**point, "seconds": 0} for point in result.curve] for result in (whole, resumed)]
    assert without_clock[0] == without_clock[1]
    parts = [load_checkpoint(tmp_path / name / "checkpoint", "training")[1]["training"] for name in ("whole", "cut")]
    assert parts[0].keys() == parts[1].keys()
    for name, tensor in parts[0].items():
        torch.testing.assert_close(parts[1][name], tensor, rtol=0, atol=0)


def test_resume_of_a_finished_run_changes_nothing(family, quick_config, tmp_path):
    first = agents.train(family, quick_config, tmp_path, progress=False)
    again = agents.train(family, quick_config, tmp_path, resume=True, progress=False)
    assert again.curve == first.curve
    assert_same_weights(first.agent, again.agent)


def test_a_folder_with_a_run_is_not_overwritten(family, quick_config, tmp_path):
    agents.train(family, quick_config, tmp_path, progress=False)
    with pytest.raises(pl_env.InvalidValue, match="must be a folder without a checkpoint, or be given with resume"):
        agents.train(family, quick_config, tmp_path, progress=False)


def test_resume_of_something_else_is_refused(family, quick_config, tmp_path):
    agents.train(family, quick_config, tmp_path, progress=False)
    more_epochs = dataclasses.replace(quick_config, imitation=dataclasses.replace(quick_config.imitation, epochs=3))
    for other, config, message in (
        (
            agents.Family(family.scenario.override(max_batch_size=3)),
            quick_config,
            "scenario.max_batch_size is 3; it must be 2, as in the family",
        ),
        (family, dataclasses.replace(quick_config, width=16), "width is 16; it must be 8, as in the config"),
        (family, more_epochs, "imitation.epochs is 3; it must be 2, as in the config"),
    ):
        with pytest.raises(pl_env.InvalidValue, match=message):
            agents.train(other, config, tmp_path, resume=True, progress=False)


def test_resume_without_a_run_or_with_an_agent_only(family, quick_config, agent, tmp_path):
    with pytest.raises(pl_env.FileFormatError, match=r"checkpoint\.json: cannot be read"):
        agents.train(family, quick_config, tmp_path, resume=True, progress=False)
    agent.save(tmp_path / "checkpoint")
    with pytest.raises(pl_env.FileFormatError, match=r"training\.safetensors: cannot be read"):
        agents.train(family, quick_config, tmp_path, resume=True, progress=False)


def test_fine_tuning_plays_one_scenario(quick_config, tmp_path):
    with pytest.raises(pl_env.InvalidValue, match=r"fine_tuning\.rounds is 2; it must be 0 where deadline or theta"):
        agents.train(agents.Family.named("any-library"), quick_config, tmp_path, progress=False)


SMALL = ["--scenario", "tiny", "--width", "8", "--layers", "1", "--heads", "2", "--episodes", "5"]
SMALL += ["--imitation.episodes", "8", "--imitation.rounds", "60", "--samples", "2", "--sampled-episodes", "2"]


def run_train(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "train.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_train_script_survives_a_kill_with_the_same_result(tmp_path):
    """Kill it in the middle of training; --resume ends with the weights of a run that nobody killed."""
    arguments = train_script.parse(SMALL)
    whole = agents.train(agents.Family.named("tiny"), arguments.training, tmp_path / "whole", progress=False)
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
    assert_same_weights(whole.agent, agents.load(tmp_path / "killed" / "checkpoint"))
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
        (["--scenario", "nowhere"], "error: there is no preset 'nowhere'; known are: bls, fading"),
        (["--override", "n_users=0"], "error: n_users is 0; it must be an integer from 1"),
        (["--override", "users=3"], "error: there is no scenario field 'users'"),
        (["--override", "n_users"], "error: override is 'n_users'; it must be field=value"),
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
        train_script.parse(["--imitation.epochs", "0"])
    words = capsys.readouterr().err.replace("│", " ").split()
    assert "epochs is 0; it must be an integer of at least 1" in " ".join(words)


def test_the_scenario_sets_the_default_training():
    for name, config in RECIPES.items():
        assert train_script.parse(["--scenario", name]).training == config
    assert train_script.parse(["--scenario=fading"]).training == RECIPES["fading"]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field.name)
        for kind in (agents.TrainingConfig, agents.ImitationConfig, agents.FineTuningConfig)
        for field in dataclasses.fields(kind)
        if field.name not in ("imitation", "fine_tuning", "masks", "initial")
    ],
)
def test_every_training_argument_is_checked(kind, field):
    with pytest.raises(pl_env.InvalidValue, match=f"{field} is -1; it must be"):
        kind(**{field: -1})


def test_a_watcher_sees_every_round(family, quick_config, tmp_path):
    seen = []
    agents.train(family, quick_config, tmp_path, progress=False, watch=lambda agent, states: seen.append(states))
    assert len(seen) == 4
    assert seen == sorted(seen)


def test_a_run_of_which_only_the_older_checkpoint_is_left_is_a_run(tiny, quick_config, tmp_path):
    agents.train(agents.Family(tiny), quick_config, tmp_path, progress=False)
    os.rename(tmp_path / "checkpoint", tmp_path / "checkpoint.old")
    with pytest.raises(pl_env.InvalidValue, match="a folder without a checkpoint"):
        agents.train(agents.Family(tiny), quick_config, tmp_path, progress=False)
    result = agents.train(agents.Family(tiny), quick_config, tmp_path, progress=False, resume=True)
    assert len(result.curve) == quick_config.rounds


def test_a_scenario_in_which_nothing_can_be_served(tiny, quick_config, tmp_path):
    with pytest.raises(pl_env.InvalidValue, match="one in which some episode has a legal action"):
        agents.train(agents.Family(tiny.override(deadline=1e-6)), quick_config, tmp_path, progress=False)


def test_rounds_without_a_state_to_learn_from(tmp_path):
    """One user: its model's batch of one is all there is, and the learner is sure of it."""
    imitation = agents.ImitationConfig(rounds=2, episodes=2, teacher_rounds=0, easy_share=0.0)
    config = agents.TrainingConfig(seed=np.int64(1), width=8, layers=1, heads=2, imitation=imitation)
    scenario = pl_env.Scenario.preset("bls", n_models=1, n_users=1)
    result = agents.train(agents.Family(scenario), config, tmp_path, progress=False)
    assert [point["states"] for point in result.curve] == [0, 0]


def test_a_plan_needs_one_library_to_be_fine_tuned(quick_config, tmp_path):
    config = dataclasses.replace(quick_config, planned_values=True)
    with pytest.raises(pl_env.InvalidValue, match="planned_values is True; it must be False to fine-tune"):
        agents.train(agents.Family(pl_env.Scenario(resample_library=True)), config, tmp_path, progress=False)


def test_an_update_of_a_single_step_is_refused():
    with pytest.raises(pl_env.InvalidValue, match="such that 9 steps do not leave 1 over"):
        agents.FineTuningConfig(n_envs=3, rollout_steps=3, minibatch_size=8)
