"""Split tables against the numbers of the document, parameter counts, and bad input."""

from __future__ import annotations

import pytest

from pl_env.co_inference import SplitTable, split_table
from pl_env.co_inference.split_tables import MODELS, split_table_of
from pl_env.errors import InvalidValue, UnknownName

USEFUL = {
    "blip2": (73, 700.18, [(0, 0, 7.373), (1, 13.77, 5.790), (40, 533.47, 0.393), (72, 700.18, 0)]),
    "git_base": (19, 337.08, [(0, 0, 44.24), (1, 18.84, 14.52), (18, 337.08, 0)]),
    "resnet152": (
        53,
        23.03,
        [(0, 0, 7.373), (1, 0.236, 3.211), (49, 22.15, 1.606), (51, 23.02, 0.0328), (52, 23.03, 0)],
    ),
    "vit_b_16": (13, 35.13, [(0, 0, 7.373), (1, 3.139, 2.421), (12, 35.13, 0)]),
    "bert_large": (25, 78.92, [(0, 0, 0.002), (24, 78.92, 0)]),
}


@pytest.mark.parametrize("name", MODELS)
def test_useful_splits(name):
    n_splits, gigaflop, useful = USEFUL[name]
    table = split_table(name)
    assert table.n_splits == n_splits
    assert table.total_flop / 1e9 == pytest.approx(gigaflop, abs=0.005)
    assert table.smaller_embeddings() == tuple(split for split, _, _ in useful)
    for split, flop, megabits in useful:
        assert table.device_flop[split] / 1e9 == pytest.approx(flop, rel=5e-4, abs=1e-9)
        assert table.embedding_bits[split] / 1e6 == pytest.approx(megabits, abs=0.0006 if megabits < 10 else 0.006)


def test_parameters():
    assert split_table("resnet152").parameters == 60_192_808
    assert split_table("vit_b_16").parameters == 86_567_656
    assert split_table("bert_large").parameters == 335_141_888
    assert split_table("blip2").parameters == pytest.approx(3.743e9, rel=2e-4)


def test_the_sister_paper_counts_vision_and_q_former():
    """It prints 533.66 GFLOP for BLIP-2."""
    assert split_table("blip2").device_flop[40] / 1e9 == pytest.approx(533.66, rel=5e-4)


def test_a_table_by_hand():
    table = split_table_of("two", 100, [(3.0, 10.0), (4.0, 99.0)])
    assert table.device_flop == (0, 3, 7)
    assert table.embedding_bits == (100, 10, 0)
    assert table.server_flop == (7, 4, 0)
    assert SplitTable.from_dict(table.to_dict()) == table


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device_flop": (1.0, 2.0)}, r"device_flop\[0\] is 1.0; it must be 0"),
        ({"device_flop": (0.0, 2.0, 1.0), "embedding_bits": (1.0, 1.0, 0.0)}, "device_flop .* ascending"),
        ({"embedding_bits": (1.0, 2.0)}, r"embedding_bits\[-1\] is 2.0; it must be 0"),
        ({"embedding_bits": (0.0,)}, "embedding_bits .* 2 numbers"),
        ({"embedding_bits": (float("nan"), 0.0)}, r"embedding_bits\[0\] is nan"),
        ({"device_flop": 3}, "device_flop is 3"),
        ({"device_flop": ("x", 1)}, r"device_flop\[0\] is 'x'"),
    ],
)
def test_bad_tables(fields, message):
    with pytest.raises(InvalidValue, match=message):
        SplitTable(**({"name": "m", "device_flop": (0.0, 1.0), "embedding_bits": (5.0, 0.0)} | fields))


def test_unknown_models_and_damaged_descriptions():
    with pytest.raises(UnknownName, match="there is no model 'gpt9'"):
        split_table("gpt9")
    for values in ({}, {"name": "x"}, 3):
        with pytest.raises(InvalidValue, match=r"model is .*; it must have the entries"):
            SplitTable.from_dict(values)
