"""Layer tables against published counts and layers worked by hand."""

from __future__ import annotations

import pytest

import pl_env
from pl_env.layers import ARCHITECTURES, TRANSFORMERS, Layer, layer_table, transformer_table

PARAMETERS = {"resnet18": 11_181_642, "resnet34": 21_289_802, "resnet50": 23_528_522}


@pytest.mark.parametrize(("name", "layers"), [("resnet18", 41), ("resnet34", 73), ("resnet50", 107)])
def test_number_of_layers(name, layers):
    assert len(layer_table(name)) == layers


@pytest.mark.parametrize(("name", "megabytes"), [("resnet18", 44.7), ("resnet34", 85.2), ("resnet50", 94.1)])
def test_sizes_with_a_ten_way_head(name, megabytes):
    table = layer_table(name, n_classes=10)
    assert sum(layer.parameters for layer in table) == PARAMETERS[name]
    assert sum(layer.bytes for layer in table) == 4 * PARAMETERS[name]
    assert sum(layer.bytes for layer in table) / 1e6 == pytest.approx(megabytes, abs=0.05)


@pytest.mark.parametrize(("name", "giga"), [("resnet18", 1.814), ("resnet34", 3.664), ("resnet50", 4.089)])
def test_multiply_accumulates_at_224_pixels(name, giga):
    table = layer_table(name, n_classes=1000, image_size=224)
    assert sum(layer.macs for layer in table if layer.kind != "bn") / 1e9 == pytest.approx(giga, abs=0.0005)


def test_first_layers_by_hand():
    """224 pixels: the stem halves to 112, pooling to 56. A convolution is c_in · c_out · k² weights, once per pixel."""
    stem = (
        Layer("conv1", "conv", 3 * 64 * 49, 9_408 * 112 * 112, 64 * 112 * 112),
        Layer("bn1", "bn", 128, 64 * 112 * 112, 64 * 112 * 112),
    )
    pixels = 56 * 56
    assert layer_table("resnet18", 1000, 224)[:4] == (
        *stem,
        Layer("layer1.0.conv1", "conv", 36_864, 36_864 * pixels, 64 * pixels),
        Layer("layer1.0.bn1", "bn", 128, 64 * pixels, 64 * pixels),
    )
    bottleneck = [(layer.name, layer.parameters) for layer in layer_table("resnet50", 1000, 224)[2:10]]
    assert bottleneck == [
        ("layer1.0.conv1", 64 * 64),
        ("layer1.0.bn1", 128),
        ("layer1.0.conv2", 64 * 64 * 9),
        ("layer1.0.bn2", 128),
        ("layer1.0.conv3", 64 * 256),
        ("layer1.0.bn3", 512),
        ("layer1.0.downsample.0", 64 * 256),
        ("layer1.0.downsample.1", 512),
    ]


@pytest.mark.parametrize(("name", "features"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)])
def test_the_head_is_the_last_layer(name, features):
    assert layer_table(name, 10)[-1] == Layer("fc", "fc", features * 10 + 10, features * 10, 10)


