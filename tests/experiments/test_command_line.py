from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import experiments.__main__ as command_line
from experiments.__main__ import main
from experiments.points import code_version

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
        (["partial_loading", "--figures", "fig5"], "error: there is no figure 'fig5'; known are: fig1, fig6"),
        (["partial_lodaing"], "error: there is no system 'partial_lodaing'; known are: "),
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
    assert main(["version", "slide"]) == 0
    lines = capsys.readouterr().out.splitlines()
    of_partial_loading = [line.split()[:2] for line in lines if line.startswith("partial_loading ")]
    assert [name for _, name in of_partial_loading] == ["fig1", "fig6", "fig7", "fig8", "fig9", "slots"]
    of_slide = [line.split()[1] for line in lines if line.startswith("slide ")]
    assert of_slide == ["served", "gain", "presets", "latency"]
    of_co_inference = [line.split()[1] for line in lines if line.startswith("co_inference ")]
    assert of_co_inference == ["distortion", "splits", "streams", "output-distortion"]
    assert lines[-2:] == [code_version(), code_version("slide")]
    assert code_version() != code_version("slide")


@pytest.fixture
def two_systems(monkeypatch):
    """A second system beside the first, both of which note how they are called in place of computing."""
    calls = []

    def room(system, module):
        assert module == "reproduction"
        return SimpleNamespace(
            FULL=1000 if system == "partial_loading" else 5,
            QUICK=2,
            figures=lambda names=(): names or (f"all of {system}",),
            reproduce=lambda *arguments: calls.append((system, *arguments)),
        )

    monkeypatch.setattr(command_line, "SYSTEMS", {"partial_loading": {}, "second": {}})
    monkeypatch.setattr(command_line, "room", room)
    return calls


def test_all_systems_are_reproduced_unless_one_is_named(two_systems):
    assert main(["reproduce", "--workers", "3"]) == 0
    assert [(system, chosen, n) for system, chosen, n, *_ in two_systems] == [
        ("partial_loading", ("all of partial_loading",), 1000),
        ("second", ("all of second",), 5),
    ]
    assert {call[4:] for call in two_systems} == {(Path("runs/reproduction-cache"), 3, "make reproduce", Path("docs"))}
    two_systems.clear()
    assert main(["reproduce", "second", "--seed", "4"]) == 0
    command = "python -m experiments reproduce second --realisations 5 --seed 4"
    assert two_systems == [
        ("second", ("all of second",), 5, 4, Path("runs/reproduction-cache"), 0, command, Path("runs/reproduction"))
    ]


def test_figures_are_of_the_first_system_unless_one_is_named(two_systems):
    assert main(["reproduce", "--figures", "fig6", "slots", "--quick"]) == 0
    assert main(["reproduce", "second", "--figures", "fig3", "--quick"]) == 0
    (first, chosen, n, *_, command, out), (second, *_, second_command, _) = two_systems
    assert (first, chosen, n, second) == ("partial_loading", ("fig6", "slots"), 2, "second")
    assert command == "python -m experiments reproduce --figures fig6 slots --realisations 2 --seed 0"
    assert second_command == "python -m experiments reproduce second --figures fig3 --realisations 2 --seed 0"
    assert out == Path("runs/reproduction-quick")


def test_a_benchmark_set_by_name(capsys):
    assert main(["benchmark-sets", "--names", "large-10", "--no-solve-again"]) == 0
    assert main(["benchmark-sets", "--names", "partial_loading/large-11"]) == 1
    assert main(["benchmark-sets", "--names", "slide/slide-100", "--no-solve-again"]) == 0
    captured = capsys.readouterr()
    ours, slides = captured.out.splitlines()
    assert ours.startswith("large-10: 10 instances, ")
    assert slides.startswith("slide-100: 100 instances, 100 with a proven optimum, ")
    assert "there is no benchmark set 'large-11'; known are: bls-100, " in captured.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--names greedy foo", "error: there is no solver 'foo'; known are: exact, exhaustive"),
        ("--names greedy --sets bls-100 nowhere", "error: there is no benchmark set 'nowhere'; known are"),
    ],
)
def test_names_are_checked_before_anything_is_solved(capsys, monkeypatch, words, message):
    monkeypatch.setattr(command_line.solver_table, "measure", lambda *_, **__: pytest.fail("something is solved"))
    assert main(["solvers", *words.split()]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert len(captured.err.splitlines()) == 1


def test_solvers_prints_what_it_has_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command_line.solver_table, "measure", lambda *_, **__: [])
    monkeypatch.setattr(command_line.solver_table, "table", lambda results: f"of {', '.join(results)}")
    words = ["solvers", "--names", "greedy", "--sets", "bls-100", "--out"]
    (tmp_path / "table.md").write_text("a <!-- table --> b <!-- end of table --> c")
    assert main([*words, str(tmp_path / "table.md")]) == 0
    assert capsys.readouterr().out == f"of bls-100\nwritten: {tmp_path / 'table.md'}\n"
    assert (tmp_path / "table.md").read_text() == "a <!-- table -->\nof bls-100\n<!-- end of table --> c"
    assert main([*words, str(tmp_path / "table.md" / "x")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {tmp_path / 'table.md' / 'x'}: Not a directory\n"


def test_a_reproduction_that_cannot_be_written_is_one_sentence(capsys, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    words = ["reproduce", "--quick", "--figures", "fig1", "--realisations", "1", "--workers", "1"]
    assert main([*words, "--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "file" / "x")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith(f"error: {tmp_path / 'file' / 'x'}")
    assert "Traceback" not in captured.err
