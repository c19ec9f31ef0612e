from __future__ import annotations

import numpy as np

from pl_env.low_level import fill_uniforms, generator_addresses


def test_numbers_and_the_generators_afterwards_are_numpys_own():
    ours = [np.random.default_rng(seed) for seed in range(4)]
    theirs = [np.random.default_rng(seed) for seed in range(4)]
    out = np.full((3, 6), -1.0)
    which, counts, rows = np.array([2, 0, 3]), np.array([6, 0, 3]), np.array([1, 2, 0])
    fill_uniforms(generator_addresses(ours), which, counts, rows, out)
    expected = np.full((3, 6), -1.0)
    expected[1] = theirs[2].random(6)
    expected[0, :3] = theirs[3].random(3)
    np.testing.assert_array_equal(out, expected)
    for mine, numpys in zip(ours, theirs, strict=True):
        assert mine.random() == numpys.random()
        assert mine.integers(1000) == numpys.integers(1000)
