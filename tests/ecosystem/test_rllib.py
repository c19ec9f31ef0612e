"""RLlib: PPO with action masks, one iteration. ``make ecosystem`` installs it."""

from __future__ import annotations

import pytest

pytest.importorskip("ray.rllib")


@pytest.fixture(scope="module")
def one_core():
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    yield
    ray.shutdown()


@pytest.mark.parametrize(("name", "least"), [("PartialLoading-v0", 0.1), ("Slide-v0", 0.1), ("ColdStart-v0", -1000)])
def test_the_example_learns_with_masks(one_core, name, least, capsys):
    from examples import rllib_masks

    (mean,) = rllib_masks.train(rllib_masks.Arguments(name, iterations=1, steps=200))
    # Random play without masks serves nobody in most episodes: an illegal action ends them.
    assert mean > least
    assert "iteration 1: mean return" in capsys.readouterr().out
