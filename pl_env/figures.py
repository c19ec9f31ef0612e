"""Figures as files, and figures that notebooks show."""

from __future__ import annotations

import io
import os
from typing import ClassVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pl_env.files import write_atomically

_DOTS_PER_INCH = 110


class ShownFigure(Figure):
    """A figure without pyplot, so without a window of its own; a notebook that ends a cell with it shows it."""

    def __init__(self, width_inches: float, height_inches: float) -> None:
        super().__init__(figsize=(width_inches, height_inches), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        return as_png(self)


class FigureViewer:
    """Base of what draws an episode again and again, into an array or into a window.

    A system's own has a method ``draw``, which draws into `cleared` and returns `frame`.
    """

    INCHES: ClassVar[tuple[float, float]]
    """Width and height."""

    def __init__(self, frames_per_second: float | None = None) -> None:
        """Make a viewer.

        Args:
            frames_per_second: Of a window; None draws into arrays.
        """
        self._frames_per_second = frames_per_second
        self._figure: Figure
        if frames_per_second is not None:
            import matplotlib.pyplot as plt

            self._figure = plt.figure(figsize=self.INCHES, layout="constrained")
        else:
            self._figure = ShownFigure(*self.INCHES)

    def cleared(self) -> Figure:
        """The figure, empty."""
        self._figure.clear()
        return self._figure

    def frame(self) -> NDArray[np.uint8] | None:
        """What has been drawn, uint8 (height, width, 3), or None in a window, which shows it."""
        if self._frames_per_second is not None:
            import matplotlib.pyplot as plt

            plt.pause(1.0 / self._frames_per_second)
            return None
        canvas = self._figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        canvas.draw()  # type: ignore[no-untyped-call]
        return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the window."""
        if self._frames_per_second is not None:
            import matplotlib.pyplot as plt

            plt.close(self._figure)


def as_png(figure: Figure) -> bytes:
    """A figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_atomically(path, as_png(figure))
