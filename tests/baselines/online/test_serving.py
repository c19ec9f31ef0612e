"""Serving for real: a short one on models of a few megabytes, with the books and the device held against each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import pl_env
from baselines.__main__ import main
from baselines.online.policies import Rule
from baselines.online.serving import serve_for_real
from pl_env.errors import InvalidValue
from pl_env.online import Scenario
from pl_env.real_models.execution import outputs_of_whole_models
from pl_env.real_models.loading import BlockLoader
from pl_env.real_models.running import ModelRunner, generated_inputs
from pl_env.real_models.scanning import scan
from tests import real_models

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return scan((real_models.save_perceptrons(tmp_path_factory.mktemp("models"), real_models.BOTTOM_SHARED),))


def server_of(memory_bytes=10**9):
    return pl_env.EdgeServer(1e9, 1e9, 1e-4, memory_bytes, (pl_env.ComputeProfile("perceptron", 1e-4, 1e-3, 1000),))


def scenario_of(found, **changes):
    """About 40 users in half a second; memory for the largest model and half a model more."""
    fields = {
        "library": found.library, "server": server_of(), "arrival_rate": 80.0, "episode_seconds": 0.5,
        "cache_bytes": int(found.library.model_bytes.max() * 1.5), "upload_bits": 1000.0, "max_batch_size": 3,
    }  # fmt: skip
    return Scenario().override(**(fields | changes))


def run(found, instance, policy="urgent-greedy", **options):
    inputs = generated_inputs(5, real_models.INPUT, 0, CPU)
    runner = ModelRunner(found.models, CPU, real_models.build)
    with BlockLoader(found, cache_bytes=instance.cache_bytes) as loader:
        served = serve_for_real(instance, Rule(policy), loader, runner, inputs, **options)
    whole = outputs_of_whole_models(served.batches, found, runner, inputs)
    assert len(whole) == len(served.outputs) == len(served.batches)
    assert all(map(torch.equal, served.outputs, whole))
    return served


def assert_everything_counts_once(served):
    """Users, bytes and times of a serving agree with each other; memory is never above its limit."""
    instance = served.instance
    users = [user for batch in served.batches for user in batch.users]
    assert len(set(users)) == len(users)
    assert not served.dropped[users].any()
    sums = served.in_time.astype(int) + served.late + served.dropped
    assert (sums == served.decided).all()
    assert served.most_bytes <= instance.cache_bytes
    resident = np.zeros(instance.n_blocks, dtype=bool)
    last = 0
    for batch in served.batches:
        held = instance.has_block[batch.model]
        assert (instance.requested_model[list(batch.users)] == batch.model).all()
        assert (instance.arrival_ns[list(batch.users)] <= batch.finish_ns).all()
        assert resident[list(batch.evicted)].all()
        assert not held[list(batch.evicted)].any()
        resident[list(batch.evicted)] = False
        assert batch.loaded_bytes == instance.block_bytes[held & ~resident].sum()
        resident |= held
        assert instance.block_bytes[resident].sum() <= served.most_bytes
        assert batch.finish_ns >= last + sum(batch.seconds[1:]) * 1e9
        last = batch.finish_ns


@pytest.mark.parametrize("eviction", ["demand", "lru", "previous"])
@pytest.mark.parametrize("cold", [False, True])
def test_everything_is_counted_once_and_memory_keeps_its_limit(found, eviction, cold):
    scenario = scenario_of(found, eviction=eviction)
    served = run(found, scenario.sample(np.random.default_rng(0)), cold=cold)
    assert_everything_counts_once(served)
    assert served.decided.all()
    assert not served.interrupted
    assert sum(len(batch.evicted) for batch in served.batches) > 0
    assert served.goodput == served.in_time.sum() / served.instance.n_users


def test_nobody_is_served_before_arriving_and_hopeless_users_are_dropped(found):
    """A server whose numbers say 100 ms a batch, and deadlines of 150 ms: most users are dropped before they wait."""
    slow = pl_env.EdgeServer(1e9, 1e9, 1e-4, 10**9, (pl_env.ComputeProfile("perceptron", 1e-4, 0.1, 1000),))
    scenario = scenario_of(found, server=slow, relative_deadline=(0.05, 0.05))
    served = run(found, scenario.sample(np.random.default_rng(1)))
    assert_everything_counts_once(served)
    assert served.dropped.all()
    assert served.batches == ()
    assert served.goodput == 0


def test_the_policy_aims_at_earlier_deadlines(found):
    """With a margin of 90 % nobody whose deadline is a tenth of what an upload takes can be aimed at."""
    scenario = scenario_of(found, upload_bits=1e5, relative_deadline=(0.05, 0.05), bandwidth_hz=1e6)
    instance = scenario.sample(np.random.default_rng(2))
    without, with_margin = run(found, instance), run(found, instance, margin=0.9)
    assert_everything_counts_once(with_margin)
    assert with_margin.dropped.sum() > without.dropped.sum()


def test_an_interruption_keeps_what_was_done(found):
    class Interrupts(Rule):
        left = 5

        def choice(self, tables, e):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().choice(tables, e)

    instance = scenario_of(found).sample(np.random.default_rng(0))
    runner = ModelRunner(found.models, CPU, real_models.build)
    with BlockLoader(found, cache_bytes=instance.cache_bytes) as loader:
        inputs = generated_inputs(5, real_models.INPUT, 0, CPU)
        served = serve_for_real(instance, Interrupts("edf"), loader, runner, inputs)
    assert_everything_counts_once(served)
    assert served.interrupted
    assert len(served.batches) == 4  # the first choice was to compile
    assert 0 < served.decided.sum() < instance.n_users


def test_loads_while_users_upload_are_refused(found):
    instance = scenario_of(found, overlap="upload").sample(np.random.default_rng(0))
    with pytest.raises(InvalidValue, match=r"^overlap is 'upload'; it must be none: here loads follow uploads$"):
        run(found, instance)


# ---------------------------------------------------------------- the cache of the loader


def test_the_cache_keeps_what_is_not_evicted_and_refuses_more_than_its_bytes(found):
    library = found.library
    first, other = library.has_block[0], library.has_block[3]
    both = int(library.block_bytes[first | other].sum())
    with BlockLoader(found, cache_bytes=both) as loader:
        loader.load(0, evict=())
        assert loader.load(3, evict=()).n_bytes == library.model_bytes[3]
        assert loader.resident_bytes == both
        assert loader.load(0, evict=()).n_bytes == 0
        with pytest.raises(
            InvalidValue, match=r"^bytes on the device is \d+; it must be at most \d+, cache_bytes; more"
        ):
            loader.load(4, evict=())
        leaving = np.flatnonzero(first & ~library.has_block[4])
        loader.load(4, evict=leaving)
        assert loader.resident == set(np.flatnonzero(other | library.has_block[4]))
    with pytest.raises(InvalidValue, match=r"^cache_bytes is 1000; it must be at least \d+, the largest model$"):
        BlockLoader(found, cache_bytes=1000)


# ---------------------------------------------------------------- the command


def save_what_is_served(folder: Path) -> None:
    """Models, library.npz, and a server.json whose numbers are made up."""
    real_models.save_perceptrons(folder / "models", real_models.BOTTOM_SHARED)
    scan((folder / "models",)).library.save(folder / "library.npz")
    server_of().save(folder / "server.json", {"input_shape": list(real_models.INPUT), "page_cache": "warm"})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_what_is_served(tmp_path)
    return tmp_path


ARGUMENTS = ("serve", "library.npz", "server.json", "models", "--builder", "tests.real_models:build")


@pytest.mark.parametrize("policy", ["urgent-greedy", "edf"])
def test_serve_reports_both_clocks(folder, capsys, policy):
    assert main([*ARGUMENTS, "--policy", policy, "--rate", "60", "--seconds", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "by the clock" in out
    assert "simulated" in out
    assert "goodput" in out
    assert "interrupted" not in out
    words = next(line for line in out.splitlines() if line.startswith("outputs of")).split()
    assert words[2] == words[4] != "0"


def test_serve_plays_a_trace(folder, capsys):
    Path("trace.csv").write_text("arrival,model,deadline,upload\n0.0,m1,5,0\n0.1,3,5,0\n0.2,m1,5,0.001\n")
    assert main([*ARGUMENTS, "--trace", "trace.csv"]) == 0
    out = capsys.readouterr().out
    assert "3 users come within 0.2 s" in out
    assert "1.000" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "best"], "there is no policy 'best'"),
        (["--rate", "0"], "arrival_rate is 0.0; it must be a finite number above 0"),
        (["--cache-bytes", "1000"], "cache_bytes is 1000; it must be at least"),
        (["--margin", "1"], "margin is 1.0; it must be a finite number at least 0"),
        (["--trace", "none.csv"], "none.csv: there is no such file"),
        (["--deadline", "0.5", "0.1"], "relative_deadline[1] is 0.1; it must be"),
        (["--seed", "-1"], "seed is -1; it must be"),
    ],
)
def test_a_mistake_gets_one_sentence(folder, capsys, arguments, message):
    assert main([*ARGUMENTS, *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_ctrl_c_ends_with_the_report_so_far(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "baselines", *ARGUMENTS, "--rate", "20", "--seconds", "600"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        head = process.stdout.readline()
        assert "Ctrl-C ends it" in head
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=4)
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert "by the clock" in rest
    assert "outputs of" in rest
