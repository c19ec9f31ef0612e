"""What a hash of sources covers: a system's rooms up to a floor, and what stands outside all rooms."""

from __future__ import annotations

import pytest

from pl_env import sources

FILES = (
    "pl_env/times.py",
    "pl_env/slide/dynamics.py",
    "pl_env/slide/deep/er.py",
    "pl_env/cold_start/dynamics.py",
    "baselines/registry.py",
    "baselines/slide/exact.py",
    "baselines/cold_start/exact.py",
    "agents/slide.py",
    "experiments/points.py",
)


@pytest.fixture
def house(tmp_path, monkeypatch):
    for name in FILES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one = 1\n")
    (tmp_path / "pl_env" / "notes.md").write_text("no source")
    monkeypatch.setattr(sources, "_HOUSE", tmp_path)
    sources.stamp.cache_clear()
    yield tmp_path
    sources.stamp.cache_clear()


def changes(house, name: str, system: str, floor: str) -> bool:
    """Whether a system's stamp changes with a file."""
    before = sources.stamp(system, floor)
    (house / name).write_text("one = 2\n")
    sources.stamp.cache_clear()
    after = sources.stamp(system, floor)
    (house / name).write_text("one = 1\n")
    sources.stamp.cache_clear()
    return after != before


@pytest.mark.parametrize(
    ("system", "floor", "own"),
    [
        ("slide", "pl_env", {"pl_env/times.py", "pl_env/slide/dynamics.py", "pl_env/slide/deep/er.py"}),
        (
            "slide",
            "baselines",
            {
                *("pl_env/times.py", "pl_env/slide/dynamics.py", "pl_env/slide/deep/er.py"),
                *("baselines/registry.py", "baselines/slide/exact.py"),
            },
        ),
        ("", "pl_env", {"pl_env/times.py"}),
        ("cold_start", "pl_env", {"pl_env/times.py", "pl_env/cold_start/dynamics.py"}),
    ],
)
def test_a_stamp_changes_with_its_own_files_and_with_no_others(house, system, floor, own):
    assert {name for name in FILES if changes(house, name, system, floor)} == own


def test_a_stamp_changes_when_a_file_moves(house):
    before = sources.stamp("slide", "pl_env")
    (house / "pl_env/slide/dynamics.py").rename(house / "pl_env/slide/physics.py")
    sources.stamp.cache_clear()
    assert sources.stamp("slide", "pl_env") != before


def test_modules_have_the_stamp_of_their_room_and_floor(house):
    assert sources.stamp_of_module("pl_env.times") == sources.stamp("", "pl_env")
    assert sources.stamp_of_module("pl_env.slide.dynamics") == sources.stamp("slide", "pl_env")
    assert sources.stamp_of_module("baselines.slide.exact") == sources.stamp("slide", "baselines")
    foreign = sources.stamp_of_module("mine.kernels")
    assert foreign not in {sources.stamp(system, "pl_env") for system in ("", "slide", "cold_start")}
    (house / "pl_env/slide/dynamics.py").write_text("one = 2\n")
    assert sources.stamp_of_module("mine.kernels") != foreign
