"""Arrays by address and NumPy's generators, as kernels see them."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from pl_env.low_level import addresses_of, array_reader, fields_of, generator_addresses, next_double, zeros_of
from tests import helpers


class Three(NamedTuple):
    numbers: Annotated[NDArray[np.int64], "N"]
    table: Annotated[NDArray[np.float32], "rows", "N", "2"]
    cells: Annotated[NDArray[Any], "rows", "K"]


three_at = array_reader(Three)


@numba.njit
def change(addresses, cells):
    three = three_at(addresses, cells)
    three.numbers[-1] = three.table.shape[0] * 100 + three.table.shape[1] * 10 + three.table.shape[2]
    three.table[1, 2, 0] += three.table[0, 1, 1]
    three.cells[1] = three.cells[0] + 1
    return three.cells.itemsize


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_kernels_read_and_write_arrays_by_address(kind):
    numbers, cells = np.zeros(4, dtype=np.int64), np.arange(6, dtype=kind).reshape(2, 3)
    table = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    addresses = addresses_of(Three(numbers, table, cells))
    assert change(addresses, cells) == cells.itemsize
    assert numbers.tolist() == [0, 0, 0, 232]
    assert table[1, 2, 0] == 10 + 3
    assert cells.tolist() == [[0, 1, 2], [1, 2, 3]]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 3, 2)),
        np.zeros((2, 3), dtype=np.float32),
        np.zeros((2, 3, 4), dtype=np.float32)[:, :, ::2],
    ],
)
def test_arrays_that_a_kernel_would_misread_are_refused(wrong):
    with pytest.raises(TypeError, match="expected a contiguous"):
        addresses_of(Three(np.zeros(1, dtype=np.int64), wrong, np.zeros((1, 1))))


def test_fields_say_what_their_arrays_are():
    assert fields_of(Three) == ((np.int64, ("N",)), (np.float32, ("rows", "N", "2")), (None, ("rows", "K")))
    arrays = zeros_of(Three, {"N": 4, "rows": 3, "K": 0}, np.int32)
    assert [array.shape for array in arrays] == [(4,), (3, 4, 2), (3, 0)]
    assert [array.dtype for array in arrays] == [np.int64, np.float32, np.int32]
    assert addresses_of(arrays)[1].tolist() == [arrays.table.ctypes.data, 3, 4, 2]
    with pytest.raises(KeyError, match="rows"):
        zeros_of(Three, {"N": 4, "K": 0}, np.int32)


def test_numbers_and_the_generators_afterwards_are_numpys_own():
    @numba.njit
    def draw(address, out):
        for i in range(len(out)):
            out[i] = next_double(address[0], address[1])

    ours = [np.random.default_rng(0), np.random.Generator(np.random.MT19937(1))]
    theirs = [np.random.default_rng(0), np.random.Generator(np.random.MT19937(1))]
    for mine, numpys, address in zip(ours, theirs, generator_addresses(ours), strict=True):
        out = np.empty(6)
        draw(address, out)
        np.testing.assert_array_equal(out, numpys.random(6))
        assert mine.random() == numpys.random()
        assert mine.integers(1000) == numpys.integers(1000)


EPISODE = """
import gymnasium as gym, numpy as np, pl_env
for scenario in ("tiny", "fading"):
    env = gym.make("PartialLoading-v0", scenario=scenario, n_users=5).unwrapped
    observation, info = env.reset(seed=0)
    while env.any_legal:
        observation, reward, _, _, info = env.step(int(np.argmax(info["action_mask"])))
    print(reward, info["served"], info["elapsed_seconds"], observation["batch_time"].tolist())
"""


def test_the_environment_runs_without_compilation():
    """As debuggers and coverage want it; numbers from the generators are drawn by their own addresses there too."""
    plain = helpers.run_python(EPISODE, NUMBA_DISABLE_JIT="1")
    assert plain == helpers.run_python(EPISODE)
