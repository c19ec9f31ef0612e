"""The loader: whatever it keeps and whatever it reads, a model on the device is the model in the file."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import pl_env
from pl_env.real_models.loading import BlockLoader
from pl_env.real_models.running import ModelRunner, builder_named, generated_inputs
from pl_env.real_models.scanning import scan
from tests import real_models

CPU = torch.device("cpu")


@pytest.fixture
def found(tmp_path):
    return scan((real_models.save_perceptrons(tmp_path, real_models.BOTTOM_SHARED),))


def assert_is_the_file(loader, found, model):
    tensors = loader.tensors(model)
    (path,) = {tensor.path for tensor in found.models[model].tensors.values()}
    reference = load_file(path)
    assert tensors.keys() == reference.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == reference[name].dtype
        assert torch.equal(tensor, reference[name])
        assert tensor.data_ptr() % 64 == 0


@pytest.mark.parametrize("seeds", [real_models.BOTTOM_SHARED, real_models.ARBITRARY, real_models.NOTHING_SHARED])
def test_any_sequence_of_loads_reads_what_is_missing_and_nothing_else(tmp_path, seeds):
    found = scan((real_models.save_perceptrons(tmp_path, seeds),))
    library = found.library
    rng = np.random.default_rng(0)
    resident = np.zeros(library.n_blocks, dtype=bool)
    with BlockLoader(found) as loader:
        for model in rng.integers(len(seeds), size=40):
            load = loader.load(int(model))
            missing = library.has_block[model] & ~resident
            assert load.n_bytes == library.block_bytes[missing].sum()
            assert load.read_seconds > 0
            assert load.copy_seconds > 0
            resident = library.has_block[model]
            assert loader.resident == set(np.flatnonzero(resident))
            assert_is_the_file(loader, found, int(model))
        loader.clear()
        assert loader.resident == set()
        assert loader.load(0).n_bytes == library.model_bytes[0]
        assert_is_the_file(loader, found, 0)


def test_blocks_that_stay_are_not_moved(found):
    with BlockLoader(found) as loader:
        loader.load(0)
        before = loader.tensors(0)["0.weight"].data_ptr()
        loader.load(1)
        assert loader.tensors(1)["0.weight"].data_ptr() == before


def test_memory_that_is_given_back_is_taken_again(found):
    """Loading back and forth stays within what was set aside at first."""
    with BlockLoader(found) as loader:
        memory = loader._arena._memory
        for model in [0, 3, 2, 4, 1, 3] * 5:
            loader.load(model)
            for tensor in loader.tensors(model).values():
                assert tensor.untyped_storage().data_ptr() == memory.untyped_storage().data_ptr()


def test_a_block_for_which_no_gap_is_left_gets_memory_of_its_own(found):
    with BlockLoader(found) as loader:
        whole = loader._arena.take(len(loader._arena._memory))
        loader.load(0)
        assert_is_the_file(loader, found, 0)
        loader.load(3)
        assert_is_the_file(loader, found, 3)
        loader._arena.give_back(whole)
        loader.load(0)
        assert_is_the_file(loader, found, 0)


def test_part_of_a_model(found):
    with BlockLoader(found) as loader:
        first, second, *_ = loader.blocks(0)
        assert loader.load(0, [first]).n_bytes == found.library.block_bytes[first]
        assert loader.load(0, [first, second]).n_bytes == found.library.block_bytes[second]


def test_all_dtypes_scalars_and_empty_tensors(tmp_path):
    tensors = {
        "bf": torch.arange(7).to(torch.bfloat16),
        "flag": torch.tensor(True),
        "count": torch.tensor(3),
        "none": torch.zeros((0, 4)),
        "double": torch.arange(3, dtype=torch.float64).reshape(3, 1),
        "byte": torch.arange(5, dtype=torch.uint8),
    }
    real_models.save(tmp_path / "a.safetensors", tensors)
    found = scan((tmp_path,))
    with BlockLoader(found) as loader:
        loader.load(0)
        assert_is_the_file(loader, found, 0)


def test_tied_tensors_are_read_once(tmp_path):
    weight = real_models.layer(1)["weight"]
    real_models.save(tmp_path / "a.safetensors", {"x.weight": weight, "y.weight": weight.clone()})
    found = scan((tmp_path,))
    with BlockLoader(found) as loader:
        assert loader.load(0).n_bytes == 4 * weight.numel()
        assert_is_the_file(loader, found, 0)


def test_more_tensors_than_one_call_can_read(tmp_path):
    real_models.save(tmp_path / "a.safetensors", {f"x{n}": torch.full((3,), float(n)) for n in range(2500)})
    found = scan((tmp_path,))
    with BlockLoader(found) as loader:
        assert loader.load(0).n_bytes == 2500 * 12
        assert_is_the_file(loader, found, 0)


def test_reads_that_return_less_than_asked_for(found, monkeypatch):
    """The operating system may; 1,000 bytes at a time cut through the middle of tensors."""
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, targets, at: preadv(file, [targets[0][:1000]], at))
    with BlockLoader(found) as loader:
        loader.load(0)
        assert_is_the_file(loader, found, 0)


def test_base_and_adapters_in_files_of_their_own(tmp_path):
    base = real_models.save(tmp_path / "base.safetensors", real_models.perceptron((1, 2, 3, 4)))
    for n in range(2):
        real_models.save(tmp_path / f"a{n}.safetensors", {f"6.{key}": t for key, t in real_models.layer(9 + n).items()})
    found = scan((tmp_path,), base=base)
    layer_bytes = sum(4 * tensor.numel() for tensor in real_models.layer(1).values())
    with BlockLoader(found) as loader:
        assert loader.load(0).n_bytes == 4 * layer_bytes
        assert loader.load(1).n_bytes == layer_bytes
        expected = real_models.perceptron((1, 2, 3, 10))
        assert all(torch.equal(tensor, expected[name]) for name, tensor in loader.tensors(1).items())


def test_dropped_pages_are_gone_where_the_file_system_has_a_disk(found):
    with BlockLoader(found) as loader:
        assert loader.can_drop_pages(0) in (True, False)
        loader.drop_pages(0)
        loader.load(0)
        assert_is_the_file(loader, found, 0)


def test_files_that_changed_since_the_scan(found):
    path = next(iter(found.states))
    os.utime(path, ns=(1, 1))
    with pytest.raises(pl_env.FileFormatError, match="changed since it was scanned"):
        BlockLoader(found)
    path.unlink()
    with pytest.raises(pl_env.FileFormatError, match="cannot be read"):
        BlockLoader(found)


def test_a_file_that_is_cut_while_models_are_loaded(found):
    with BlockLoader(found) as loader:
        path = found.models[0].tensors["0.weight"].path
        os.truncate(path, 1000)
        with pytest.raises(pl_env.FileFormatError, match="truncated since it was scanned"):
            loader.load(0)


def test_pytorch_files_cannot_be_loaded_block_by_block(tmp_path):
    torch.save(real_models.perceptron((1, 2, 3, 4)), tmp_path / "a.pt")
    with pytest.raises(pl_env.FileFormatError, match="only safetensors files can be loaded block by block"):
        BlockLoader(scan((tmp_path,)))


# ---------------------------------------------------------------- networks


def test_outputs_after_partial_loads_equal_those_of_whole_models(found):
    runner = ModelRunner(found.models, CPU, real_models.build)
    inputs = generated_inputs(6, real_models.INPUT, 0, CPU)
    with BlockLoader(found) as loader, torch.inference_mode():
        for model in (0, 1, 2, 3, 4, 0, 2):
            loader.load(model)
            outputs = runner.bind(model, loader.tensors(model))(inputs)
            (path,) = {tensor.path for tensor in found.models[model].tensors.values()}
            whole = real_models.build("perceptron", found.models[model].shapes)
            whole.load_state_dict(load_file(path))
            assert torch.equal(outputs, whole(inputs))


def test_building_networks_does_not_move_torchs_generator(found):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    ModelRunner(found.models, CPU, real_models.build)
    assert torch.equal(torch.rand(2), expected)


def test_generated_inputs_are_determined_by_their_seed():
    assert torch.equal(generated_inputs(3, (2, 2), 5, CPU), generated_inputs(3, (2, 2), 5, CPU))
    assert not torch.equal(generated_inputs(3, (2, 2), 5, CPU), generated_inputs(3, (2, 2), 6, CPU))


def wrong_names(architecture, shapes):
    return torch.nn.Linear(2, 2)


def wrong_shapes(architecture, shapes):
    return real_models.build(architecture, {name: tuple(2 * n for n in shape) for name, shape in shapes.items()})


def test_networks_that_do_not_fit_the_checkpoint(found):
    with pytest.raises(pl_env.InvalidValue, match=r"m0: the network of architecture 'perceptron' has no '0.bias'"):
        ModelRunner(found.models, CPU, wrong_names)
    with pytest.raises(pl_env.InvalidValue, match=r"m0: '0.weight' is \(300, 300\), the network needs \(600, 600\)"):
        ModelRunner(found.models, CPU, wrong_shapes)
    with pytest.raises(
        pl_env.InvalidValue, match="architecture is 'perceptron'; only resnet18, resnet34, resnet50 are"
    ):
        ModelRunner(found.models, CPU)


def test_builders_by_name():
    assert builder_named("tests.real_models:build") is real_models.build
    assert builder_named(None).__module__ == "pl_env.real_models.resnet"
    for name in (
        "tests.real_models",
        "tests.real_models:nothing",
        "no.such.module:build",
        ":",
        "tests.real_models:LAYERS",
    ):
        with pytest.raises(pl_env.InvalidValue, match="builder is"):
            builder_named(name)
