from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest

from pl_env.systems import SYSTEMS


@pytest.fixture(params=SYSTEMS)
def system(request) -> str:
    return request.param


@pytest.fixture
def case(system) -> ModuleType:
    return import_module(f"tests.contract.{system}")


@pytest.fixture(params=[name for row in SYSTEMS.values() for name in row["environments"]])
def environment_id(request) -> str:
    return request.param
