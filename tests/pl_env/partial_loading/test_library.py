"""The library and its builders."""

from __future__ import annotations

import numpy as np
import pytest

import pl_env
from pl_env.files import save_arrays
from pl_env.layers import layer_table
from pl_env.partial_loading.library import most_blocks

RESNETS = ("resnet18", "resnet34", "resnet50")


def build(sharing="bls", n_models=30, backbones=RESNETS, theta=0.85, theta_spread=0.15, seed=0):
    return pl_env.build_library(sharing, n_models, backbones, theta, theta_spread, np.random.default_rng(seed))


def layer_bytes(architecture: str) -> np.ndarray:
    return np.array([layer.bytes for layer in layer_table(architecture)])


def shared_bytes(library: pl_env.ModelLibrary) -> np.ndarray:
    """Bytes that every two models share, (I, I)."""
    return (library.has_block * library.block_bytes) @ library.has_block.T


def loading_bytes(library: pl_env.ModelLibrary) -> np.ndarray:
    """Bytes to load model i (column) after model a (row)."""
    return library.model_bytes - shared_bytes(library)


@pytest.mark.parametrize("sharing", ["bls", "general"])
def test_models_go_round_robin_over_backbones_and_share_only_within_one(sharing):
    library = build(sharing, n_models=7)
    assert library.architectures == (*RESNETS, *RESNETS, "resnet18")
    assert library.model_names[4] == "resnet34-4"
    assert library.model_bytes.tolist() == [int(layer_bytes(name).sum()) for name in library.architectures]
    same = np.equal.outer(np.arange(7) % 3, np.arange(7) % 3)
    assert not shared_bytes(library)[~same].any()


@pytest.mark.parametrize(("theta", "spread"), [(0.85, 0.15), (0.95, 0.15), (0.5, 0.0), (0.1, 0.3)])
def test_bottom_layers_shared_are_nested_prefixes(theta, spread):
    """What two models share is the prefix of the one that shares less; theta ± min(spread, 1 - theta, theta)."""
    spread = min(spread, 1 - theta, theta)
    library = build(theta=theta, theta_spread=spread)
    overlap = shared_bytes(library)
    np.fill_diagonal(overlap, 0)
    for kind, name in enumerate(RESNETS):
        n_layers = len(layer_table(name))
        mates = np.arange(kind, library.n_models, 3)
        prefix = np.concatenate([[0], np.cumsum(layer_bytes(name))])
        inside = overlap[np.ix_(mates, mates)]
        n_shared = np.searchsorted(prefix, inside)
        assert np.array_equal(prefix[n_shared], inside)
        level = n_shared.max(axis=1)
        off_diagonal = ~np.eye(len(mates), dtype=bool)
        assert np.array_equal(n_shared[off_diagonal], np.minimum.outer(level, level)[off_diagonal])
        assert round((theta - spread) * n_layers) <= level.min() <= level.max() <= round((theta + spread) * n_layers)
        if spread:
            assert len(set(level)) > 2


@pytest.mark.parametrize("sharing", ["bls", "general"])
def test_the_head_is_never_shared(sharing):
    """At theta = 1 two siblings share everything but their heads."""
    library = build(sharing, n_models=4, backbones=("resnet18", "resnet50"), theta=1.0)
    overlap = shared_bytes(library)
    for model in (0, 1):
        sizes = layer_bytes(library.architectures[model])
        assert overlap[model, model + 2] == sizes[:-1].sum()


def test_nothing_is_shared_at_theta_zero():
    assert not build(theta=0.0, theta_spread=0.0).has_block.sum(axis=0).max() > 1


def test_general_sharing_takes_random_positions():
    """Two random sets of n of the L - 1 shareable layers have n² / (L - 1) layers in common on average."""
    library = build("general", n_models=60, backbones=("resnet18",), theta=0.5, theta_spread=0.0)
    shareable = layer_bytes("resnet18")[:-1]
    n_shared = round(0.5 * 41)
    pairs = shared_bytes(library)[np.triu_indices(60, 1)]
    assert pairs.mean() == pytest.approx(shareable.sum() * (n_shared / 40) ** 2, rel=0.1)
    assert len(set(pairs.tolist())) > 1000  # prefixes of equal length would all share the same
    assert set(library.block_bytes[library.has_block.sum(axis=0) > 1].tolist()) <= set(shareable.tolist())


def test_a_library_is_determined_by_its_seed():
    assert build("general", seed=3) == build("general", seed=3)
    assert build("general", seed=3) != build("general", seed=4)
    assert hash(build(seed=3)) == hash(build(seed=3))


@pytest.mark.parametrize("sharing", ["bls", "general"])
@pytest.mark.parametrize("n_models", [1, 2, 7, 50, 200])
@pytest.mark.parametrize(("theta", "spread"), [(0.85, 0.15), (0.5, 0.5), (1.0, 0.0), (0.0, 0.0)])
def test_most_blocks_bounds_every_library(sharing, n_models, theta, spread):
    bound = most_blocks(sharing, n_models, RESNETS)
    found = [build(sharing, n_models, RESNETS, theta, spread, seed).n_blocks for seed in range(3)]
    assert max(found) <= bound <= n_models + min(n_models if sharing == "bls" else 221, 221)


