from __future__ import annotations

import pytest
import torch

import pl_env
from pl_env.layers import ARCHITECTURES, layer_table
from pl_env.real_models.resnet import ResNet, build


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers_have_the_tables_names_order_parameters_and_outputs(architecture):
    """Outputs at 57 pixels, where odd sides must be rounded as in the table."""
    network = ResNet(architecture, 7).eval()
    outputs = {}
    for name, module in network.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.BatchNorm2d, torch.nn.Linear)):
            module.register_forward_hook(lambda m, i, o, name=name: outputs.__setitem__(name, o.numel()))
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 57, 57)).shape == (1, 7)
    table = layer_table(architecture, 7, 57)
    assert {layer.name: layer.outputs for layer in table} == outputs
    modules = dict(network.named_modules())
    assert [sum(p.numel() for p in modules[layer.name].parameters()) for layer in table] == [
        layer.parameters for layer in table
    ]


def test_a_shortcut_is_added():
    """With all weights of the residual branches zero, what is left is the shortcut."""
    network = ResNet("resnet18", 3).eval()
    block = network.layer1[0]
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.rand(1, 64, 8, 8)
    assert torch.equal(block(x), x)


def test_unknown_architectures_and_heads():
    with pytest.raises(pl_env.UnknownName, match="there is no architecture 'vgg'"):
        ResNet("vgg", 3)
    with pytest.raises(pl_env.InvalidValue, match=r"has no tensor 'fc.bias'"):
        build("resnet18", {"head.bias": (3,)})
