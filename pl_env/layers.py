"""Layer tables of neural networks: parameters, bytes, multiply-accumulates and outputs of every layer.

The tables are derived from the architecture, not typed in. ResNets are those of He et al., "Deep Residual Learning for
Image Recognition", CVPR 2016; layers are counted as the PartialLoading paper counts them: every convolution, batch
normalisation and fully connected layer is one, which gives 41, 73 and 107 for ResNet-18, 34 and 50. Transformers are
ViT-B/16 (Dosovitskiy et al., ICLR 2021) and GPT-2 small (Radford et al., 2019): embeddings, layer normalisations and
linear layers are one each, 75 and 76 of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pl_env.errors import UnknownName
from pl_env.ranges import require, require_integer

BYTES_PER_PARAMETER = 4
"""Weights are single precision (fp32)."""

_COUNTER_BYTES = 8  # num_batches_tracked, an int64


@dataclass(frozen=True)
class Layer:
    """One layer of a network, in the order of the forward pass.

    Attributes:
        name: Name as in torchvision's state dict (GPT-2: Hugging Face's), without the tensor's own name.
        kind: "conv", "bn" or "fc"; in a transformer "embedding", "ln" or "fc".
        parameters: Trainable parameters (a batch normalisation's running statistics are not counted).
        macs: Multiply-accumulates for one sample; one per output element in a normalisation.
        outputs: Output elements for one sample.
    """

    name: str
    kind: str
    parameters: int
    macs: int
    outputs: int

    @property
    def bytes(self) -> int:
        """Size of the parameters in bytes."""
        return self.parameters * BYTES_PER_PARAMETER

    @property
    def buffer_bytes(self) -> int:
        """Size of what a checkpoint holds besides: running mean, running variance and the counter of a normalisation.

        The paper and the presets count parameters only. A real checkpoint is loaded with its buffers.
        """
        return self.parameters * BYTES_PER_PARAMETER + _COUNTER_BYTES if self.kind == "bn" else 0

    @property
    def state_bytes(self) -> int:
        """Size of the layer in a checkpoint: parameters and buffers, in bytes."""
        return self.bytes + self.buffer_bytes


@dataclass(frozen=True)
class _ResNet:
    blocks: tuple[int, int, int, int]
    bottleneck: bool


_RESNETS = {
    "resnet18": _ResNet((2, 2, 2, 2), bottleneck=False),
    "resnet34": _ResNet((3, 4, 6, 3), bottleneck=False),
    "resnet50": _ResNet((3, 4, 6, 3), bottleneck=True),
}

ARCHITECTURES: tuple[str, ...] = tuple(_RESNETS)
"""Names that `layer_table` knows."""


class _Builder:
    """Collects layers while it tracks channels and the side length of the feature map."""

    def __init__(self, image_size: int) -> None:
        self.layers: list[Layer] = []
        self.side = image_size

    def convolution(self, name: str, norm: str, c_in: int, c_out: int, kernel: int, side_out: int) -> None:
        """Add a convolution without bias and the batch normalisation behind it."""
        outputs = c_out * side_out * side_out
        weights = c_in * c_out * kernel * kernel
        self.layers.append(Layer(name, "conv", weights, weights * side_out * side_out, outputs))
        self.layers.append(Layer(norm, "bn", 2 * c_out, outputs, outputs))

    def residual_block(self, prefix: str, c_in: int, width: int, stride: int, bottleneck: bool) -> int:
        """Add a basic or a bottleneck block and return its output channels."""
        c_out = width * 4 if bottleneck else width
        side_out = _halved(self.side) if stride == 2 else self.side
        if bottleneck:  # the stride sits in the 3×3 convolution, as in torchvision
            self.convolution(f"{prefix}.conv1", f"{prefix}.bn1", c_in, width, 1, self.side)
            self.convolution(f"{prefix}.conv2", f"{prefix}.bn2", width, width, 3, side_out)
            self.convolution(f"{prefix}.conv3", f"{prefix}.bn3", width, c_out, 1, side_out)
        else:
            self.convolution(f"{prefix}.conv1", f"{prefix}.bn1", c_in, width, 3, side_out)
            self.convolution(f"{prefix}.conv2", f"{prefix}.bn2", width, width, 3, side_out)
        if stride == 2 or c_in != c_out:
            self.convolution(f"{prefix}.downsample.0", f"{prefix}.downsample.1", c_in, c_out, 1, side_out)
        self.side = side_out
        return c_out


def _halved(side: int) -> int:
    return (side + 1) // 2


@lru_cache(maxsize=64)
def layer_table(architecture: str, n_classes: int = 10, image_size: int = 128) -> tuple[Layer, ...]:
    """Layers of a ResNet with an ``n_classes``-way head for square RGB images of ``image_size`` pixels a side.

    Raises:
        UnknownName: The architecture is not one of `ARCHITECTURES`.
        InvalidValue: ``n_classes`` or ``image_size`` is below 1.
    """
    if architecture not in _RESNETS:
        raise UnknownName("architecture", architecture, ARCHITECTURES)
    require_integer("n_classes", n_classes, 1)
    require_integer("image_size", image_size, 1)
    network = _RESNETS[architecture]
    builder = _Builder(image_size)
    builder.side = _halved(builder.side)
    builder.convolution("conv1", "bn1", 3, 64, 7, builder.side)
    builder.side = _halved(builder.side)  # the max pooling behind the stem has no parameters and is no layer here
    channels = 64
    for stage, n_blocks in enumerate(network.blocks):
        for block in range(n_blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            prefix = f"layer{stage + 1}.{block}"
            channels = builder.residual_block(prefix, channels, 64 * 2**stage, stride, network.bottleneck)
    head = Layer("fc", "fc", (channels + 1) * n_classes, channels * n_classes, n_classes)
    return (*builder.layers, head)


# ---------------------------------------------------------------- transformers

TRANSFORMERS: tuple[str, ...] = ("vit_b_16", "gpt2")
"""Names that `transformer_table` knows."""

_WIDTH, _BLOCKS, _PATCH = 768, 12, 16
_VOCABULARY, _LONGEST_PROMPT = 50_257, 1_024


@lru_cache(maxsize=64)
def transformer_table(
    architecture: str, n_classes: int = 1000, image_size: int = 224, prompt_tokens: int = 256
) -> tuple[Layer, ...]:
    """Layers of ViT-B/16 with an ``n_classes``-way head, or of GPT-2 small.

    GPT-2's head is the token embedding once more (tied): it has no parameters of its own, but work, for the last token.

    Args:
        architecture: One of `TRANSFORMERS`.
        n_classes: Classes of the ViT's head.
        image_size: Pixels a side of the ViT's square RGB images, a multiple of 16.
        prompt_tokens: Tokens of GPT-2's prompt.

    Raises:
        UnknownName: The architecture is not one of `TRANSFORMERS`.
        InvalidValue: A size is out of range.
    """
    if architecture not in TRANSFORMERS:
        raise UnknownName("architecture", architecture, TRANSFORMERS)
    require_integer("n_classes", n_classes, 1)
    require_integer("image_size", image_size, _PATCH)
    require(image_size % _PATCH == 0, "image_size", image_size, f"a multiple of {_PATCH}")
    require_integer("prompt_tokens", prompt_tokens, 1, _LONGEST_PROMPT)
    return _vit(n_classes, image_size) if architecture == "vit_b_16" else _gpt2(prompt_tokens)


def _vit(n_classes: int, image_size: int) -> tuple[Layer, ...]:
    """Patches, class token and positions are one layer, as none of them is of use without the others."""
    patches = (image_size // _PATCH) ** 2
    tokens, weights = patches + 1, 3 * _PATCH * _PATCH * _WIDTH
    parameters = weights + _WIDTH + _WIDTH + tokens * _WIDTH
    names = ("ln_1", "self_attention.in_proj", "self_attention.out_proj", "ln_2", "mlp.0", "mlp.3")
    return (
        Layer("conv_proj", "embedding", parameters, patches * weights, tokens * _WIDTH),
        *_encoder("encoder.layers.encoder_layer_{}.", names, tokens),
        _normalisation("encoder.ln", tokens),
        _linear("heads.head", 1, _WIDTH, n_classes),
    )


def _gpt2(tokens: int) -> tuple[Layer, ...]:
    """Looking a token up is no multiplication."""
    names = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    return (
        Layer("wte", "embedding", _VOCABULARY * _WIDTH, 0, tokens * _WIDTH),
        Layer("wpe", "embedding", _LONGEST_PROMPT * _WIDTH, 0, tokens * _WIDTH),
        *_encoder("h.{}.", names, tokens),
        _normalisation("ln_f", tokens),
        Layer("lm_head", "fc", 0, _VOCABULARY * _WIDTH, _VOCABULARY),
    )


def _encoder(prefix: str, names: tuple[str, ...], tokens: int) -> list[Layer]:
    """The blocks. The attention itself, 2 · tokens² · width, has no parameters and counts with its projection."""
    layers: list[Layer] = []
    for block in range(_BLOCKS):
        ln_1, qkv, projection, ln_2, fc_1, fc_2 = (prefix.format(block) + name for name in names)
        layers += [
            _normalisation(ln_1, tokens),
            _linear(qkv, tokens, _WIDTH, 3 * _WIDTH),
            _linear(projection, tokens, _WIDTH, _WIDTH, besides=2 * tokens * tokens * _WIDTH),
            _normalisation(ln_2, tokens),
            _linear(fc_1, tokens, _WIDTH, 4 * _WIDTH),
            _linear(fc_2, tokens, 4 * _WIDTH, _WIDTH),
        ]
    return layers


def _normalisation(name: str, tokens: int) -> Layer:
    return Layer(name, "ln", 2 * _WIDTH, tokens * _WIDTH, tokens * _WIDTH)


def _linear(name: str, tokens: int, c_in: int, c_out: int, besides: int = 0) -> Layer:
    """A linear layer with a bias."""
    return Layer(name, "fc", (c_in + 1) * c_out, tokens * c_in * c_out + besides, tokens * c_out)
