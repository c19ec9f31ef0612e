"""Co-inference from the command line: ``python -m pl_env split`` measures where a user's model can be split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pl_env.co_inference.split_tables import BITS_PER_NUMBER, MODELS, SplitTable, split_table
from pl_env.packages import require_package


def split(
    model: Annotated[str, tyro.conf.Positional],
    input_shape: tuple[int, ...] = (),
    vocabulary: int | None = None,
    input_bits: float | None = None,
    bits_per_number: int = BITS_PER_NUMBER,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
) -> None:
    """Measure FLOP and embedding bits at every split of a torch model whose children run one after another.

    Args:
        model: Function that makes it, as module:function; or the name of a table that is built in.
        input_shape: Shape of one sample, without the batch, such as 3 224 224.
        vocabulary: Inputs are integers below this, as of a language model.
        input_bits: Bits of the raw input, such as a camera's image; the input's own size unless given.
        bits_per_number: Bits of a number in an embedding.
        out: Write the table to this JSON file, for `SplitTable.load`.
    """
    if model in MODELS:
        table = split_table(model)
    else:
        measuring = require_package("pl_env.co_inference.measuring")
        table = measuring.measure(
            measuring.load_model(model),
            input_shape,
            name=model,
            vocabulary=vocabulary,
            input_bits=input_bits,
            bits_per_number=bits_per_number,
        )
    _print(table)
    if out is not None:
        table.save(out)
        print(f"written: {out}")


def _print(table: SplitTable) -> None:
    """A line for each split; useful ones send less than all before."""
    useful = set(table.smaller_embeddings())
    columns = ("split", "device GFLOP", "server GFLOP", "embedding Mbit", "useful")
    shown = Table(*columns, title=f"{escape(table.name)}: {table.parameters:,} parameters")
    for column in shown.columns[:-1]:
        column.justify = "right"
    rows = zip(table.device_flop, table.server_flop, table.embedding_bits, strict=True)
    for number, (device, server, bits) in enumerate(rows):
        cells = (f"{device / 1e9:.4g}", f"{server / 1e9:.4g}", f"{bits / 1e6:.4g}")
        shown.add_row(str(number), *cells, "yes" if number in useful else "")
    Console(width=100).print(shown)


COMMANDS = (split,)
