"""Importing is light, and does no harm when done again."""

from __future__ import annotations

import importlib
import warnings

import gymnasium as gym
import pytest

import pl_env
from tests import helpers


def test_importing_loads_nothing_heavy_and_compiles_nothing():
    code = """
import sys
from numba.core import event
with event.install_recorder("numba:compile") as compilations:
    import pl_env
from pl_env import wireless
from pl_env.partial_loading import dynamics, stepping, validation
assert not compilations.buffer, compilations.buffer
kernels = [value for module in (wireless, dynamics, stepping, validation) for value in vars(module).values()
           if hasattr(value, "py_func")]
assert len(kernels) > 10
assert not any(kernel.signatures for kernel in kernels)
heavy = {"torch", "stable_baselines3", "sb3_contrib", "matplotlib", "baselines", "agents", "moviepy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
wireless.spectral_efficiency(1.0)
assert wireless.spectral_efficiency.signatures
"""
    helpers.run_python(code)


def test_importing_opens_no_data_files():
    """Only modules, and the folder of their caches, which numba finds writable or not."""
    code = """
import sys
import gymnasium, numba, numpy
import pl_env.compiling
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
for name in [name for name in sys.modules if name.split(".")[0] == "pl_env"]:
    del sys.modules[name]
import pl_env
ours = [path for path in opened if "pl_env" in path]
assert ours
data = [path for path in ours if not path.endswith((".py", ".pyc")) and "__pycache__" not in path]
kernels = [path for path in ours if path.endswith((".nbi", ".nbc"))]
assert not data + kernels, data + kernels
"""
    helpers.run_python(code)


def test_importing_again_changes_no_registration():
    ids = ("PartialLoading-v0", "PartialLoadingGeneral-v0", "PartialLoadingFading-v0")
    before = [gym.registry[id] for id in ids]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(pl_env)
    assert all(gym.registry[id] is spec for id, spec in zip(ids, before, strict=True))


def test_making_an_environment_by_module_name_in_a_fresh_process():
    code = """
import gymnasium as gym
print(gym.make("pl_env:PartialLoadingFading-v0").unwrapped.scenario.fading)
"""
    assert helpers.run_python(code).strip() == "batch"


@pytest.mark.parametrize("name", pl_env.__all__)
def test_every_public_name_exists_and_is_documented(name):
    assert getattr(pl_env, name).__doc__


def test_names_that_do_not_exist():
    with pytest.raises(AttributeError, match="module 'pl_env' has no attribute 'magic'"):
        pl_env.magic  # noqa: B018
    assert pl_env.__version__.count(".") == 2


def test_every_error_is_a_plenverror():
    errors = [getattr(pl_env, name) for name in pl_env.__all__ if isinstance(getattr(pl_env, name), type)]
    errors = [error for error in errors if issubclass(error, Exception)]
    assert len(errors) == 9
    assert all(issubclass(error, pl_env.PlEnvError) for error in errors)
    assert not issubclass(pl_env.FileFormatError, ValueError)
