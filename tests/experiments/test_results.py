"""docs/results.md: what its tables say is what its files say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents.console import main
from baselines.results import read
from experiments import results
from pl_env.errors import InvalidValue

DOCS = Path(__file__).parents[2] / "docs"
FILES = sorted((DOCS / "results").glob("*.json"))


def test_a_page_of_two_files(tmp_path):
    (tmp_path / "results").mkdir()
    for name, solver in (("bls-100", "greedy"), ("bls-100-mine", "optimal-dp")):
        out = tmp_path / "results" / f"{name}.json"
        assert main(["evaluate", "--set", "bls-100", "--solver", solver, "--episodes", "3", "--out", str(out)]) == 0
    page = tmp_path / "results.md"
    page.write_text(f"before\n{results.TABLES_START}\nwhat was there\n{results.TABLES_END}\nafter\n")
    results.write_page(tmp_path / "results", page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "what was there" not in text
    rows = re.findall(r"^\| `([\w-]+)` \| (\d\.\d{4}) \| .*? \| ([+-]\d+\.\d\d)\s% \|", text, flags=re.MULTILINE)
    assert [name for name, _, _ in rows] == ["optimal-dp", "greedy"]  # best first
    assert rows[0][2] == "+0.00"
    assert float(rows[1][1]) == pytest.approx(
        read(tmp_path / "results" / "bls-100.json").results["greedy"].mean, abs=1e-4
    )
    assert "(results/bls-100-mine.json)" in text
    assert "### slide/slide-100\n\nNobody has sent in a row yet." in text


def test_a_page_without_marks_is_left_alone(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("mine\n")
    with pytest.raises(InvalidValue, match="has no <!-- tables -->"):
        results.write_page(tmp_path, page)
    assert page.read_text() == "mine\n"


def test_the_page_is_that_of_its_files(tmp_path):
    """Every number: the tables are made again."""
    assert FILES
    page = (DOCS / "results.md").read_text()
    made = "\n".join(results.tables({file: read(file) for file in FILES}, DOCS))
    assert f"{results.TABLES_START}\n{made}{results.TABLES_END}" in page, "run: python -m experiments.results"


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_is_played_again(file):
    """But for what takes long; a file of nothing else is played whole."""
    slow = {"exact", "local-search", "replan", "clairvoyant", "optimal-dp", "rollout", "order-search", "offline"}
    slow |= {name for name in read(file).results if name.startswith("agent ") and not name.endswith("-fast")}
    skip = [name for name in read(file).results if name in slow]
    skip = [] if len(skip) == len(read(file).results) else skip
    assert main(["replay", str(file), "--skip", *skip]) == 0
