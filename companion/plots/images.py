"""Figures of images, of what a network predicts for them, and of its filters.

Explained in the chapter `book/mnist/strange_images`. Each function makes a figure of its own, as wide as the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from companion.checks import fraction
from companion.errors import DataError, ModelError
from companion.plots.language import say
from companion.plots.style import CLASS_COLORS, INK, head, uncertainty_map
from companion.prediction import mean_probabilities
from companion.uncertainty import labels_of

__all__ = ["filters_with_uncertainty", "image_grid", "image_predictions"]

WIDTH = 7.2
"""Width of the page, in inches."""

TRUE, WRONG, OTHER = *CLASS_COLORS, "#8b959d"
"""Colours of the true class, of a wrong class that is predicted, and of the other classes."""

_GRID = "#c3cbd1"


def image_grid(
    images: np.ndarray,
    *,
    titles: Sequence[object] | None = None,
    columns: int = 10,
    cmap: str | Colormap = "gray_r",
    limits: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw images side by side, all on the same scale.

    Parameters
    ----------
    images
        Images (n, height, width).
    titles
        Titles of the images, such as their labels, (n,).
    columns
        Number of images in a row.
    cmap
        Colour map; the default draws high values, the ink, in black.
    limits
        Values at the two ends of the colour map; by default the lowest and the highest of all images.
    title
        Title of the figure.

    Raises
    ------
    DataError
        If there are no images, their shape differs, or a value is NaN or infinite.
    ModelError
        If there isn't one title for each image, there are fewer columns than one, or the limits don't rise.
    """
    images = _images(images, "images")
    if titles is not None and len(titles) != len(images):
        raise ModelError(f"{len(titles)} titles for {len(images)} images; expected one for each.")
    if limits is not None and not limits[0] < limits[1]:
        raise ModelError(f"limits={limits}; expected a lower value, then a higher one.")
    rows = _rows(len(images), columns)
    height, width = images.shape[1:]
    figure = _figure(rows * (WIDTH / columns * height / width + 0.15 * (titles is not None)), title)
    drawn = _draw(figure, images, columns, cmap, limits or (images.min(), images.max()))
    for ax, text in zip(drawn, () if titles is None else titles, strict=False):
        ax.set_title(str(text), loc="center", fontsize=8, fontweight="normal", pad=2)
    return figure


def image_predictions(
    images: np.ndarray,
    probabilities: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    titles: Sequence[object] | None = None,
    cut_off: float | None = None,
    columns: int = 4,
    title: str | None = None,
) -> Figure:
    """Draw each image beside its posterior predictive probabilities.

    A bar is the mean over the draws, and a thin line spans 5 to 95 % of them. The true class is blue. The most probable
    class is red, unless it is known to be the true one.

    Parameters
    ----------
    images
        Images (points, height, width).
    probabilities
        Class probabilities (draws, points, classes).
    labels
        True labels (points,), if they are known.
    class_names
        Names of the classes, one for each; numbers by default.
    titles
        Titles of the images (points,).
    cut_off
        Probability at which a dashed line is drawn: an image none of whose bars reaches it is refused.
    columns
        Number of images in a row.
    title
        Title of the figure.

    Raises
    ------
    DataError
        If there are no images, their shape differs, a value is NaN or infinite, or the labels don't fit.
    ModelError
        If `probabilities` aren't class probabilities of each image, there isn't one name for each class or one title
        for each image, the cut-off is not between 0 and 1, or there are fewer columns than one.
    """
    images = _images(images, "images")
    mean = mean_probabilities(probabilities)
    points, classes = mean.shape
    if points != len(images):
        raise ModelError(f"probabilities of {points} points for {len(images)} images; expected one point for each.")
    names = [str(k) for k in range(classes)] if class_names is None else list(class_names)
    if len(names) != classes:
        raise ModelError(f"{len(names)} class names for {classes} classes; expected one for each.")
    if titles is not None and len(titles) != points:
        raise ModelError(f"{len(titles)} titles for {points} images; expected one for each.")
    line = None if cut_off is None else fraction("cut_off", cut_off)
    known = None if labels is None else labels_of(labels, points, classes, "images")
    low, high = np.quantile(probabilities, [0.05, 0.95], axis=0)

    rows = _rows(points, columns)
    figure = _figure(rows * max(1.0, 0.3 + 0.105 * classes) + 0.3, title)
    cells = figure.subfigures(rows, columns, squeeze=False).ravel()
    for k, cell in enumerate(cells[:points]):
        left, right = cell.subplots(1, 2)
        left.imshow(images[k], cmap="gray_r", vmin=images.min(), vmax=images.max())
        left.set_axis_off()
        if titles is not None:
            left.set_title(say(str(titles[k])), loc="center", fontsize=8, fontweight="normal", pad=2)
        colors = [OTHER] * classes
        colors[mean[k].argmax()] = WRONG
        if known is not None:
            colors[known[k]] = TRUE
        right.barh(range(classes), mean[k], height=0.75, color=colors)
        right.hlines(range(classes), low[k], high[k], color=INK, linewidth=0.9)
        _label_bars(right, names)
        if line is not None:
            right.axvline(line, color=INK, linestyle="--", linewidth=0.8)
    meanings = {"predictive probability": OTHER}
    if known is None:
        meanings["of the predicted class"] = WRONG
    else:
        meanings |= {"of the true class": TRUE}
        if np.any(mean.argmax(axis=1) != known):
            meanings |= {"of a wrong prediction": WRONG}
    bars = [Patch(color=color, label=say(meaning)) for meaning, color in meanings.items()]
    handles = [*bars, Line2D([], [], color=INK, linewidth=0.9, label=say("5 to 95 % of the draws"))]
    if line is not None:
        handles.append(Line2D([], [], color=INK, linestyle="--", linewidth=0.8, label=say("cut-off")))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.2, fontsize=8)
    return figure


