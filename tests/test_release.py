"""What must agree before a version is tagged."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pl_env

ROOT = Path(__file__).parents[1]


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert pl_env.__version__ == version
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE).group(1) == version
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)", citation, flags=re.MULTILINE).group(1) == version
    for page in ("docs/citing.md", "README.md"):
        assert f"version = {{{version}}}" in (ROOT / page).read_text()


def test_the_entry_to_copy_says_what_the_citation_says():
    citation, page = (ROOT / "CITATION.cff").read_text(), (ROOT / "docs" / "citing.md").read_text()
    year = re.search(r'^date-released: "(\d{4})', citation, flags=re.MULTILINE).group(1)
    assert f"year = {{{year}}}" in page
    for title in re.findall(r'title: "(.*)"', citation):
        assert title in page.replace("{", "").replace("}", "").replace("\n", " ")
    for identifier in re.findall(r"arXiv:([\d.]+)", citation):
        assert f"eprint = {{{identifier}}}" in page
