"""Libraries from checkpoints: what is shared is found by content, and every solver takes the result."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

import baselines
import pl_env
from pl_env.layers import ARCHITECTURES, layer_table
from pl_env.real_models import scanning
from pl_env.real_models.resnet import ResNet
from pl_env.real_models.scanning import layer_name, private_bytes, scan, scan_as, shared_bytes
from tests import real_models

LAYER_BYTES = 4 * real_models.WIDTH * (real_models.WIDTH + 1)


def scan_of(folder: Path, **models: dict[str, torch.Tensor]):
    for name, tensors in models.items():
        real_models.save(folder / f"{name}.safetensors", tensors, None)
    return scan((folder,))


def random_resnet(architecture: str, n_classes: int = 10) -> dict[str, torch.Tensor]:
    """A state dict without equal tensors, as training makes it."""
    generator = torch.Generator().manual_seed(0)
    state = ResNet(architecture, n_classes).state_dict()
    return {
        name: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor + n
        for n, (name, tensor) in enumerate(state.items())
    }


# ---------------------------------------------------------------- layer tables


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("n_classes", [10, 100])
def test_layer_tables_equal_real_models_byte_for_byte(tmp_path, architecture, n_classes):
    found = scan_of(tmp_path, model=random_resnet(architecture, n_classes))
    (model,) = found.models
    table = layer_table(architecture, n_classes)
    parameters, everything = Counter(), Counter()
    for name, tensor in model.tensors.items():
        everything[layer_name(name)] += tensor.n_bytes
        if name.rpartition(".")[2] in ("weight", "bias"):
            parameters[layer_name(name)] += tensor.n_bytes
    assert parameters == {layer.name: layer.bytes for layer in table}
    assert everything == {layer.name: layer.state_bytes for layer in table}
    assert found.library.model_bytes.tolist() == [sum(layer.state_bytes for layer in table)]
    assert sum(layer.buffer_bytes for layer in table) == sum(
        tensor.n_bytes for name, tensor in model.tensors.items() if "running" in name or "num_batches" in name
    )
    assert found.library.architectures == (architecture,)  # recognised without metadata


def test_what_is_almost_a_resnet_is_not_recognised(tmp_path):
    whole = random_resnet("resnet18")
    lacking = {name: tensor for name, tensor in whole.items() if name != "bn1.bias"}
    headless = {name: tensor for name, tensor in whole.items() if not name.startswith("fc.")}
    found = scan_of(tmp_path, a=lacking, b=headless, c=whole | {"more": torch.ones(3)})
    assert found.library.architectures == ("unknown",) * 3


# ---------------------------------------------------------------- what is shared


@pytest.mark.parametrize(
    ("seeds", "sharing"),
    [
        (real_models.BOTTOM_SHARED, "bls"),
        (real_models.ARBITRARY, "general"),
        (real_models.NOTHING_SHARED, "none"),
        ([(1, 2, 3, 4)], "none"),
        ([(1, 2, 3, 4), (1, 2, 3, 4)], "bls"),
    ],
)
def test_sharing_by_hand(tmp_path, seeds, sharing):
    found = scan((real_models.save_perceptrons(tmp_path, seeds),))
    library = found.library
    assert library.sharing == sharing
    assert library.model_names == tuple(f"m{n}" for n in range(len(seeds)))
    assert library.architectures == ("perceptron",) * len(seeds)
    expected = [[LAYER_BYTES * len(set(one) & set(other)) for other in seeds] for one in seeds]
    assert shared_bytes(library).tolist() == expected
    counts = Counter(seed for row in seeds for seed in row)
    assert private_bytes(library).tolist() == [LAYER_BYTES * sum(counts[s] == 1 for s in row) for row in seeds]
    assert library.block_bytes.sum() == LAYER_BYTES * len(counts)
    assert library.compact() == library


def test_the_blocks_of_each_tensor_are_those_of_the_library(tmp_path):
    found = scan((real_models.save_perceptrons(tmp_path, real_models.BOTTOM_SHARED),))
    for i, model in enumerate(found.models):
        blocks = {found.block_of[piece] for piece in model.pieces.values()}
        assert blocks == set(np.flatnonzero(found.library.has_block[i]))
    size = {piece: size for model in found.models for piece, size in model.piece_bytes.items()}
    total = np.zeros(found.library.n_blocks, dtype=np.int64)
    for piece, block in found.block_of.items():
        total[block] += size[piece]
    assert total.tolist() == found.library.block_bytes.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_random_sharing_equals_a_comparison_of_bytes(tmp_path, seed):
    rng = np.random.default_rng(seed)
    seeds = rng.integers(6, size=(4, 4)).tolist()
    library = scan((real_models.save_perceptrons(tmp_path, seeds),)).library
    states = [real_models.perceptron(row) for row in seeds]

    def content(state):  # layers as bytes; equal layers of one model are tied
        return {
            b"".join(state[f"{name}.{key}"].numpy().tobytes() for key in ("weight", "bias"))
            for name in real_models.LAYERS
        }

    contents = [content(state) for state in states]
    assert shared_bytes(library).tolist() == [[sum(map(len, a & b)) for b in contents] for a in contents]
    assert library.sharing in ("none", "bls", "general")


def test_names_do_not_matter(tmp_path):
    one = real_models.perceptron((1, 2, 3, 4))
    renamed = {f"network.{name}": tensor for name, tensor in one.items()}
    library = scan_of(tmp_path, a=one, b=renamed).library
    assert library.n_blocks == 1
    assert library.has_block.all()


def test_small_tensors_are_shared_with_their_layer_only(tmp_path):
    """Equal counters and zeros are no sharing; a large weight is shared without its tuned bias."""
    weight = real_models.layer(1)["weight"]
    zeros = {"other.bias": torch.zeros(8), "other.count": torch.tensor(3)}
    tuned = scan_of(
        tmp_path,
        a={"x.weight": weight, "x.bias": torch.zeros(8), "other.weight": torch.ones(2000), **zeros},
        b={"x.weight": weight, "x.bias": torch.ones(8), "other.weight": torch.ones(2000) * 2, **zeros},
    )
    assert shared_bytes(tuned.library)[0, 1] == 4 * weight.numel()
    assert tuned.models[0].tied_names == ()


def test_tied_weights_are_one_block_and_named(tmp_path):
    weight = real_models.layer(1)["weight"]
    torch.save({"embed.weight": weight, "head.weight": weight, "x": torch.ones(2000)}, tmp_path / "tied.pt")
    found = scan((tmp_path,))
    assert found.library.model_bytes.tolist() == [4 * weight.numel() + 8000]
    assert found.models[0].tied_names == ("head.weight",)


@pytest.mark.parametrize("own_files", [False, True])
def test_adapters_over_one_base_are_a_backbone_and_small_private_parts(tmp_path, own_files):
    base = real_models.perceptron((1, 2, 3, 4))
    base_path = real_models.save(tmp_path / "base.safetensors", base, "perceptron")
    for n in range(4):
        low, high = real_models.layer(100 + n, 70).values()
        a, b = low[:8].contiguous(), low.T[:, :8].contiguous()
        adapter = {"0.lora_A.weight": a, "0.lora_B.weight": b, "0.lora_scale" if own_files else "0.lora.scale": high}
        path = tmp_path / "adapters" / f"task-{n}.safetensors"
        real_models.save(path, adapter if own_files else base | adapter)
    found = scan((tmp_path / "adapters",), base=base_path if own_files else None)
    library = found.library
    assert library.sharing == "bls"
    assert library.n_blocks == 5
    assert library.block_bytes.max() == 4 * LAYER_BYTES
    assert private_bytes(library).tolist() == [4 * (8 * 70 + 8 * 70 + 70)] * 4
    assert library.model_names == ("task-0", "task-1", "task-2", "task-3")


def test_an_adapters_tensor_stands_in_for_that_of_its_base(tmp_path):
    base = real_models.save(tmp_path / "base.safetensors", real_models.perceptron((1, 2, 3, 4)))
    own = {"6.weight": real_models.layer(9)["weight"], "6.bias": real_models.layer(9)["bias"]}
    real_models.save(tmp_path / "a.safetensors", own, None)
    with_base = scan((tmp_path,), base=base)  # the base itself is no model
    assert with_base.library.model_names == ("a",)
    assert with_base.library.model_bytes.tolist() == [4 * LAYER_BYTES]
    assert with_base.library.architectures == ("perceptron",)
    assert with_base.models[0].tensors["6.weight"].path.name == "a.safetensors"


def test_architecture_of_files_that_do_not_say_it(tmp_path):
    real_models.save(tmp_path / "a.safetensors", {"x": torch.ones(2)}, None)
    real_models.save(tmp_path / "b.safetensors", {"x": torch.ones(2)}, "mine")
    assert scan((tmp_path,)).library.architectures == ("unknown", "mine")
    assert scan((tmp_path,), architecture="theirs").library.architectures == ("theirs", "mine")


# ---------------------------------------------------------------- the library in use


@pytest.mark.parametrize("seeds", [real_models.BOTTOM_SHARED, real_models.ARBITRARY])
def test_the_environment_and_every_solver_take_the_library(tmp_path, seeds):
    scan((real_models.save_perceptrons(tmp_path, seeds),)).library.save(tmp_path / "library.npz")
    library = pl_env.ModelLibrary.load(tmp_path / "library.npz")
    server = pl_env.EdgeServer(1e9, 1e9, 1e-4, 10**9, (pl_env.ComputeProfile("perceptron", 1e-4, 1e-3, 1000),))
    scenario = pl_env.Scenario().override(library=library, server=server, n_users=12, deadline=0.01)
    env = gym.make("PartialLoading-v0", scenario=scenario)
    env.reset(seed=0)
    instance = scenario.sample(np.random.default_rng(0))
    served = {}
    for name in baselines.solvers():
        try:
            served[name] = baselines.solve(instance, name).served
        except (pl_env.UnsupportedInstance, ImportError):  # some need an extra
            assert name not in ("greedy", "independent", "max-overlap")
    assert 0 < max(served.values()) < 12
    assert ("optimal-dp" in served) == (library.sharing == "bls")


def test_without_sharing_every_model_is_one_block(tmp_path):
    library = scan((real_models.save_perceptrons(tmp_path, real_models.BOTTOM_SHARED),)).library
    alone = library.without_sharing()
    assert alone.sharing == "none"
    assert alone.model_bytes.tolist() == library.model_bytes.tolist()
    assert (alone.model_names, alone.architectures) == (library.model_names, library.architectures)


def test_scanning_again_compares_with_the_library(tmp_path):
    folder = real_models.save_perceptrons(tmp_path / "models", real_models.BOTTOM_SHARED)
    first = scan((folder / "m2.safetensors", folder / "m0.safetensors", folder / "m1.safetensors"))
    with pytest.raises(pl_env.InvalidValue, match=r"m3.safetensors is not in the library; scan again, or leave it out"):
        scan_as(first.library, (folder,))
    for name in ("m3", "m4"):
        (folder / f"{name}.safetensors").unlink()
    again = scan_as(first.library, (folder,))
    assert again.library == first.library
    assert again.block_of == first.block_of
    renamed = pl_env.ModelLibrary(
        first.library.has_block, first.library.block_bytes, ("other",) * 3, first.library.model_names
    )
    assert {model.architecture for model in scan_as(renamed, (folder,)).models} == {"other"}
    real_models.save(folder / "m0.safetensors", real_models.perceptron((1, 2, 50, 51)))
    with pytest.raises(pl_env.InvalidValue, match="do not share what the library says; scan them again"):
        scan_as(first.library, (folder,))
    (folder / "m0.safetensors").unlink()
    with pytest.raises(pl_env.InvalidValue, match="the library has a model 'm0', of which there is no checkpoint"):
        scan_as(first.library, (folder,))


def test_a_file_that_changes_while_others_are_read(tmp_path, monkeypatch):
    folder = real_models.save_perceptrons(tmp_path, real_models.NOTHING_SHARED)
    read = scanning.read_checkpoint

    def touching(path):
        checkpoint = read(path)
        if path.stem == "m1":
            os.utime(folder / "m0.safetensors", ns=(1, 1))
        return checkpoint

    monkeypatch.setattr(scanning, "read_checkpoint", touching)
    with pytest.raises(pl_env.FileFormatError, match=r"m0.safetensors: changed during the scan"):
        scan((folder,))


def test_a_base_alone_is_no_library(tmp_path):
    base = real_models.save(tmp_path / "base.safetensors", {"x": torch.ones(2)})
    with pytest.raises(pl_env.InvalidValue, match="there is no checkpoint besides the base"):
        scan((tmp_path,), base=base)
