from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.partial_loading.latency import latencies, loading_share
from experiments.partial_loading.report import scenario_text
from experiments.points import code_version
from pl_env.partial_loading.scenario import Scenario
from pl_env.partial_loading.server import EdgeServer

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_quick_mode_end_to_end(tmp_path):
    """A reduced set of figures; run again, everything comes from the kept results and is the same to the byte."""
    command = [
        *(sys.executable, "-m", "experiments", "reproduce", "--quick", "--figures", "fig1", "fig9"),
        *("--realisations", "3", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")),
    ]
    runs = []
    for _ in range(2):
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout == f"written: {tmp_path / 'out' / 'reproduction.md'}\n"
        files = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
        runs.append({path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in files})
    assert runs[0] == runs[1]
    assert set(runs[0]) == {
        "reproduction.md",
        *(f"reproduction/{name}.csv" for name in ("fig1", "fig9", "paper-against-ours")),
        *(f"images/reproduction/{name}.png" for name in ("fig1", "fig9")),
    }
    report = runs[0]["reproduction.md"].decode()
    for words in ("3 channel realisations", "Figure 9", "Paper against ours", "not comparable"):
        assert words in report
    assert "nan" not in report
    for name, content in runs[0].items():
        assert not name.endswith(".png") or content.startswith(b"\x89PNG")
    rows = list(csv.DictReader(runs[0]["reproduction/fig9.csv"].decode().splitlines()))
    assert {row["curve"] for row in rows} >= {"paper-dp", "greedy", "exhaustive"}
    (code,) = {row["code"] for row in rows}
    assert len(code) == 12
    assert f"Code `{code}`" in report
    assert {row["realisations"] for row in rows} == {"3"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--figures", "fig5"], "error: there is no figure 'fig5'; known are: fig1, fig6, fig7, fig8, fig9, slots"),
        (["--realisations", "0"], "error: realisations is 0"),
        (["--seed", "-1"], "error: seed is -1"),
        (["--workers", "-1"], "error: workers is -1"),
    ],
)
def test_a_mistake_prints_one_sentence_and_writes_nothing(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert len(captured.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_lists_figures_and_prints_the_code_version(capsys):
    assert main(["list-figures"]) == 0
    assert main(["version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["fig1", "fig6", "fig7", "fig8", "fig9", "slots", code_version()]


def test_figure_1_by_hand():
    rows = latencies(EdgeServer())
    assert [row.architecture for row in rows] == ["resnet18", "resnet34", "resnet50"]
    assert rows[2].compute_seconds == pytest.approx(32 * 100e-6 + 4e-3)
    assert rows[2].load_seconds == pytest.approx(94.1e6 / 1.70e9, rel=2e-3)
    assert loading_share(rows) == pytest.approx(0.8894, abs=1e-4)


def test_a_scenario_in_text_names_what_differs():
    scenario = Scenario.preset("general", bandwidth_hz=1e7, server=EdgeServer(disk_bytes_per_second=1e9))
    assert (
        scenario_text("general", scenario)
        == "general bandwidth_hz=10000000.0 server.disk_bytes_per_second=1000000000.0"
    )
