"""Presets by name, fields replaced, and what is said of those that do not exist."""

from __future__ import annotations

import pickle

import gymnasium as gym
import pytest

import pl_env


@pytest.mark.parametrize("make", [lambda **f: gym.make("PartialLoading-v0", **f), pl_env.PartialLoadingVectorEnv])
def test_an_environments_unknown_argument_is_a_type_error_worded_as_pythons_own(make):
    """TorchRL looks for these words and goes on without the argument."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'; scenario fields are: backbones, "):
        make(frameskip=4)
    with pytest.raises(pl_env.UnknownArgument):
        make(frameskip=4)


def test_the_error_is_pickled_and_made_of_its_message():
    """Gymnasium makes a new one of the message; workers hand it over pickled."""
    error = pl_env.UnknownArgument("no such thing")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "no such thing"
