"""The example that makes a real library: generated images, and images in CIFAR's binary format."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pl_env.layers import layer_table
from pl_env.real_models.scanning import scan, shared_bytes

PATH = Path(__file__).parents[2] / "examples" / "make_library.py"
SPEC = importlib.util.spec_from_file_location("make_library", PATH)
assert SPEC is not None
assert SPEC.loader is not None
example = importlib.util.module_from_spec(SPEC)
sys.modules["make_library"] = example
SPEC.loader.exec_module(example)

FEW = ["--pretraining-steps", "1", "--steps", "1"]


def make(out: Path, *arguments: str) -> Path:
    assert example.main(["--out", str(out), *FEW, *arguments]) == 0
    return out


def test_bottom_layers_are_shared_byte_for_byte(tmp_path, capsys):
    """Model i shares the first l_i layers, with their running statistics, and nothing else."""
    library = scan((make(tmp_path, "--n-models", "3", "--seed", "1"),)).library
    printed = capsys.readouterr().out
    depths = [int(line.split(": ")[1].split()[0]) for line in printed.splitlines() if "layers frozen" in line]
    assert len(set(depths)) > 1
    prefix = np.cumsum([0, *(layer.state_bytes for layer in layer_table("resnet18"))])
    expected = prefix[np.minimum.outer(depths, depths)]
    np.fill_diagonal(expected, prefix[-1])
    assert shared_bytes(library).tolist() == expected.tolist()
    assert library.sharing == "bls"
    assert library.architectures == ("resnet18",) * 3
    assert library.model_names == ("resnet18-00", "resnet18-01", "resnet18-02")


def test_chosen_layers_are_shared_in_the_general_case(tmp_path):
    folder = make(tmp_path, "--n-models", "3", "--sharing", "general", "--theta", "0.5", "--theta-spread", "0")
    library = scan((folder,)).library
    assert library.sharing == "general"
    assert (shared_bytes(library)[~np.eye(3, dtype=bool)] > 0).all()


def test_nothing_is_shared_if_asked_for_and_the_seed_decides(tmp_path):
    first = make(tmp_path / "a", "--n-models", "2", "--sharing", "none", "--seed", "3")
    again = make(tmp_path / "b", "--n-models", "2", "--sharing", "none", "--seed", "3")
    other = make(tmp_path / "c", "--n-models", "2", "--sharing", "none", "--seed", "4")
    assert scan((first,)).library.sharing == "none"
    for name in ("resnet18-00.safetensors", "resnet18-01.safetensors"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
        assert (first / name).read_bytes() != (other / name).read_bytes()


def write_cifar(folder: Path, rng: np.random.Generator) -> None:
    """Tiny files in the format of cs.toronto.edu/~kriz/cifar.html: labels, then 3072 bytes of pixels."""
    (folder / "cifar-100-binary").mkdir(parents=True)
    (folder / "cifar-10-batches-bin").mkdir()
    fine = rng.permutation(100).astype(np.uint8)
    records = np.concatenate([fine[:, None] // 5, fine[:, None], rng.integers(256, size=(100, 3072))], axis=1)
    (folder / "cifar-100-binary/train.bin").write_bytes(records.astype(np.uint8).tobytes())
    for n in range(1, 3):
        labels = np.arange(40)[:, None] % 10
        records = np.concatenate([labels, rng.integers(256, size=(40, 3072))], axis=1)
        (folder / f"cifar-10-batches-bin/data_batch_{n}.bin").write_bytes(records.astype(np.uint8).tobytes())


def test_cifar_files_are_read_as_their_format_says(tmp_path):
    write_cifar(tmp_path, np.random.default_rng(0))
    images = example.read_cifar([tmp_path / "cifar-100-binary/train.bin"], label_bytes=2)
    assert images.pixels.shape == (100, 3, 32, 32)
    raw = (tmp_path / "cifar-100-binary/train.bin").read_bytes()
    assert images.labels.tolist() == [raw[3074 * n + 1] for n in range(100)]
    assert images.pixels[7].tobytes() == raw[7 * 3074 + 2 : 8 * 3074]
    assert images.n_classes == 100
    some = images.of_classes(np.array([7, 3]))
    assert sorted(some.labels.tolist()) == [0, 1]
    assert some.pixels[some.labels == 1].tobytes() == images.pixels[images.labels == 7].tobytes()


def test_cifar_takes_the_place_of_generated_images(tmp_path, capsys):
    write_cifar(tmp_path / "data", np.random.default_rng(0))
    make(tmp_path / "models", "--n-models", "1", "--data", str(tmp_path / "data"))
    out = capsys.readouterr().out
    assert "pre-trained on 100 classes" in out
    assert "5 of 10 classes" in out
    assert load_file(tmp_path / "models/resnet18-00.safetensors")["fc.bias"].shape == (5,)


def test_the_generated_tasks_can_be_learned():
    rng = np.random.default_rng(0)
    images = example.generated_images(rng, 16, n_classes=3)
    assert images.pixels.shape == (300, 3, 16, 16)
    assert images.pixels.dtype == np.uint8
    means = np.stack([images.pixels[images.labels == c].mean(axis=0) for c in range(3)])
    distance = ((images.pixels[:, None] - means[None]) ** 2).sum(axis=(2, 3, 4))
    assert (distance.argmin(axis=1) == images.labels).mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n-models", "0"], "error: n_models is 0"),
        (["--theta", "2"], "error: theta is 2"),
        (["--architectures", "vgg"], "error: there is no architecture 'vgg'"),
        (["--data", "nowhere"], "error: nowhere/cifar-10-batches-bin"),
    ],
)
def test_a_mistake_prints_one_sentence(tmp_path, capsys, arguments, message):
    assert example.main(["--out", str(tmp_path / "models"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "models").exists()


def test_damaged_cifar_files(tmp_path, capsys):
    write_cifar(tmp_path, np.random.default_rng(0))
    batch = tmp_path / "cifar-10-batches-bin/data_batch_1.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    assert example.main(["--out", str(tmp_path / "models"), "--data", str(tmp_path)]) == 1
    assert "not CIFAR's binary format, or truncated" in capsys.readouterr().err
