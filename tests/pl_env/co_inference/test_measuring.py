"""Split tables of torch models, against counts by hand; what is no sequential model is refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pl_env.__main__ import main
from pl_env.co_inference import Scenario, SplitTable, split_table
from pl_env.co_inference.measuring import load_model, measure
from pl_env.errors import FileFormatError, InvalidValue


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))


def needs_an_argument(width):
    return nn.Linear(width, 1)


def makes_nothing():
    return None


class Skips(nn.Module):
    """The third block reads what the first gives."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.a(x)
        return self.c(x + self.b(x))


class Flattens(nn.Module):
    """A view between blocks, as torchvision's ResNets have it."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 5, 3), nn.Linear(5 * 36, 7)

    def forward(self, x):
        return self.fc(torch.flatten(self.conv(x), 1))


class Unused(nn.Sequential):
    def forward(self, x):
        return self[0](x)


class Backwards(nn.Sequential):
    def forward(self, x):
        return self[0](self[1](x))


def test_by_hand():
    table = measure(small(), (8,), name="small")
    assert table == SplitTable("small", (0, 64, 64, 80), (8 * 16, 4 * 16, 4 * 16, 0), 4 * 9 + 2 * 5)
    flattened = measure(Flattens(), (3, 8, 8), input_bits=1000, bits_per_number=32)
    assert flattened.device_flop == (0, 2 * 36 * 5 * 27, 2 * 36 * 5 * 27 + 2 * 180 * 7)
    assert flattened.embedding_bits == (1000, 180 * 32, 0)


def test_a_transformer_block_has_the_flop_of_the_formula():
    tokens, width = 10, 32
    layers = [nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True) for _ in range(3)]
    model = nn.Sequential(nn.Embedding(50, width), *layers)
    table = measure(model, (tokens,), vocabulary=50)
    block = 2 * (4 * tokens * width**2 + 2 * tokens**2 * width + 8 * tokens * width**2)
    assert table.device_flop == (0, 0, block, 2 * block, 3 * block)
    assert table.embedding_bits == (160, 5120, 5120, 5120, 0)


def test_the_architectures_own_table():
    """ResNet-like numbers from a real convolution: a 7×7 stem of stride 2."""
    model = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.MaxPool2d(3, 2, 1))
    table = measure(model, (3, 224, 224))
    assert table.total_flop == split_table("resnet152").device_flop[1]


def test_the_model_is_left_as_it_was():
    model = small().train()
    measure(model, (8,))
    assert model.training
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (Skips(), (4,), "model runs its block 'c' on something else than what 'b' gives"),
        (Unused(nn.Linear(4, 4), nn.Linear(4, 4)), (4,), "model never runs its block '1'; all must run"),
        (Backwards(nn.Linear(4, 4), nn.Linear(4, 4)), (4,), "model runs its block '1' out of order, or twice"),
        (nn.Sequential(nn.LSTM(4, 4), nn.Linear(4, 4)), (3, 4), "model has a block '0' that gives no single tensor"),
        (nn.Linear(4, 4), (4,), "model is 'Linear'; it must be a module with children"),
        (small(), (9,), r"input_shape is \(9,\); the model cannot run on it \(mat1 and mat2"),
        (small(), (), r"input_shape is \(\); it must be at least one integer"),
        (small(), (0,), r"input_shape\[0\] is 0; it must be an integer from 1"),
    ],
)
def test_what_cannot_be_split(model, shape, message):
    with pytest.raises(InvalidValue, match=message) as caught:
        measure(model, shape)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch", "model is 'torch'; it must be module:function"),
        ("no_such_module:f", "there is no module 'no_such_module' here"),
        ("torch.nn:Nothing", "torch.nn has no 'Nothing'"),
        ("tests.pl_env.co_inference.test_measuring:needs_an_argument", "a function that needs no arguments"),
        ("tests.pl_env.co_inference.test_measuring:makes_nothing", "returns a torch.nn.Module, not None"),
        ("math:pi", "a function without arguments, or a torch.nn.Module"),
    ],
)
def test_names_of_models(name, message):
    with pytest.raises(InvalidValue, match=message):
        load_model(name)


def test_the_command(tmp_path, capsys):
    name = "tests.pl_env.co_inference.test_measuring:small"
    path = tmp_path / "small.json"
    assert main(["split", name, "--input-shape", "8", "-o", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "46 parameters" in printed
    table = SplitTable.load(path)
    assert table.device_flop == (0, 64, 64, 80)
    instance = Scenario(model=table, n_tasks=2).sample(np.random.default_rng(0))
    assert instance.useful_splits.tolist() == [0, 1, 3]
    assert main(["split", "blip2"]) == 0
    assert "3,742," in capsys.readouterr().out
    assert main(["split", name]) == 1
    assert capsys.readouterr().err == "error: input_shape is (); it must be at least one integer\n"


def test_damaged_tables(tmp_path):
    path = tmp_path / "table.json"
    for content in (b"{", b"{}", b'{"format": "pl-env-split-table", "version": 1, "table": 3}'):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"table\.json"):
            SplitTable.load(path)