def test_input_size_changes_work_but_not_parameters():
    """Odd sides are rounded up, as padding does: 57 pixels are 29 behind the stem and 15 behind the pooling."""
    small, large = layer_table("resnet34", 10, 57), layer_table("resnet34", 10, 224)
    assert [layer.parameters for layer in small] == [layer.parameters for layer in large]
    assert small[0].outputs == 64 * 29 * 29
    assert small[2].outputs == 64 * 15 * 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg16",), "there is no architecture 'vgg16'; known are: resnet18, resnet34, resnet50"),
        (("resnet18", 0), "n_classes is 0; it must be an integer of at least 1"),
        (("resnet18", 10, 1.5), "image_size is 1.5; it must be an integer of at least 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        layer_table(*arguments)
    assert str(caught.value) == message
    assert ARCHITECTURES == ("resnet18", "resnet34", "resnet50")


# ---------------------------------------------------------------- transformers


@pytest.mark.parametrize(
    ("name", "layers", "parameters", "giga"),
    [("vit_b_16", 75, 86_567_656, 17.57), ("gpt2", 76, 124_439_808, 22.99)],
)
def test_transformers_against_published_counts(name, layers, parameters, giga):
    table = transformer_table(name)
    assert len(table) == layers
    assert sum(layer.parameters for layer in table) == parameters
    assert sum(layer.macs for layer in table) / 1e9 == pytest.approx(giga, abs=0.005)
    assert len({layer.name for layer in table}) == layers


@pytest.mark.parametrize(
    ("name", "layers", "parameters", "giga"),
    [("resnet18", 41, 11_689_512, 1.82), ("resnet34", 73, 21_797_672, 3.67), ("resnet50", 107, 25_557_032, 4.10)],
)
def test_resnets_with_a_thousand_classes(name, layers, parameters, giga):
    table = layer_table(name, 1000, 224)
    assert len(table) == layers
    assert sum(layer.parameters for layer in table) == parameters
    assert sum(layer.macs for layer in table) / 1e9 == pytest.approx(giga, abs=0.005)


def encoder_block():
    """A transformer's block of torch's own layers, in the order of the table."""
    from torch import nn

    return [nn.LayerNorm(768), nn.Linear(768, 2304), nn.Linear(768, 768), nn.LayerNorm(768), nn.Linear(768, 3072),
            nn.Linear(3072, 768)]  # fmt: skip


def test_every_layer_has_the_parameters_that_torch_gives_it():
    import torch
    from torch import nn

    with torch.device("meta"):  # counts, no memory
        blocks = [layer for _ in range(12) for layer in encoder_block()]
        positions, token = nn.Parameter(torch.empty(197, 768)), nn.Parameter(torch.empty(768))
        vit = [nn.ParameterList([positions, token, *nn.Conv2d(3, 768, 16, stride=16).parameters()]), *blocks,
               nn.LayerNorm(768), nn.Linear(768, 1000)]  # fmt: skip
        gpt2 = [nn.Embedding(50_257, 768), nn.Embedding(1024, 768), *blocks, nn.LayerNorm(768)]
    for name, modules in (("vit_b_16", vit), ("gpt2", gpt2)):
        counts = [sum(parameter.numel() for parameter in module.parameters()) for module in modules]
        tied_head = [0] if name == "gpt2" else []
        assert [layer.parameters for layer in transformer_table(name)] == counts + tied_head


def test_work_of_a_block_by_hand():
    """197 tokens of width 768; the attention, 2 · 197² · 768, counts with its projection."""
    macs = [layer.macs for layer in transformer_table("vit_b_16")[1:7]]
    assert macs == [197 * 768, 197 * 768 * 2304, 197 * 768 * 768 + 2 * 197**2 * 768, 197 * 768, 197 * 768 * 3072,
                    197 * 3072 * 768]  # fmt: skip


def test_a_longer_prompt_is_more_work_and_no_more_parameters():
    short, long = transformer_table("gpt2", prompt_tokens=1), transformer_table("gpt2", prompt_tokens=1024)
    assert [layer.parameters for layer in short] == [layer.parameters for layer in long]
    assert short[-1].macs == long[-1].macs == 50_257 * 768
    assert short[3].macs * 1024 == long[3].macs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bert",), "there is no architecture 'bert'; known are: gpt2, vit_b_16"),
        (("vit_b_16", 0), "n_classes is 0; it must be an integer of at least 1"),
        (("vit_b_16", 10, 100), "image_size is 100; it must be a multiple of 16"),
        (("gpt2", 10, 224, 2000), "prompt_tokens is 2000; it must be an integer from 1 to 1024"),
    ],
)
def test_bad_arguments_of_transformers(arguments, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        transformer_table(*arguments)
    assert str(caught.value) == message
    assert TRANSFORMERS == ("vit_b_16", "gpt2")
