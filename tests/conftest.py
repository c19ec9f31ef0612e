from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import pl_env
from pl_env.systems import SYSTEMS

if TYPE_CHECKING:
    import agents

# What needs torch is imported by the fixtures that need it: some tests run without.


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Networks are tiny here; two threads would mostly wait for each other."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


@pytest.fixture
def tiny() -> pl_env.Scenario:
    return pl_env.Scenario.preset("tiny", n_users=8)


@pytest.fixture
def quick_config() -> agents.TrainingConfig:
    """Two rounds of each stage, of a small network."""
    import agents

    return agents.TrainingConfig(
        width=8,
        layers=1,
        heads=2,
        processes=1,
        imitation=agents.ImitationConfig(rounds=2, episodes=4, teacher_rounds=1, minibatch_size=16),
        fine_tuning=agents.FineTuningConfig(rounds=2, n_envs=2, rollout_steps=8, minibatch_size=8, epochs=2),
    )


@pytest.fixture
def agent() -> agents.Agent:
    import torch

    import agents
    from agents.partial_loading.network import NetworkConfig, SchedulingNetwork

    torch.manual_seed(0)
    return agents.Agent(SchedulingNetwork(NetworkConfig(batch_cap=8, width=16)), {"note": "untrained"})


@pytest.fixture
def toy(monkeypatch):
    """The face of a second system, in the table for the time of a test."""
    path = Path(__file__).with_name("toy_system.py")
    spec = importlib.util.spec_from_file_location("pl_env.toy", path)
    face = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "pl_env.toy", face)
    row = {"environments": {}, "entry_point": "pl_env.toy:Env", "vector_entry_point": None}
    monkeypatch.setitem(SYSTEMS, "toy", row)
    spec.loader.exec_module(face)
    monkeypatch.setitem(sys.modules, "baselines.toy", ModuleType("baselines.toy"))
    planning = ModuleType("baselines.toy.solvers")
    planning.SOLVERS = ()
    monkeypatch.setitem(sys.modules, "baselines.toy.solvers", planning)
    return face
