"""A Ray cluster of two nodes of one core each, some of which die. ``make ecosystem`` installs Ray."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import agents
import baselines
from baselines import cluster
from baselines.parallel import map_tasks
from experiments import engine, sweep_files, sweeps
from experiments.__main__ import main
from experiments.benchmark_sets import certify
from experiments.cold_start import benchmark_sets
from experiments.figures import Panel
from experiments.partial_loading.figures import OPTIMAL_DP, PAPER_DP
from pl_env.errors import PlEnvError, UnknownName
from tests import helpers
from tests.experiments.test_sweeps import SMALL, bits, objectives

ray = pytest.importorskip("ray")

STORE = 100 << 20
LONGER = SMALL.replace("rounds = 4", "rounds = 30").replace("rounds = 6", "rounds = 30").replace("20\n", "200\n")


@pytest.fixture(scope="module")
def nodes():
    """The cluster; its nodes live as long as the tests of this file, unless a test kills one."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (15 else, and the tests are not all that this machine does)
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    found.add_node(num_cpus=1, object_store_memory=STORE)
    found.wait_for_nodes()
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def two_nodes(nodes):
    if len(nodes.list_all_nodes()) == 1:
        nodes.add_node(num_cpus=1, object_store_memory=STORE)
        nodes.wait_for_nodes()
    return nodes


@pytest.fixture
def workers(two_nodes) -> str:
    return f"ray:{two_nodes.address}"


def kill_a_node(nodes) -> None:
    """As when its plug is pulled: nobody is told."""
    nodes.remove_node(next(node for node in nodes.list_all_nodes() if not node.head), allow_graceful=False)


def place(_: int) -> str:
    time.sleep(0.1)
    return ray.get_runtime_context().get_node_id()


def test_tasks_go_to_all_nodes(workers):
    assert cluster.cores(workers.removeprefix("ray:")) == 2
    assert len(set(map_tasks(place, range(8), workers=workers))) == 2


@pytest.mark.parametrize("ordered", [True, False])
def test_answers_come_as_from_one_process(workers, ordered):
    added = 3
    answers = list(map_tasks(lambda number: number + added, range(20), workers=workers, ordered=ordered))
    assert (answers if ordered else sorted(answers)) == list(range(3, 23))
    assert list(map_tasks(place, [], workers=workers)) == []


def fails_at_three(number: int) -> int:
    if number == 3:
        raise UnknownName("number", number, ("1", "2"))
    return number


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_in_a_task_arrives_as_it_is(workers, ordered):
    with pytest.raises(UnknownName, match="there is no number 3; known are: 1, 2"):
        list(map_tasks(fails_at_three, range(6), workers=workers, ordered=ordered))


def test_a_killed_worker_s_task_is_done_again(workers, tmp_path):
    def dies_once(number: int) -> int:
        sign = tmp_path / str(number)
        if number == 2 and not sign.exists():
            sign.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number**2

    assert list(map_tasks(dies_once, range(5), workers=workers)) == [0, 1, 4, 9, 16]
    assert (tmp_path / "2").exists()


def test_what_kills_every_worker_is_given_up(workers, monkeypatch):
    monkeypatch.setattr(cluster, "_MOST_RETRIES", 1)
    with pytest.raises(PlEnvError, match="the cluster gave a task up"):
        list(map_tasks(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(2), workers=workers))


def test_other_sources_are_refused(workers, monkeypatch):
    of_another = cluster._versions() | {"sources": "another version's"}
    monkeypatch.setattr(cluster, "_versions", lambda: of_another)
    with pytest.raises(PlEnvError, match=r"sources on .* it must be another vers, as where the command was given"):
        list(map_tasks(abs, range(2), workers=workers))


def test_a_node_that_dies_costs_no_answer(two_nodes, workers, tmp_path):
    def slow(number: int) -> tuple[int, str]:
        (tmp_path / f"{number}-{os.getpid()}").touch()
        time.sleep(1.0)
        return number, ray.get_runtime_context().get_node_id()

    answers = map_tasks(slow, range(30), workers=workers, ordered=False)
    first: list[tuple[int, str]] = []
    while len({node for _, node in first}) < 2:
        first.append(next(answers))
    kill_a_node(two_nodes)
    everything = [*first, *answers]
    assert sorted(number for number, _ in everything) == list(range(30))
    assert len(list(tmp_path.iterdir())) > 30  # some were begun twice


