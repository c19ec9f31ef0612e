"""Figures as files, and figures that notebooks show."""

from __future__ import annotations

import io
import os

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pl_env.files import write_atomically

_DOTS_PER_INCH = 110


class ShownFigure(Figure):
    """A figure without pyplot, so without a window of its own; a notebook that ends a cell with it shows it."""

    def __init__(self, width_inches: float, height_inches: float) -> None:
        super().__init__(figsize=(width_inches, height_inches), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        return as_png(self)


def as_png(figure: Figure) -> bytes:
    """A figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_atomically(path, as_png(figure))
