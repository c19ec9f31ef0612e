"""Real models from the command line: ``python -m pl_env scan`` finds what they share, ``measure`` times a machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pl_env.errors import abbreviated
from pl_env.figures import save_figure
from pl_env.packages import require_package
from pl_env.partial_loading.library import ModelLibrary
from pl_env.real_models.plots import fit_plot, sharing_map
from pl_env.real_models.scanning import UNKNOWN, CheckpointScan, private_bytes, scan_as, shared_bytes
from pl_env.real_models.scanning import scan as scan_checkpoints

if TYPE_CHECKING:
    from pl_env.real_models import measuring

_MOST_COLUMNS = 6
Out = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


def scan(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Out = Path("library.npz"),
    base: Path | None = None,
    architecture: str | None = None,
    plot: Path | None = None,
) -> None:
    """Find the parameter blocks that checkpoints share, and write a model library.

    Args:
        files: Checkpoints (.safetensors, .pt, .pth) and folders of them; one model each.
        out: The library, npz; its folder is made where there is none.
        base: A checkpoint that all models build on, for adapters in files of their own.
        architecture: Architecture of models whose files do not say it in their metadata and that are no ResNets.
        plot: Write the heat map of shared bytes to this PNG file; likewise.
    """
    found = scan_checkpoints(files, base, architecture)
    found.library.save(out)
    if plot is not None:
        save_figure(sharing_map(found.library), plot)
    _print_sharing(found)
    _print_written(out, plot)


def _print_sharing(found: CheckpointScan) -> None:
    library = found.library
    shared, private = shared_bytes(library), private_bytes(library)
    few = library.n_models <= _MOST_COLUMNS
    columns = [f"with {i}" for i in range(library.n_models)] if few else ["most in common with"]
    table = Table("", "model", "architecture", "MB", "shared", "private", *columns, title="MB that models share")
    for i, model in enumerate(found.models):
        if few:
            others = ["" if j == i else f"{shared[i, j] / 1e6:.3f}" for j in range(library.n_models)]
        else:
            amounts = np.where(np.arange(library.n_models) == i, -1, shared[i])
            closest = int(amounts.argmax())
            others = [f"{_printed(library.model_names[closest])} ({shared[i, closest] / 1e6:.3f})"]
        size = int(library.model_bytes[i])
        sizes = [f"{value / 1e6:.3f}" for value in (size, size - private[i], private[i])]
        table.add_row(str(i), _printed(model.name), _printed(library.architectures[i]), *sizes, *others)
    Console(width=160).print(table)
    for model in found.models:
        if model.tied_names:
            tied = f"{len(model.tied_names)} tied tensors are counted once, such as {model.tied_names[0]!r}"
            print(abbreviated(f"{model.name}: {tied}", 200))
    unknown = library.architectures.count(UNKNOWN)
    if unknown:
        print(f"the architecture of {unknown} models is {UNKNOWN!r}, as their files do not say it; give --architecture")
    together = int(library.block_bytes.sum())
    print(
        f"{library.n_models} models of {library.model_bytes.sum() / 1e6:.1f} MB are {together / 1e6:.1f} MB of "
        f"different content in {library.n_blocks} blocks; sharing: {_SHARING_WORDS[library.sharing]}"
    )


def _print_written(*files: Path | None) -> None:
    for file in files:
        if file is not None:
            print(f"written: {file}")


def _printed(name: str) -> str:
    """A name out of a file, for a table: short, and without what a terminal or rich would take as a command."""
    return escape(abbreviated(name, 60))


_SHARING_WORDS = {
    "none": "none",
    "bls": "bls (clusters of bottom layers; every planner applies)",
    "general": "general (arbitrary; optimal-dp and paper-dp do not apply)",
}


def measure(
    library: tyro.conf.Positional[Path],
    models: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Out = Path("server.json"),
    base: Path | None = None,
    page_cache: Literal["cold", "warm"] = "cold",
    device: str | None = None,
    input_shape: tuple[int, ...] = (3, 32, 32),
    max_batch_size: int = 8,
    repeats: int = 15,
    threads: int = 1,
    builder: str | None = None,
    plot: Path | None = None,
    seed: int = 0,
) -> None:
    """Measure how fast this machine loads and computes the models of a library, and write an edge server.

    Args:
        library: What `scan` wrote.
        models: The same checkpoints (.safetensors), or their folder.
        out: The server, JSON; its folder is made where there is none.
        base: The base that was given to `scan`.
        page_cache: Which reading the server gets: from files that the page cache does not hold, or does.
        device: cpu or cuda; the GPU where there is one unless given.
        input_shape: Shape of one sample.
        max_batch_size: Largest batch measured.
        repeats: Runs of each point, of which the median counts.
        threads: Threads of torch.
        builder: Your own code that makes a network, as package.module:function; it is called with the architecture's
            name and the shapes of the checkpoint's tensors by name. ResNets need none.
        plot: Write the fits to this PNG file; likewise.
        seed: Seed of the inputs.
    """
    require_package("torch")
    from pl_env.real_models import measuring
    from pl_env.real_models.running import builder_named

    found = scan_as(ModelLibrary.load(library), models, base)
    conditions = measuring.Conditions(device or measuring.default_device(), page_cache, threads, input_shape)
    measured = measuring.measure(found, conditions, max_batch_size, repeats, builder_named(builder), seed)
    measured.server().save(out, measured.description())
    if plot is not None:
        save_figure(fit_plot(measured), plot)
    _print_fits(measured)
    _print_written(out, plot)


def _print_fits(measured: measuring.Measurement) -> None:
    table = Table("what", "constant (ms)", "slope", "R²", "largest error", "points")
    lines = {"V1, page cache warm": measured.warm, "V2, copy to the device": measured.copy}
    if measured.cold is not None:
        lines = {"V1, page cache cold": measured.cold} | lines
    rows = [(name, line, f"{1e-9 / max(line.slope, 1e-15):.2f} GB/s") for name, line in lines.items()]
    for name, found in measured.compute.items():
        rows.append((f"compute, {name}", found.line, f"{found.line.slope * 1e3:.3f} ms a sample"))
    for name, line, slope in rows:
        numbers = [f"{line.constant * 1e3:.3f}", slope, f"{line.r_squared:.3f}", f"{line.largest_error:.1%}"]
        table.add_row(name, *numbers, str(len(line.x)))
    Console(width=120).print(table)
    for name, found in measured.compute.items():
        print(f"{name}: {found.activation_bytes / 1e6:.2f} MB for each sample of a batch cover every peak measured, "
              f"{max(found.peak_bytes) / 1e6:.2f} MB at most")  # fmt: skip
    if measured.cold is None:
        print("the page cache cannot be emptied here (a file system in memory, or not Linux): the server's V1 is warm")
    else:
        conditions = measured.conditions
        print(f"the server's V1 is that of a {conditions.page_cache} page cache; device {conditions.device}")


COMMANDS = (scan, measure)
"""What ``python -m pl_env`` offers."""
