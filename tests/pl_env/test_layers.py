"""Layer tables against published counts and layers worked by hand."""

from __future__ import annotations

import pytest

import pl_env
from pl_env.layers import ARCHITECTURES, Layer, layer_table

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
