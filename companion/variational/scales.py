r"""The closed-form optimum of learned scales: the factors of :math:`q` that a fit sets and does not search for.

Explained in `book/reference/how_a_fit_works`, section "The objective".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from companion.bridge import CentredScales, Scaled
from companion.variational.layout import Layout

__all__ = ["ScaleUpdate", "best_scale"]

Tensor = torch.Tensor

# Steps of Newton's method that reach the precision of float32: with few weights in a group, and with more.
_NEWTON_STEPS, _FEW, _NEWTON_STEPS_OF_MANY = 4, 20, 2

# Size of a matrix up to which the sums of squares are one product: on small models a call costs more than its work.
_SMALL = 100_000

# Variance of the logarithm of a scale above any that is an optimum: a wide start of a fit must not overflow.
_LARGEST = 20.0

# Standard deviation of the logarithm of a scale that is estimated as a number.
_NEXT_TO_NOTHING = 1e-4


def best_scale(squares: Tensor, count: Tensor, width: Tensor, *, steps: int = _NEWTON_STEPS) -> tuple[Tensor, Tensor]:
    r"""Compute the best normal distribution for the logarithm of a scale.

    For :math:`n` normal weights with the common scale :math:`s`, a half-normal prior on :math:`s` with scale
    :math:`\tau`, :math:`S = \sum_i \mathbb{E}_q[w_i^2]` and :math:`\log s \sim \mathcal{N}(\mu, t)` under the
    approximation, the part of the ELBO that depends on :math:`\mu` and :math:`t` is

    .. math::

        (1 - n) \mu - \tfrac{S}{2} e^{-2 \mu + 2 t} - \tfrac{1}{2 \tau^2} e^{2 \mu + 2 t} + \tfrac12 \log t .

    It is concave in :math:`(\mu, t)`. With :math:`k = (n - 1) / 2` and :math:`R = \sqrt{k^2 + S e^{4 t} / \tau^2}` its
    only maximum is at

    .. math::

        t = \frac{1}{4 R}, \qquad \mu = t + \tfrac12 \log \frac{S}{R + k} .

    Only the equation of :math:`t` has to be solved, by a few steps of Newton's method. For large :math:`n` the result
    is MacKay's: :math:`s^2 = S / n`, known to a relative error of :math:`1 / \sqrt{2 n}`.

    Parameters
    ----------
    squares
        The expected sum of squares :math:`S` of each group, (..., groups).
    count
        Number of weights :math:`n` in each group, (groups,).
    width
        Scale :math:`\tau` of each half-normal prior, (groups,).
    steps
        Number of steps of Newton's method.

    Returns
    -------
    Tensor, Tensor
        Mean :math:`\mu` and variance :math:`t` of the logarithm of each scale, (..., groups).

    Notes
    -----
    MacKay (1992), "A Practical Bayesian Framework for Backpropagation Networks", estimates :math:`s` itself so.
    """
    k = (count - 1) / 2
    ratio = squares / width.square()
    t = (0.25 * torch.rsqrt(k.square() + ratio)).clamp_max(0.5)  # where the exponentials are tame
    for _ in range(steps):  # on log(4 t) + log(k^2 + ratio e^{4 t}) / 2, which rises in t
        moved = ratio * torch.exp(4 * t)
        whole = k.square() + moved
        t = t - (torch.log(4 * t) + 0.5 * torch.log(whole)) / (1 / t + 2 * moved / whole)
    root = (k.square() + ratio * torch.exp(4 * t)).sqrt()
    return t + 0.5 * torch.log(squares / (root + k)), t


@dataclass(frozen=True, eq=False)
class _Part:
    """What one value adds to the sums of squares of one scale's entries.

    Attributes
    ----------
    at, shape
        Place of the value in the flat vector, and its shape.
    factor
        The constant factor of the precisions, a tensor that broadcasts to the shape.
    others
        Place of each other scale that multiplies the same standard deviations, and the numbers of its entries.
    over
        Dimensions that are summed over, counted from the back.
    into
        Numbers of the entries that the sums belong to, (sums,); ``None`` where they are in order.
    """

    at: slice
    shape: tuple[int, ...]
    factor: Tensor
    others: tuple[tuple[slice, Tensor], ...]
    over: tuple[int, ...]
    into: Tensor | None

    def squares(self, second: Tensor, mean: Tensor, log_scale: Tensor, entries: int) -> Tensor:
        """Sum the squares (restarts, entries), each in units of what the other scales and the constant say."""
        part = second[:, self.at].unflatten(1, self.shape or (1,)) * self.factor
        for at, numbers in self.others:
            variance = (2 * log_scale[:, at]).exp().clamp_max(_LARGEST)
            precision = (2 * variance - 2 * mean[:, at]).exp()
            part = part * precision[:, numbers]
        total = (part.sum(self.over) if self.over else part).reshape(len(part), -1)
        if self.into is None:
            return total
        return total.new_zeros(len(total), entries).index_add(1, self.into, total)


@dataclass(frozen=True, eq=False)
class _Group:
    """A scale's number of entries, and the values that it multiplies the standard deviations of."""

    entries: int
    parts: tuple[_Part, ...]

    def squares(self, second: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Sum the squares of all values, (restarts, entries)."""
        first, *others = (part.squares(second, mean, log_scale, self.entries) for part in self.parts)
        for other in others:
            first = first + other
        return first


@dataclass(frozen=True, eq=False)
class _Stage:
    """Scales that have no weight in common, whose optima don't depend on each other.

    Attributes
    ----------
    at
        Places of their entries in the flat vector, (entries,).
    count, width
        Number of weights, and scale of the half-normal prior, of each entry.
    groups
        What the values add to each scale.
    steps
        Number of steps of Newton's method that they need.
    at_once
        Matrix (size, entries) whose product with the squares gives the sums; ``None`` where it would be large, or other
        scales have a say.
    """

    at: Tensor
    count: Tensor
    width: Tensor
    groups: tuple[_Group, ...]
    steps: int
    at_once: Tensor | None

    def squares(self, second: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Sum the squares of each entry's weights, (restarts, entries)."""
        if self.at_once is not None:
            return second @ self.at_once
        return torch.cat([own.squares(second, mean, log_scale) for own in self.groups], dim=1)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two scales that only occur as a product: their places, and the scales of their half-normal priors."""

    first: slice
    second: slice
    width: Tensor
    width_of_second: Tensor


class ScaleUpdate:
    r"""Sets the approximation's factors of learned scales to their optimum, given all other factors.

    It is a step of coordinate ascent: it never lowers the ELBO, and where it leads depends on the weights alone, not
    on where the scales were. Scales whose product is the scale of a weight are updated in turn. Along the line on
    which one grows as the other shrinks, where such turns hardly move, they are balanced: that optimum, too, has a
    closed form.

    Parameters
    ----------
    scales
        The model's scales, at least one.
    layout
        Where each value lies in the flat vector.
    like
        Tensor with the dtype and the device of the parameters.
    estimate
        Whether the scales are estimated as numbers, without regard to their priors; see
        `companion.variational.EmpiricalBayes`.

    Attributes
    ----------
    places
        Places of all scales' entries in the flat vector, (entries,).
    """

    def __init__(self, scales: CentredScales, layout: Layout, like: Tensor, *, estimate: bool = False) -> None:
        ends = np.cumsum(layout.sizes)
        self._places = {n: slice(int(e - s), int(e)) for n, s, e in zip(layout.names, layout.sizes, ends, strict=True)}
        self._like, self._estimate, self._size = like, estimate, layout.size
        self._centre = self._centres(scales.scaled, layout.size)
        self._stages = [self._stage(scales, names) for names in _apart(scales)]
        self.places = torch.cat([stage.at for stage in self._stages])
        self._widths = {name: self._tensor(width) for name, width in scales.widths.items()}
        self._pairs = [
            _Pair(self._places[a], self._places[b], self._widths[a].reshape(-1), self._widths[b].reshape(-1))
            for a, b in _inseparable(scales)
        ]

    def __call__(self, mean: Tensor, log_scale: Tensor) -> None:
        """Change the entries of the scales in the parameters (restarts, size), in place."""
        second = (mean if self._centre is None else mean - self._centre).square() + (2 * log_scale).exp()
        for stage in self._stages:
            best, deviation = self._best(stage.squares(second, mean, log_scale), stage)
            mean.index_copy_(1, stage.at, best)
            log_scale.index_copy_(1, stage.at, deviation.log())
        for pair in self._pairs:
            shift = self._balance(mean, log_scale, pair)
            mean[:, pair.first] += shift
            mean[:, pair.second] -= shift

    def log_prior(self, values: Mapping[str, Tensor]) -> Tensor:
        r"""Compute the log density of the scales' logarithms under their priors, in nats, at a draw."""
        terms = [
            (math.log(math.sqrt(2 / math.pi)) + ratio.log() - 0.5 * ratio.square()).sum()
            for name, width in self._widths.items()
            for ratio in [values[name].exp() / width]
        ]
        return torch.stack(terms).sum()

    def _best(self, squares: Tensor, stage: _Stage) -> tuple[Tensor, Tensor]:
        """Compute mean and standard deviation of the logarithm of each of the stage's scales."""
        if self._estimate:
            best = 0.5 * (squares / stage.count).log()
            return best, torch.full_like(best, _NEXT_TO_NOTHING)
        best, variance = best_scale(squares, stage.count, stage.width, steps=stage.steps)
        return best, variance.sqrt()

    def _balance(self, mean: Tensor, log_scale: Tensor, pair: _Pair) -> Tensor:
        r"""Find the best :math:`\log k`, (restarts, 1), for two scales that move to :math:`k s_a` and :math:`s_b / k`.

        Only their priors have a say: the ELBO is :math:`(J_a - J_b) \log k - A k^2 - B k^{-2}` and a constant, where
        :math:`J` counts the entries of each. Estimated scales have no prior: they get the same geometric mean.
        """
        own, others = (mean[:, at].mean(1, keepdim=True) for at in (pair.first, pair.second))
        if self._estimate:
            return (others - own) / 2
        own, others = (
            (0.5 * (2 * mean[:, at] + 2 * (2 * log_scale[:, at]).exp()).exp() / width.square()).sum(1, keepdim=True)
            for at, width in ((pair.first, pair.width), (pair.second, pair.width_of_second))
        )
        more = len(pair.width) - len(pair.width_of_second)
        root = (more**2 + 16 * own * others).sqrt()
        # Two ways to write the positive root of a quadratic, each exact where the other cancels.
        square = (more + root) / (4 * own) if more > 0 else 4 * others / (root - more)
        return 0.5 * square.log()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(np.array(array)).to(self._like)

    def _centres(self, scaled: Iterable[Scaled], size: int) -> Tensor | None:
        """Put the priors' means into a flat vector; ``None`` where all are 0."""
        flat = np.zeros(size)
        for value in scaled:
            flat[self._places[value.name]] = value.mean.ravel()
        return self._tensor(flat) if flat.any() else None

    def _stage(self, scales: CentredScales, names: list[str]) -> _Stage:
        places, counts, widths, groups = [], [], [], []
        for name in names:
            own = [value for value in scales.scaled if name in value.scales]
            entries = scales.widths[name].size
            numbers = [np.broadcast_to(value.scales[name], value.base.shape).ravel() for value in own]
            places.append(np.arange(self._places[name].start, self._places[name].stop))
            counts.append(np.bincount(np.concatenate(numbers), minlength=entries))
            widths.append(scales.widths[name].ravel())
            groups.append(_Group(entries, tuple(self._part(value, name, entries) for value in own)))
        at = torch.as_tensor(np.concatenate(places), device=self._like.device)
        count, width = np.concatenate(counts), self._tensor(np.concatenate(widths))
        steps = _NEWTON_STEPS if count.min() < _FEW else _NEWTON_STEPS_OF_MANY
        alone = all(not part.others for group in groups for part in group.parts)
        at_once = self._columns(groups) if alone and self._size * len(count) <= _SMALL else None
        return _Stage(at, self._tensor(count), width, tuple(groups), steps, at_once)

    def _columns(self, groups: list[_Group]) -> Tensor:
        """Give the sums of squares of every unit vector: they are linear in the squares."""
        units = torch.eye(self._size, dtype=self._like.dtype, device=self._like.device)
        return torch.cat([group.squares(units, units, units) for group in groups], dim=1)

    def _part(self, value: Scaled, name: str, entries: int) -> _Part:
        numbers, device = value.scales[name], self._like.device
        dims = numbers.ndim
        over = tuple(axis - dims for axis in range(dims) if numbers.shape[axis] < value.base.shape[axis])
        in_order = np.array_equal(numbers.ravel(), np.arange(entries))
        base = value.base.ravel()
        factor = np.exp(-2 * (base[:1] if np.ptp(base) == 0 else value.base))
        return _Part(
            self._places[value.name],
            value.base.shape,
            self._tensor(factor),
            tuple(
                (self._places[other], torch.as_tensor(np.atleast_1d(number), device=device))
                for other, number in value.scales.items()
                if other != name
            ),
            over,
            None if in_order else torch.as_tensor(numbers.ravel(), device=device),
        )


def _apart(scales: CentredScales) -> list[list[str]]:
    """Group scales so that those of a group have no value in common."""
    groups: list[list[str]] = []
    for name in scales.widths:
        beside = {other for value in scales.scaled if name in value.scales for other in value.scales} - {name}
        free = next((group for group in groups if not beside & set(group)), None)
        if free is None:
            groups.append([name])
        else:
            free.append(name)
    return groups


def _inseparable(scales: CentredScales) -> list[tuple[str, str]]:
    """List pairs of scales that only occur as a product of both."""
    users = {name: [set(value.scales) for value in scales.scaled if name in value.scales] for name in scales.widths}
    pairs = {tuple(sorted(sets[0])) for sets in users.values() if all(s == sets[0] for s in sets) and len(sets[0]) == 2}
    return sorted((a, b) for a, b in pairs if all(s == {a, b} for s in (*users[a], *users[b])))
