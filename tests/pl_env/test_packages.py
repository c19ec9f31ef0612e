from __future__ import annotations

import pytest

import pl_env
from pl_env import packages
from tests import helpers


def test_what_is_there_is_imported():
    assert packages.require_package("pl_env.ranges").__name__ == "pl_env.ranges"


def test_a_missing_package_is_named_with_the_command_that_helps():
    code = (
        helpers.WITHOUT_TORCH
        + """
import pl_env
from pl_env.packages import require_package
for name in ("torch", "agents.agent"):  # the package, and a module of ours that imports it
    try:
        require_package(name)
    except pl_env.MissingPackage as error:
        print(error)
"""
    )
    assert helpers.run_python(code) == "this needs torch; install it with: pip install 'pl-env[agents]'\n" * 2


def test_a_missing_module_of_our_own_is_a_mistake_that_no_installation_helps():
    with pytest.raises(ModuleNotFoundError, match="agents") as caught:
        packages.require_package("agents.nowhere")
    assert not isinstance(caught.value, pl_env.MissingPackage)
