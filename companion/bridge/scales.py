"""Scales of normal priors that a fit can set to their optimum, found in a model's graph.

Such a scale has a half-normal prior, and all that it does is to multiply the standard deviations of normal values
around constants. Explained in `book/reference/how_a_fit_works`, section "The objective".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytensor.graph.traversal import ancestors

__all__ = ["CentredScales", "Scaled", "candidates", "structure"]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here
Arrays = Mapping[str, np.ndarray]

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Scaled:
    r"""A value with a normal prior whose standard deviations are products of learned scales.

    Attributes
    ----------
    name
        Name of the value.
    mean
        Mean of its prior, (\*shape).
    base
        Logarithm of the constant factor of the standard deviations, (\*shape).
    scales
        Name of each scale's value to the number of the entry that multiplies each standard deviation. An array
        has the dimensions of `shape`, with size 1 where the number is the same along a dimension.
    """

    name: str
    mean: np.ndarray
    base: np.ndarray
    scales: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class CentredScales:
    """What is known of a model's scales that have an optimum in closed form.

    Attributes
    ----------
    widths
        Name of each scale's value, a logarithm, to the scale of its half-normal prior, one number for each entry.
    scaled
        The values whose standard deviations they multiply.
    """

    widths: dict[str, np.ndarray]
    scaled: tuple[Scaled, ...]


def candidates(
    widths: Mapping[Graph, Graph],
    priors: Mapping[Graph, tuple[Graph, Graph]],
    others: Iterable[Graph],
    values: Iterable[Graph],
    data: Iterable[Graph],
) -> dict[Graph, Graph]:
    """Choose the half-normal variables that only act as scales of normal values around constants.

    Parameters
    ----------
    widths
        Value of each half-normal variable to the scale of its prior.
    priors
        Each value with a normal prior to its prior's mean and standard deviation.
    others
        Terms of the log density of all variables that are neither.
    values, data
        All inputs of these graphs.

    Returns
    -------
    dict
        Those of `widths` that are left.
    """
    values, data = set(values), set(data)
    reads = {name: set(ancestors([deviation])) & (values | data) for name, (_, deviation) in priors.items()}
    constant = {name for name, (mean, _) in priors.items() if not (values | data) & set(ancestors([mean]))}
    elsewhere = set(ancestors([*others, *widths.values(), *(mean for mean, _ in priors.values())]))
    fixed = {value for value, width in widths.items() if not (values | data) & set(ancestors([width]))}
    found = fixed & set().union(*reads.values()) - elsewhere
    while strays := {v for name, own in reads.items() if name not in constant or not own <= found for v in own & found}:
        found -= strays
    return {value: width for value, width in widths.items() if value in found}


def structure(
    widths: Arrays, means: Arrays, deviations: Callable[[Arrays], Arrays], reads: Mapping[str, frozenset[str]]
) -> CentredScales:
    r"""Find out which entry of which scale multiplies each standard deviation, by moving the scales.

    Parameters
    ----------
    widths
        Name of each candidate's value to the scale of its half-normal prior.
    means
        Name of each value that they scale to the mean of its prior, (\*shape).
    deviations
        Function of the candidates' values, logarithms, that gives the standard deviations (\*shape) by name.
    reads
        Names of the candidates that each value's standard deviations depend on.

    Returns
    -------
    CentredScales
        The candidates that do nothing but multiply.
    """
    zero = {name: np.zeros(width.shape) for name, width in widths.items()}
    base = {name: np.log(sd) for name, sd in deviations(zero).items()}
    # Every entry of every scale is moved by another number, which tells it from all others.
    count = sum(width.size for width in widths.values())
    ladder = iter(np.linspace(0.5, 1.5, count))
    moved = {name: np.array([next(ladder) for _ in range(w.size)]).reshape(w.shape) for name, w in widths.items()}
    together = {name: np.log(sd) - base[name] for name, sd in deviations(moved).items()}
    numbers: dict[str, dict[str, np.ndarray]] = {name: {} for name in base}
    for scale in widths:
        alone = deviations(zero | {scale: moved[scale]})
        for name, sd in alone.items():
            if scale in reads[name]:
                steps = moved[scale].ravel()
                shift = np.log(sd) - base[name]
                numbers[name][scale] = np.clip(np.searchsorted(steps, shift - _TOLERANCE), 0, len(steps) - 1)
    used = {s: {n for own in numbers.values() if s in own for n in np.unique(own[s]).tolist()} for s in widths}
    kept = {scale for scale, width in widths.items() if len(used[scale]) == width.size}
    for name, own in numbers.items():
        expected = sum((moved[scale].ravel()[number] for scale, number in own.items()), np.zeros(base[name].shape))
        if not np.allclose(together[name], expected, rtol=0, atol=10 * _TOLERANCE):
            kept -= reads[name]
    while strays := {s for own in reads.values() if own & kept and not own <= kept for s in own & kept}:
        kept -= strays
    return CentredScales(
        {name: width for name, width in widths.items() if name in kept},
        tuple(
            Scaled(name, means[name], base[name], {scale: _narrowed(number) for scale, number in own.items()})
            for name, own in numbers.items()
            if own and set(own) <= kept
        ),
    )


def _narrowed(number: np.ndarray) -> np.ndarray:
    """Keep one entry along each dimension along which an array is constant."""
    for axis in range(number.ndim):
        first = np.take(number, [0], axis=axis)
        if np.array_equal(np.broadcast_to(first, number.shape), number):
            number = first
    return number
