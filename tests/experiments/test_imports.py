"""The house: floors import downwards, nothing in a circle, and what stands outside the rooms knows no system."""

from __future__ import annotations

import pytest

from experiments import imports


@pytest.fixture(scope="module")
def modules():
    return imports.module_graph()


def test_the_graph_sees_imports_of_every_kind(modules):
    assert "pl_env.times" in modules["pl_env.partial_loading.scenario"]  # a name of a module
    assert "pl_env.partial_loading.dynamics" in modules["pl_env.partial_loading.stepping"]
    assert "pl_env.partial_loading.rendering" in modules["pl_env.partial_loading.env"]  # inside a function


def test_no_module_imports_in_a_circle(modules):
    assert imports.circle(modules) == []
    assert imports.circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_no_floor_imports_upwards(modules):
    assert imports.upward(modules) == []
    assert imports.upward({"pl_env.times": {"agents.agent"}, "agents.agent": set()}) == [
        ("pl_env.times", "agents.agent")
    ]


def test_nothing_outside_the_rooms_knows_a_system(modules):
    assert imports.into_rooms(modules) == []
    assert imports.into_rooms(
        {"baselines.registry": {"pl_env.partial_loading.env"}, "pl_env.partial_loading.env": set()}
    )


def test_the_drawing_in_the_document_is_the_present_one(modules):
    drawing = imports.mermaid(imports.room_graph(modules))
    assert drawing in imports.DOCUMENT.read_text(), "draw it again: python -m experiments.imports"
