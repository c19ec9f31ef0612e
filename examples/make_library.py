"""Make a real library: fine-tune one pre-trained ResNet per architecture into several models that share blocks.

A backbone is trained for a moment, then copied once for each model. A model's frozen layers stay as they are, bit for
bit; the others are trained on the model's own task. With ``--sharing bls`` the bottom layers are frozen, with
``--sharing general`` layers at random positions, with ``--sharing none`` no layer. A frozen batch normalisation is kept
in evaluation mode, since its running statistics would change otherwise.

    python examples/make_library.py --out models                        # generated images
    python examples/make_library.py --out models --data datasets        # CIFAR-100, then CIFAR-10, in binary format

Everything is determined by the seed and the number of threads.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from safetensors.torch import save
from torch import nn

from pl_env.command_line import exit_code
from pl_env.errors import FileFormatError
from pl_env.files import write_atomically
from pl_env.layers import layer_table
from pl_env.ranges import require_integer, require_real
from pl_env.real_models.resnet import ResNet

CIFAR100_FILE = Path("cifar-100-binary/train.bin")
CIFAR10_FILES = "cifar-10-batches-bin/data_batch_*.bin"
BATCH_SIZE = 32
N_GENERATED_CLASSES = 20


@dataclass
class Arguments:
    """Make a library of fine-tuned ResNets that share blocks.

    Attributes:
        out: Folder of the models.
        n_models: Number of models, round-robin over the architectures.
        architectures: Their backbones.
        sharing: Which layers are frozen: the bottom ones, some at random positions, or none.
        theta: Mean fraction of a model's layers that are frozen.
        theta_spread: Half width of the range from which each model's fraction is drawn.
        pretraining_steps: Training steps of each backbone.
        steps: Training steps of each model.
        image_size: Side of the generated images in pixels.
        data: Folder with cifar-100-binary and cifar-10-batches-bin; images are generated unless given.
        seed: Seed of everything.
        threads: Threads of torch.
    """

    out: Path
    n_models: int = 8
    architectures: tuple[str, ...] = ("resnet18",)
    sharing: Literal["bls", "general", "none"] = "bls"
    theta: float = 0.85
    theta_spread: float = 0.15
    pretraining_steps: int = 60
    steps: int = 20
    image_size: int = 32
    data: Path | None = None
    seed: int = 0
    threads: int = 1

    def check(self) -> None:
        """Raise `InvalidValue` where a number is out of range."""
        for name in ("n_models", "steps", "image_size", "threads"):
            require_integer(name, getattr(self, name), 1)
        require_integer("pretraining_steps", self.pretraining_steps, 0)
        require_integer("seed", self.seed, 0)
        require_real("theta", self.theta, 0, 1)
        require_real("theta_spread", self.theta_spread, 0, 1)


@dataclass(frozen=True)
class Images:
    """Labelled images.

    Attributes:
        pixels: uint8 (N, 3, side, side).
        labels: int64 (N,), from 0.
    """

    pixels: np.ndarray
    labels: np.ndarray

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def of_classes(self, classes: np.ndarray) -> Images:
        """The images of some classes, which are numbered anew from 0."""
        chosen = np.isin(self.labels, classes)
        return Images(self.pixels[chosen], np.searchsorted(np.sort(classes), self.labels[chosen]))


def generated_images(rng: np.random.Generator, side: int, n_classes: int = N_GENERATED_CLASSES) -> Images:
    """Images of 100 a class: a coarse pattern of the class's own, shifted and noisy."""
    coarse = rng.uniform(60, 195, size=(n_classes, 3, 4, 4))
    patterns = np.repeat(np.repeat(coarse, -(-side // 4), axis=2), -(-side // 4), axis=3)[:, :, :side, :side]
    labels = np.repeat(np.arange(n_classes), 100)
    pixels = patterns[labels] + rng.normal(0, 40, size=(len(labels), 3, side, side))
    shifts = rng.integers(-2, 3, size=len(labels))
    pixels = np.stack([np.roll(image, shift, axis=2) for image, shift in zip(pixels, shifts, strict=True)])
    return Images(pixels.clip(0, 255).astype(np.uint8), labels)


def read_cifar(files: list[Path], label_bytes: int) -> Images:
    """Images of CIFAR's binary format: records of labels (the last one counts), then 3·32·32 bytes of pixels.

    Raises:
        FileFormatError: A file is missing or its size is no multiple of a record.
    """
    records = []
    for file in files:
        try:
            content = np.frombuffer(file.read_bytes(), dtype=np.uint8)
        except OSError as error:
            raise FileFormatError(f"{file}: cannot be read ({error.strerror})") from None
        if len(content) == 0 or len(content) % (label_bytes + 3072):
            raise FileFormatError(f"{file}: not CIFAR's binary format, or truncated ({len(content)} bytes)")
        records.append(content.reshape(-1, label_bytes + 3072))
    everything = np.concatenate(records)
    labels = np.unique(everything[:, label_bytes - 1], return_inverse=True)[1]
    return Images(everything[:, label_bytes:].reshape(-1, 3, 32, 32), labels.astype(np.int64))


def datasets(arguments: Arguments, rng: np.random.Generator) -> tuple[Images, Images]:
    """Images to pre-train on, and images to fine-tune on.

    Raises:
        FileFormatError: A file of CIFAR is missing or damaged.
    """
    if arguments.data is None:
        return generated_images(rng, arguments.image_size), generated_images(rng, arguments.image_size)
    batches = sorted(arguments.data.glob(CIFAR10_FILES))
    if not batches:
        raise FileFormatError(f"{arguments.data / CIFAR10_FILES}: there is no such file")
    return read_cifar([arguments.data / CIFAR100_FILE], label_bytes=2), read_cifar(batches, label_bytes=1)


def as_input(pixels: np.ndarray) -> torch.Tensor:
    """Pixels as float32 around 0."""
    return torch.from_numpy(pixels).float().sub(128).div(64)


def train(network: nn.Module, images: Images, steps: int, frozen: frozenset[str], rng: np.random.Generator) -> float:
    """Train all layers but the frozen ones; accuracy on the last five batches, before they are trained on."""
    network.train()
    for name, module in network.named_modules():
        if name in frozen:
            module.eval()  # or a batch normalisation would go on with its running statistics
            module.requires_grad_(False)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02, momentum=0.9)
    correct = []
    for _ in range(steps):
        chosen = rng.integers(len(images.labels), size=BATCH_SIZE)
        labels = torch.from_numpy(images.labels[chosen])
        scores = network(as_input(images.pixels[chosen]))
        correct.append(float((scores.argmax(dim=1) == labels).float().mean()))
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()
    network.requires_grad_(True)
    return float(np.mean(correct[-5:])) if correct else 0.0


def frozen_layers(architecture: str, sharing: str, theta: float, rng: np.random.Generator) -> frozenset[str]:
    """Names of the layers to freeze: round(theta · L) of them, never the head."""
    names = [layer.name for layer in layer_table(architecture)]
    n_frozen = 0 if sharing == "none" else min(round(theta * len(names)), len(names) - 1)
    chosen = np.arange(n_frozen) if sharing == "bls" else rng.permutation(len(names) - 1)[:n_frozen]
    return frozenset(names[position] for position in chosen)


def save_model(network: nn.Module, path: Path, architecture: str) -> None:
    """Write a state dict as safetensors, with its architecture in the metadata."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(tensors, metadata={"architecture": architecture}))


def make_library(arguments: Arguments) -> list[Path]:
    """Train the models and write them; their files.

    Raises:
        PlEnvError: An argument is out of range, or a file of images is damaged.
    """
    arguments.check()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(arguments.seed)
    pretraining, finetuning = datasets(arguments, rng)
    backbones = {}
    for architecture in arguments.architectures:
        torch.manual_seed(int(rng.integers(2**31)))  # initial weights
        backbone = ResNet(architecture, pretraining.n_classes)
        accuracy = train(backbone, pretraining, arguments.pretraining_steps, frozenset(), rng)
        print(f"{architecture}: pre-trained on {pretraining.n_classes} classes, accuracy {accuracy:.2f}")
        backbones[architecture] = backbone.state_dict()
    spread = min(arguments.theta_spread, 1 - arguments.theta, arguments.theta)
    n_classes = max(1, finetuning.n_classes // 2)
    files = []
    for i in range(arguments.n_models):
        architecture = arguments.architectures[i % len(arguments.architectures)]
        theta = rng.uniform(arguments.theta - spread, arguments.theta + spread)
        frozen = frozen_layers(architecture, arguments.sharing, theta, rng)
        torch.manual_seed(int(rng.integers(2**31)))  # the new head
        network = ResNet(architecture, n_classes)
        below_head = {name: t for name, t in backbones[architecture].items() if not name.startswith("fc.")}
        network.load_state_dict(below_head, strict=False)
        classes = rng.permutation(finetuning.n_classes)[:n_classes]
        accuracy = train(network, finetuning.of_classes(classes), arguments.steps, frozen, rng)
        file = arguments.out / f"{architecture}-{i:02d}.safetensors"
        save_model(network, file, architecture)
        files.append(file)
        print(f"{file}: {len(frozen)} of {len(layer_table(architecture))} layers frozen, "
              f"{n_classes} of {finetuning.n_classes} classes, accuracy {accuracy:.2f}")  # fmt: skip
    return files


def main(command_line: list[str] | None = None) -> int:
    """Run the command line."""
    return exit_code(lambda: make_library(tyro.cli(Arguments, args=command_line, description=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