def test_compaction_by_hand():
    """Columns a and d belong to the same models, b to none; the merged block keeps a's place."""
    library = pl_env.ModelLibrary(
        has_block=[[1, 0, 0, 1, 0], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0]],
        block_bytes=[5, 99, 3, 2, 1],
        architectures=["x", "y", "z"],
    )
    compact = library.compact()
    assert compact.has_block.tolist() == [[True, False], [True, True], [False, False]]
    assert compact.block_bytes.tolist() == [7, 3]
    assert (compact.architectures, compact.model_names) == (("x", "y", "z"), ("model-0", "model-1", "model-2"))
    assert np.array_equal(loading_bytes(compact), loading_bytes(library))
    assert compact.compact() == compact


def test_round_trip_and_hash(tmp_path):
    library = build("general", n_models=5)
    library.save(tmp_path / "library.npz")
    loaded = pl_env.ModelLibrary.load(tmp_path / "library.npz")
    assert loaded == library
    assert loaded.content_hash() == library.content_hash()
    assert loaded.model_names == library.model_names
    others = [
        {"has_block": ~library.has_block},
        {"block_bytes": library.block_bytes + 1},
        {"architectures": ("resnet18",) * 5},
        {"model_names": tuple("abcde")},
    ]
    fields = {name: getattr(library, name) for name in ("has_block", "block_bytes", "architectures", "model_names")}
    assert len({pl_env.ModelLibrary(**(fields | other)).content_hash() for other in [{}, *others]}) == 5


def test_files_of_another_kind_or_with_impossible_content_are_refused(tmp_path):
    path = tmp_path / "file.npz"
    pl_env.Scenario.preset("tiny").sample(np.random.default_rng(0)).save(path)
    with pytest.raises(pl_env.FileFormatError, match="holds a instance, not a model-library"):
        pl_env.ModelLibrary.load(path)
    arrays = {"has_block": np.ones((2, 3), dtype=bool), "block_bytes": np.ones(4, dtype=np.int64)}
    save_arrays(path, "model-library", {"architectures": ["a", "b"], "model_names": []}, arrays)
    with pytest.raises(pl_env.FileFormatError, match=f"{path}: not a valid model-library .block_bytes.shape"):
        pl_env.ModelLibrary.load(path)
    save_arrays(path, "model-library", {"architectures": ["a", "b"]}, {"has_block": arrays["has_block"]})
    with pytest.raises(pl_env.FileFormatError, match=f"{path}: not a valid model-library"):
        pl_env.ModelLibrary.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"has_block": [1, 0]}, "has_block.shape is (2,); it must be of 2 dimensions"),
        ({"has_block": np.zeros((0, 2))}, "has_block.shape is (0, 2); it must be (I, J) with at least one model"),
        ({"has_block": [[2, 0], [0, 1]]}, "has_block is 'array of int64'; it must be exactly representable as bool"),
        ({"block_bytes": [1, 2, 3]}, "block_bytes.shape is (3,); it must be (2,), one size per column of has_block"),
        ({"block_bytes": [1, -2]}, "min(block_bytes) is -2; it must be at least 0"),
        (
            {"block_bytes": [2**62, 2**62]},
            "sum(block_bytes) is 9.223372036854776e+18; it must be at most 100000000000000",
        ),
        ({"block_bytes": [1, 0.5]}, "block_bytes is 'array of float64'; it must be exactly representable as int64"),
        ({"block_bytes": [[1], [2, 3]]}, "block_bytes cannot be read as an array of int64"),
        ({"architectures": ("a",)}, "len(architectures) is 1; it must be 2, one per model"),
        ({"architectures": "ab"}, "architectures is 'ab'; it must be a tuple of strings"),
        ({"architectures": ("a", 3)}, "architectures is ('a', 3); it must be strings"),
        ({"model_names": ("a", "b", "c")}, "len(model_names) is 3; it must be 2, one per model"),
        ({"model_names": 3}, "model_names is 3; it must be a tuple of strings"),
    ],
)
def test_fields_that_disagree_are_refused(changes, message):
    good = {"has_block": [[1, 0], [1, 1]], "block_bytes": [1, 2], "architectures": ("a", "b")}
    pl_env.ModelLibrary(**good)
    with pytest.raises(pl_env.InvalidValue) as caught:
        pl_env.ModelLibrary(**(good | changes))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sharing": "some"}, "sharing is 'some'; it must be one of 'bls', 'general'"),
        ({"n_models": 0}, "n_models is 0; it must be an integer of at least 1"),
        ({"backbones": ()}, "backbones is (); it must be a tuple of at least one architecture"),
        ({"backbones": "resnet18"}, "backbones is 'resnet18'; it must be a tuple of at least one architecture"),
        ({"backbones": ("vgg",)}, "there is no architecture 'vgg'"),
        ({"theta": 1.5}, "theta is 1.5; it must be a finite number at least 0 and at most 1"),
        ({"theta_spread": -1}, "theta_spread is -1; it must be a finite number at least 0 and at most 1"),
    ],
)
def test_builder_arguments_out_of_range(changes, message):
    with pytest.raises(pl_env.PlEnvError) as caught:
        build(**changes)
    assert str(caught.value).startswith(message)


def test_repr_is_one_short_line():
    library = pl_env.Scenario.preset("tiny").library
    assert repr(library) == "<ModelLibrary: 3 models of 4 blocks, 200.0 MB>"
    assert len(repr(pl_env.Scenario.preset("tiny"))) < 800