def filters_with_uncertainty(
    means: np.ndarray, scales: np.ndarray, *, columns: int = 8, title: str | None = None
) -> Figure:
    """Draw the filters of a convolution by the mean of each weight, and beside them how well each weight is known.

    Parameters
    ----------
    means, scales
        Mean and standard deviation of each weight, both (filters, height, width).
    columns
        Number of filters in a row of each block.
    title
        Title of the figure.

    Raises
    ------
    DataError
        If there are no filters, the shapes differ, a value is NaN or infinite, or a scale isn't positive.
    ModelError
        If there are fewer columns than one.

    Notes
    -----
    All filters share one scale, on which white is zero. The signal-to-noise ratio of a weight, the absolute mean over
    the standard deviation, is that of Blundell et al. (2015), "Weight Uncertainty in Neural Networks"; light weights
    are known well.
    """
    means, scales = _images(means, "means"), _images(scales, "scales")
    if means.shape != scales.shape:
        raise DataError(f"means {means.shape} and scales {scales.shape}; expected the same shape.")
    if scales.min() <= 0:
        raise DataError(f"the smallest scale is {scales.min():.3g}; expected positive standard deviations.")
    largest, known = float(np.abs(means).max()), np.abs(means) / scales
    height, width = means.shape[1:]
    figure = _figure(_rows(len(means), columns) * WIDTH / 2 / columns * height / width + 0.6, title)
    blocks = (
        ("mean of each weight", means, sns.color_palette("vlag", as_cmap=True), (-largest, largest)),
        ("signal-to-noise: |mean| / scale", known, uncertainty_map().reversed(), (0.0, float(known.max()))),
    )
    for block, (name, values, cmap, limits) in zip(figure.subfigures(1, 2, squeeze=False)[0], blocks, strict=True):
        drawn = _draw(block, values, columns, cmap, limits)
        bar = block.colorbar(drawn[0].images[0], ax=block.axes, location="bottom", aspect=32, shrink=0.9)
        bar.set_label(say(name))
        bar.outline.set_visible(False)
    return figure


def _images(given: np.ndarray, name: str) -> np.ndarray:
    """Refuse anything but a stack of finite images (n, height, width)."""
    images = np.asarray(given, dtype=float)
    if images.ndim != 3 or not images.size:
        raise DataError(
            f"{name} have shape {images.shape}; expected (n, height, width). One image is `image[None]`; of the "
            "filters (outputs, inputs, height, width) of a convolution choose an input, `filters[:, 0]`."
        )
    strange = ~np.isfinite(images)
    if strange.any():
        raise DataError(
            f"{int(strange.any(axis=(1, 2)).sum())} of {len(images)} {name} hold NaN or infinity; expected finite "
            "numbers."
        )
    return images


def _rows(n: int, columns: int) -> int:
    """Count the rows that `n` images fill."""
    if columns < 1:
        raise ModelError(f"columns={columns}; expected 1 or more.")
    return ceil(n / columns)


def _figure(height: float, title: str | None) -> Figure:
    """Open a figure as wide as the page."""
    layout = ConstrainedLayoutEngine(w_pad=0.025, h_pad=0.025)
    figure = plt.figure(figsize=(WIDTH, height + 0.25 * bool(title)), layout=layout)
    if title:
        head(figure, title)
    return figure


def _label_bars(ax: Axes, names: Sequence[str]) -> None:
    """Name the class of each sideways bar, in small letters, and mark the probabilities 0, 1/2 and 1."""
    ax.set_yticks(range(len(names)), [say(name) for name in names], fontsize=7)
    ax.set_xticks([0, 0.5, 1], ["0", "½", "1"], fontsize=7)
    ax.set(xlim=(0, 1.02), ylim=(len(names) - 0.4, -0.6))
    ax.tick_params(length=0, pad=2)
    ax.grid(axis="x", linewidth=0.4, color=_GRID)
    ax.set_axisbelow(True)
    ax.spines["bottom"].set_visible(False)


def _draw(
    where: Figure | SubFigure, images: np.ndarray, columns: int, cmap: str | Colormap, limits: tuple[float, float]
) -> list[Axes]:
    """Draw each image on axes of its own, row by row, and return those."""
    grid = where.add_gridspec(_rows(len(images), columns), columns)
    drawn = [where.add_subplot(grid[k]) for k in range(len(images))]
    for ax, image in zip(drawn, images, strict=True):
        ax.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1])
        ax.set_axis_off()
    return drawn
