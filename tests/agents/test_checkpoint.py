from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save

import agents
import agents.partial_loading.recipes
import pl_env
from agents import checkpoint
from agents.agent import TRAINED
from pl_env.seeds import VALIDATION_STREAM


def test_an_agent_survives_the_disk(agent, tmp_path):
    agent.save(tmp_path / "agent")
    loaded = agents.load(tmp_path / "agent")
    assert loaded.trained_on == {"note": "untrained"}
    for name, tensor in agent.network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], tensor, rtol=0, atol=0)
    assert sorted(os.listdir(tmp_path / "agent")) == ["checkpoint.json", "weights.safetensors"]


def test_acts_legally_and_for_one_batch_cap_only(agent):
    env = pl_env.PartialLoadingEnv("bls")
    observation, info = env.reset(seed=0)
    assert env.action_masks()[agent.act(observation, info, env)]
    env = pl_env.PartialLoadingEnv("bls", max_batch_size=4)
    observation, info = env.reset(seed=0)
    with pytest.raises(pl_env.InvalidValue, match="max_batch_size of the environment is 4; it must be 8"):
        agent.act(observation, info, env)


def remove_header(folder):
    (folder / "checkpoint.json").unlink()


def truncate_weights(folder):
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[:100])


def replace_weights_by_a_pickle(folder):
    (folder / "weights.safetensors").write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


def truncate_header(folder):
    content = (folder / "checkpoint.json").read_text()
    (folder / "checkpoint.json").write_text(content[: len(content) // 2])


def edit_header(sign=True, **changes):
    """Change a header, and make its hash fit again, as whoever forges one would."""

    def damage(folder):
        header = json.loads((folder / "checkpoint.json").read_text()) | changes
        if sign:
            header["header_sha256"] = checkpoint._header_hash(header)
        (folder / "checkpoint.json").write_text(json.dumps(header))

    return damage


def write_weights(value):
    """Weights of that value, with hashes that fit."""

    def damage(folder):
        weights = {name: torch.full_like(tensor, value) for name, tensor in load_weights(folder).items()}
        content = save(weights)
        (folder / "weights.safetensors").write_bytes(content)
        edit_header(sha256={"weights": hashlib.sha256(content).hexdigest()})(folder)

    return damage


def load_weights(folder):
    return checkpoint.load_checkpoint(folder, "weights")[1]["weights"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_header, "checkpoint.json: there is no such file"),
        (truncate_header, "checkpoint.json: not JSON, or truncated"),
        (truncate_weights, "weights.safetensors: damaged, its content does not match its hash"),
        (replace_weights_by_a_pickle, "weights.safetensors: damaged"),
        (edit_header(format="something"), "not a checkpoint of an agent"),
        (edit_header(version=99), "format version 99; this release reads version 1"),
        (edit_header(sha256=None), "damaged, it has no hashes"),
        (edit_header(network={"batch_cap": 4, "width": 16}), "its weights do not fit its network"),
        (edit_header(network={"batch_cap": 0}), "its weights do not fit its network"),
        (edit_header(network={"depth": 3}), "its weights do not fit its network"),
        (
            edit_header(sign=False, trained_on={"note": "forged"}),
            "checkpoint.json: damaged, its content does not match",
        ),
        (write_weights(float("nan")), "weights.safetensors: .* holds numbers that are not finite"),
        (write_weights(float("inf")), "weights.safetensors: .* holds numbers that are not finite"),
        (edit_header(system="os"), "an agent of the system 'os', which this release does not have"),
    ],
)
def test_damage_gives_one_clear_error(agent, tmp_path, damage, message):
    agent.save(tmp_path / "agent")
    damage(tmp_path / "agent")
    with pytest.raises(pl_env.FileFormatError, match=message):
        agents.load(tmp_path / "agent")


def test_a_checkpoint_that_names_no_system_is_of_the_first(agent, tmp_path):
    agent.save(tmp_path / "agent")
    header = json.loads((tmp_path / "agent" / "checkpoint.json").read_text())
    assert header.pop("system") == "partial_loading"
    header["header_sha256"] = checkpoint._header_hash(header)
    (tmp_path / "agent" / "checkpoint.json").write_text(json.dumps(header))
    assert type(agents.load(tmp_path / "agent")) is agents.Agent


