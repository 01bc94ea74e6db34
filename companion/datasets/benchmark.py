"""Six regression tables of the UCI repository, with the twenty splits of the benchmark that everybody quotes.

Explained in the chapter `book/beyond/uci`, section "Setting up".
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import numpy as np

from companion.checks import choice, whole
from companion.datasets.columns import NumberColumn
from companion.datasets.curves import Measurements
from companion.datasets.encoding import Encoding
from companion.datasets.files import fetch
from companion.datasets.measured import MeasuredTable
from companion.datasets.registry import REGISTRY
from companion.datasets.scaling import standardised
from companion.errors import DataError

__all__ = ["UCI_SPLITS", "UciTable", "uci", "uci_rows"]

UCI_SPLITS = 20
"""Number of splits of each table."""

_TRAINING_SHARE = 0.9


class UciTable(StrEnum):
    """Tables of the benchmark."""

    CONCRETE = "concrete"
    """Strength of concrete from its recipe and age: 1,030 rows, 8 inputs."""
    ENERGY = "energy"
    """Heating load of a building from its shape: 768 rows, 8 inputs."""
    KIN8NM = "kin8nm"
    """Distance of a robot arm's end from a target, simulated: 8,192 rows, 8 inputs."""
    POWER_PLANT = "power-plant"
    """Electrical output of a power plant from the weather: 9,568 rows, 4 inputs."""
    WINE_QUALITY_RED = "wine-quality-red"
    """Marks that tasters gave red wines, from chemistry: 1,599 rows, 11 inputs."""
    YACHT = "yacht"
    """Resistance of a sailing yacht from its shape and speed: 308 rows, 6 inputs."""


def uci_rows(rows: int, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the rows of one of the benchmark's splits.

    Parameters
    ----------
    rows
        Number of rows of the table.
    split
        Number of the split, from 0 to 19.

    Returns
    -------
    tuple of np.ndarray
        Rows to learn from, nine tenths, and rows to test on.

    Raises
    ------
    DataError
        If there is no such split, or the table has fewer than two rows.

    Notes
    -----
    The splits are those of Hernández-Lobato and Adams (2015), "Probabilistic Backpropagation for Scalable Learning of
    Bayesian Neural Networks": permutations that NumPy's older generator draws one after the other from the seed 1.
    """
    many, number = whole("rows", rows, 2), whole("split", split, 0)
    if number >= UCI_SPLITS:
        raise DataError(f"split={split}; the benchmark has {UCI_SPLITS} splits: expected 0 to {UCI_SPLITS - 1}.")
    generator = np.random.RandomState(1)
    for _ in range(number):
        generator.choice(many, many, replace=False)
    order = generator.choice(many, many, replace=False)
    learned_from = round(_TRAINING_SHARE * many)
    return order[:learned_from], order[learned_from:]


def uci(name: str, split: int = 0, mirrors: Iterable[str] | None = None) -> MeasuredTable:
    """Load one table of the benchmark, split as everybody splits it.

    Parameters
    ----------
    name
        Name of a `UciTable`.
    split
        Number of the split, from 0 to 19.
    mirrors
        Addresses of folders to download from instead of the public mirror.

    Returns
    -------
    MeasuredTable
        Inputs that are standardised by the mean and the scale of the training rows, and measurements in their units.

    Raises
    ------
    DataError
        If there is no such split.
    ModelError
        If there is no such table; the message lists those that there are.
    DataUnavailableError
        If the file is neither in `COMPANION_DATA_DIR`, nor in the cache, nor to be had from the mirror.

    Examples
    --------
    >>> from companion import datasets
    >>> yachts = datasets.uci("yacht", split=3)
    >>> yachts.train.x.shape, yachts.test.y.shape
    ((277, 6), (31,))
    """
    table = choice(UciTable, "name", name)
    collection = REGISTRY[f"uci-{table}"]
    path = fetch(collection, mirrors=mirrors)[collection.files[0].name]
    values = np.loadtxt(path)
    x, y = values[:, :-1], values[:, -1]
    train, test = uci_rows(len(values), split)
    features = tuple(f"x{i + 1}" for i in range(x.shape[1]))
    scaling = standardised(x[train], features, collection.title)
    return MeasuredTable(
        name=collection.title,
        train=Measurements(scaling.apply(x[train]), y[train]),
        test=Measurements(scaling.apply(x[test]), y[test]),
        target_names=("y",),
        feature_names=features,
        licence=collection.licence,
        source=collection.source,
        scaling=scaling,
        encoding=Encoding(tuple(NumberColumn(feature) for feature in features)),
    )
