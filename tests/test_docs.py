"""The site's code runs as it stands there, every block alone; its reference has every public name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from baselines import registry
from pl_env.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "five-minutes.md", *sorted((DOCS / "tutorials").glob("*.md"))]
BLOCKS = {
    f"{page.stem}-{n}": block
    for page in PAGES
    for n, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
}
FACES = ("pl_env", "baselines", "agents", *(f"pl_env.{system}" for system in SYSTEMS))


@pytest.fixture
def own_solvers_are_forgotten():
    known = registry._solvers_of("partial_loading")
    before = dict(known)
    yield
    known.clear()
    known.update(before)


@pytest.mark.usefixtures("own_solvers_are_forgotten")
@pytest.mark.parametrize("name", BLOCKS)
def test_a_python_block_runs_alone(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    block = BLOCKS[name]
    exec(compile(block, name, "exec"), {})
    out = capsys.readouterr().out
    for promised in re.findall(r"# (\[.*\]|\d+ of \d+ users served[^,\n]*)", block):
        assert promised in out  # the comment shows what is really printed


def test_every_tutorial_has_code():
    assert {page.stem for page in PAGES} == {name.rpartition("-")[0] for name in BLOCKS}


def test_the_ids_and_presets_are_those_of_the_systems():
    text = (DOCS / "five-minutes.md").read_text().split("## Which id is which preset")[1].split("## Glossary")[0]
    rows = dict(re.findall(r"^\| `([\w-]+-v\d)` \| `([\w/-]+)` \|", text, flags=re.MULTILINE))
    first = next(iter(SYSTEMS))
    expected = {
        identity: preset if system == first else f"{system}/{preset}"
        for system, row in SYSTEMS.items()
        for identity, preset in row["environments"].items()
    }
    assert rows == expected


def documented() -> dict[str, object]:
    """From each path that the reference has to what it is."""
    paths = [
        path for page in (DOCS / "api").glob("*.md") for path in re.findall(r"^::: (\S+)$", page.read_text(), re.M)
    ]
    assert len(paths) == len(set(paths))
    found = {}
    for path in paths:
        module, _, name = path.rpartition(".")
        found[path] = getattr(importlib.import_module(module), name)
    return found


def test_the_reference_has_every_public_name():
    """A name that two packages have stands there once."""
    there = {id(thing) for thing in documented().values()}
    missing = [
        f"{face}.{name}"
        for face in FACES
        for name in importlib.import_module(face).__all__
        if id(getattr(importlib.import_module(face), name)) not in there
    ]
    assert missing == []


def test_every_face_is_looked_at():
    """Whatever says what is public is one of them; experiments are no part of the package."""
    packages = ("pl_env", "baselines", "agents")
    files = [file for package in packages for file in (ROOT / package).rglob("*.py")]
    public = {file for file in files if re.search(r"^__all__ = ", file.read_text(), flags=re.MULTILINE)}
    assert public == {ROOT / Path(*face.split(".")) / "__init__.py" for face in FACES}


def test_the_navigation_has_every_page():
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert pages == set(re.findall(r"[:-] (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))
