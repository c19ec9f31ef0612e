"""The code of README and of the overview runs as it stands there, every block alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tyro

from agents.evaluate_command import Arguments
from baselines import registry

ROOT = Path(__file__).parents[1]
README, OVERVIEW = ROOT / "README.md", ROOT / "docs" / "overview.md"
BLOCKS = [
    block
    for page in (README, OVERVIEW)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
]


@pytest.fixture
def own_solvers_are_forgotten():
    known = registry._solvers_of("partial_loading")
    before = dict(known)
    yield
    known.clear()
    known.update(before)


@pytest.mark.usefixtures("own_solvers_are_forgotten")
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_python_block_runs_alone(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(README), "exec"), {})
    out = capsys.readouterr().out
    printed = re.search(r"# ((?:environment|optimal-dp): .*?), \.\.\.", block)
    if printed is not None:
        assert printed.group(1) in out  # the comment shows what is really printed
    assert ("gap to optimum" in out) == ("print(baselines.evaluate" in block)
    assert (tmp_path / "gantt.png").exists() == ("gantt.png" in block)


def test_there_are_blocks():
    assert len(BLOCKS) == 6
    assert sum("# environment: " in block for block in BLOCKS) == 1


def test_the_command_that_makes_the_results_makes_every_row():
    """Its words as the overview has them; the numbers take minutes."""
    text = OVERVIEW.read_text().split("## Results")[1].split("The library is drawn once")[0]
    (words,) = re.findall(r"python -m agents (evaluate .*\n.*)\n", text)
    words = words.replace("\\", " ").split()
    arguments = tyro.cli(Arguments, args=words[1:])
    rows = re.findall(r"^\| `?([^`|]+)`? \| 0\.", text, flags=re.MULTILINE)
    agents = {"agent", f"agent, best of {arguments.samples} samples"}
    assert (arguments.scenario, arguments.agent, arguments.episodes) == ("bls", ("bls",), 1000)
    assert {row.strip() for row in rows} == {*arguments.solver} | agents


def test_the_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^):]+)\)", README.read_text())
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []
