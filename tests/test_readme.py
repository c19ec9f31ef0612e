"""The README's code runs as it stands there, block after block."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    out = capsys.readouterr().out
    assert len(blocks) == 3
    printed = re.search(r"# (environment: .*?), \.\.\.", README.read_text())
    assert printed is not None
    assert printed.group(1) in out  # the comment shows what is really printed
    assert "gap to optimum" in out
    assert (tmp_path / "gantt.png").exists()