def test_an_evaluation_is_the_same(workers):
    agent = agents.load("bls")
    policies = {"agent": agent, "planner": "greedy", "random": "random", "options": ("local-search", {"seed": 3})}
    scenario = agents.Family.named("bls").scenario
    here, there = (baselines.evaluate(policies, scenario, episodes=11, workers=who) for who in (1, workers))
    for name in policies:
        np.testing.assert_array_equal(there[name].objective, here[name].objective)
        np.testing.assert_array_equal(there[name].optimum, here[name].optimum)


def test_points_are_the_same_while_a_node_dies(two_nodes, workers, tmp_path):
    points = Panel("t", "a figure", "bls", "n_users", tuple(range(3, 15)), "users K", (PAPER_DP, OPTIMAL_DP)).points(
        9, 1
    )
    here = engine.run(points, tmp_path / "here", workers=1)

    def kill() -> None:
        while len(list((tmp_path / "there").glob("*.npz"))) < 2:
            time.sleep(0.02)
        kill_a_node(two_nodes)

    killer = threading.Thread(target=kill)
    killer.start()
    there = engine.run(points, tmp_path / "there", workers=workers)
    killer.join()
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.objective, other.objective)


def test_a_report_is_the_same_to_the_byte(workers, tmp_path, capsys):
    reports = []
    for who in ("process", workers):
        out = tmp_path / who.partition(":")[0]
        words = ["reproduce", "slide", "--figures", "served", "--realisations", "1", "--engine", who]
        assert main([*words, "--workers", "1", "--cache", str(out / "cache"), "--out", str(out / "report")]) == 0
        files = sorted(path for path in (out / "report").rglob("*") if path.is_file())
        reports.append({path.relative_to(out).as_posix(): path.read_bytes() for path in files})
    assert reports[0] == reports[1]
    assert len(reports[0]) >= 3


def test_the_table_of_solvers_is_the_same_but_for_times(workers, capsys):
    tables = []
    for who in ("process", workers):
        assert main(["solvers", "--sets", "general-hard-100", "--names", "greedy", "max-overlap", "--engine", who]) == 0
        rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "general-hard" in line]
        tables.append([row[1:6] for row in rows])
    assert tables[0] == tables[1]
    assert len(tables[0]) == 3  # with the bound


def test_a_run_of_a_node_that_dies_goes_on_elsewhere_to_the_same_bits(two_nodes, workers, tmp_path):
    (tmp_path / "longer.toml").write_text(LONGER)
    said = sweep_files.read(tmp_path / "longer.toml")
    sweeps.run(said, tmp_path / "here", 1)
    begun: dict[Path, str] = {}

    def kill() -> None:
        """Once two runs are under way, which are on two nodes."""
        while len(begun) < 2:
            time.sleep(0.05)
            begun.clear()
            for path in (tmp_path / "there").glob("*/*/*/run.json"):
                record = json.loads(path.read_text())
                if record["round"] >= 2 and not record["done"]:
                    begun[path] = record["where"]
        kill_a_node(two_nodes)

    killer = threading.Thread(target=kill)
    killer.start()
    sweeps.run(said, tmp_path / "there", workers)
    killer.join()
    assert len(set(begun.values())) == 2
    after = {path: json.loads(path.read_text())["where"] for path in begun}
    assert sum(after[path] != where for path, where in begun.items()) >= 1  # another process finished it
    assert bits(tmp_path / "there") == bits(tmp_path / "here")
    assert objectives(tmp_path / "there") == objectives(tmp_path / "here")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1", "127.0.0.1:many", "auto"])
def test_no_cluster_is_said_in_one_sentence(address, monkeypatch):
    def init(address: str, **_: object) -> None:
        assert address == "auto", "Ray would wait for minutes"
        raise ConnectionError("could not find any running Ray instance")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(PlEnvError, match=f"engine is 'ray:{address}'; it must be a Ray cluster's HOST:PORT or auto: "):
        cluster.connect(address)


def test_a_benchmark_set_is_made_and_certified_the_same(workers, tmp_path, monkeypatch):
    recipe = replace(benchmark_sets.RECIPES["cold-start-100"], n_instances=4)
    monkeypatch.setattr(benchmark_sets, "RECIPES", {"small": recipe})
    there = certify("cold_start", "small", write=True, folder=tmp_path / "ray", workers=workers)
    assert certify("cold_start", "small", write=True, folder=tmp_path / "here") == there
    assert (tmp_path / "ray" / "small.npz").read_bytes() == (tmp_path / "here" / "small.npz").read_bytes()


def test_a_cluster_of_this_machine_alone():
    code = "from baselines.parallel import map_tasks; print(list(map_tasks(abs, [-1, 2, -3], workers='ray')))"
    assert helpers.run_python(code, RAY_worker_niceness="0") == "[1, 2, 3]\n"