def test_a_name_without_a_system_is_of_the_first():
    short, long = agents.load("bls"), agents.load("partial_loading/bls")
    torch.testing.assert_close(short.network.state_dict(), long.network.state_dict(), rtol=0, atol=0)


def test_weights_that_are_no_safetensors_though_the_hash_says_so(agent, tmp_path):
    """Somebody may write both files: what is not safetensors is refused, and nothing is unpickled."""
    agent.save(tmp_path / "agent")
    content = pickle.dumps(print)
    (tmp_path / "agent" / "weights.safetensors").write_bytes(content)
    edit_header(sha256={"weights": hashlib.sha256(content).hexdigest()})(tmp_path / "agent")
    with pytest.raises(pl_env.FileFormatError, match="not a safetensors file"):
        agents.load(tmp_path / "agent")


def test_a_failed_write_leaves_the_old_checkpoint_and_no_debris(agent, tmp_path, monkeypatch):
    agent.save(tmp_path / "agent")
    before = (tmp_path / "agent" / "weights.safetensors").read_bytes()

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint, "_replace_folder", full_disk)
    with pytest.raises(OSError, match="no space"):
        agent.save(tmp_path / "agent")
    assert (tmp_path / "agent" / "weights.safetensors").read_bytes() == before
    assert os.listdir(tmp_path) == ["agent"]


def test_a_kill_between_the_two_renames_loses_nothing(agent, tmp_path):
    agent.save(tmp_path / "agent")
    os.rename(tmp_path / "agent", tmp_path / "agent.old")
    loaded = agents.load(tmp_path / "agent")
    for name, tensor in agent.network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_other_peoples_files_are_not_replaced(agent, tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(pl_env.InvalidValue, match=r"folder is .*; it must be new, empty or a checkpoint"):
        agent.save(tmp_path)
    (tmp_path / "agent.old").mkdir()
    (tmp_path / "agent.old" / "backup.txt").write_text("of it")
    with pytest.raises(pl_env.InvalidValue, match=r"agent\.old"):
        agent.save(tmp_path / "agent")
    assert (tmp_path / "thesis.txt").exists()
    assert (tmp_path / "agent.old" / "backup.txt").exists()
    (tmp_path / "empty").mkdir()
    agent.save(tmp_path / "empty")
    agent.save(tmp_path / "empty")


@pytest.mark.parametrize("name", [name for name in agents.trained_agents() if name.startswith("partial_loading/")])
def test_agents_that_come_with_the_package(name):
    """They load by name, are small, and serve more than greedy does."""
    agent = agents.load(name)
    folder = TRAINED / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2_000_000
    preset = name.removeprefix("partial_loading/")
    scenario = agents.Family.named(preset.removesuffix("-fast")).scenario
    policies = {"agent": agent, "greedy": "greedy"}
    evaluation = agents.evaluate(policies, scenario, episodes=12, stream=VALIDATION_STREAM)
    assert evaluation.difference("agent", "greedy")[0] > 0
    stages = [part for part in agent.trained_on["config"].values() if isinstance(part, dict)]
    assert agent.trained_on["rounds"] == sum(stage.get("rounds", 0) for stage in stages)


@pytest.mark.parametrize("name", ["nosuch", "partial_loading/nosuch"])
def test_a_name_that_is_no_agents_lists_those_that_are(name, tmp_path, monkeypatch, agent):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pl_env.UnknownName) as caught:
        agents.load(name)
    known = ", ".join(agents.trained_agents())
    assert str(caught.value) == f"there is no agent or folder {name!r}; known are: {known}"
    agent.save(tmp_path / name)
    assert agents.load(name).trained_on == agent.trained_on


def test_an_agent_is_shown_on_one_line(agent):
    weights = sum(parameter.numel() for parameter in agent.network.parameters())
    assert repr(agent) == f"<Agent of partial_loading: {weights:,} weights, not trained>"
    assert repr(agents.load("bls")) == "<Agent of partial_loading: 96,001 weights, trained for 300 rounds>"


def test_a_full_disk_is_said_of_the_checkpoint(agent, tmp_path, monkeypatch):
    def write(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space left") as caught:
        agent.save(tmp_path / "new" / "agent")
    assert caught.value.filename == str(tmp_path / "new" / "agent")
    assert os.listdir(tmp_path / "new") == []
