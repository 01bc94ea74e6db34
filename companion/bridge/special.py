"""Functions of mathematics that torch lacks, or can't differentiate by all of their arguments.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.interpolate import PPoly

__all__ = ["beta_inc", "gamma", "gamma_inc", "gamma_inc_c", "polygamma", "spline"]

# Terms of continued fractions and of series: what arguments up to about a thousand take in float64.
_TERMS = 200

# Where the expansion of the incomplete gamma function for large arguments takes over, and its coefficients near 0.
_LARGE = 500.0
_FIRST = (-1 / 3, 1 / 12, -2 / 135, 1 / 864, 1 / 2835, -139 / 777600, 1 / 25515, -571 / 261273600)
_SECOND = (-1 / 540, -1 / 288, 1 / 378, -77 / 77760, 1 / 4860)


def gamma(x: torch.Tensor) -> torch.Tensor:
    """Compute the gamma function, below zero by its sign and its logarithm."""
    odd = (x < 0) & (torch.remainder(torch.floor(x), 2) == 1)
    value = torch.exp(torch.lgamma(x))
    return torch.where(odd, -value, value)


def polygamma(order: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Compute a derivative of the digamma function, of an order that is the same for all."""
    return torch.polygamma(int(order.reshape(-1)[0]), x)


def beta_inc(a: torch.Tensor, b: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    r"""Compute the regularised incomplete beta function.

    .. math::

        I_x(a, b) = \frac{x^a (1 - x)^b}{a \, B(a, b)} \cfrac{1}{1 + \cfrac{d_1}{1 + \cfrac{d_2}{1 + \cdots}}},
        \qquad
        d_{2m} = \frac{m (b - m) x}{(a + 2m - 1)(a + 2m)}, \quad
        d_{2m+1} = -\frac{(a + m)(a + b + m) x}{(a + 2m)(a + 2m + 1)}

    It converges fast below the mean of the beta distribution; above it, :math:`I_x(a, b) = 1 - I_{1-x}(b, a)`. Every
    argument has a gradient. Abramowitz and Stegun (1964), "Handbook of mathematical functions", 26.5.8.
    """
    a, b, x = torch.broadcast_tensors(a, b, x)
    inside = (x > 0) & (x < 1)
    at = torch.where(inside, x, 0.5)  # neither branch's gradient sees where it isn't at home
    swap = at > (a + 1) / (a + b + 2)
    p, q, y = torch.where(swap, b, a), torch.where(swap, a, b), torch.where(swap, 1 - at, at)
    log_front = torch.lgamma(p + q) - torch.lgamma(p) - torch.lgamma(q) + p * torch.log(y) + q * torch.log1p(-y)
    fraction = torch.ones_like(y)
    for m in range(_TERMS // 2, -1, -1):
        odd = -(p + m) * (p + q + m) * y / ((p + 2 * m) * (p + 2 * m + 1))
        fraction = 1 + odd / fraction
        if m:
            fraction = 1 + m * (q - m) * y / ((p + 2 * m - 1) * (p + 2 * m)) / fraction
    value = torch.exp(log_front) / (p * fraction)
    value = torch.where(swap, 1 - value, value)
    return torch.where(inside, value, (x >= 1).to(value.dtype))


def gamma_inc(a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Compute the lower regularised incomplete gamma function; both arguments have a gradient."""
    return _gamma_parts(a, x)[0]


def gamma_inc_c(a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Compute the upper regularised incomplete gamma function; both arguments have a gradient."""
    return _gamma_parts(a, x)[1]


def _gamma_parts(a: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Compute the lower and the upper function, by a series, a continued fraction, or an expansion for large ones.

    .. math::

        P(a, x) = \frac{x^a e^{-x}}{\Gamma(a + 1)} \sum_{n \ge 0} \frac{x^n}{(a + 1) \cdots (a + n)}, \qquad
        Q(a, x) = \frac{x^a e^{-x}}{\Gamma(a)}
        \cfrac{1}{x + 1 - a - \cfrac{1 (1 - a)}{x + 3 - a - \cfrac{2 (2 - a)}{x + 5 - a - \cdots}}}

    Abramowitz and Stegun (1964), "Handbook of mathematical functions", 6.5.29 and 6.5.31.
    """
    a, x = torch.broadcast_tensors(a, x)
    large, inside, some = a > _LARGE, x > 0, torch.clamp(a, max=_LARGE)
    positive = torch.where(inside, torch.clamp(x, max=1e30), 1.0)
    below = positive < some + 1
    low, high = torch.where(below, positive, some), torch.where(below, some + 2, positive)
    total, fraction = torch.ones_like(low), high + 2 * _TERMS + 1 - some
    for n in range(_TERMS, 0, -1):
        total = 1 + total * low / (some + n)
        fraction = high + 2 * n - 1 - some - n * (n - some) / fraction
    lower = torch.exp(some * torch.log(low) - low - torch.lgamma(some + 1)) * total
    upper = torch.exp(some * torch.log(high) - high - torch.lgamma(some)) / fraction
    half, rest = _expanded(torch.clamp(a, min=_LARGE), torch.where(inside, x, 1.0))
    lower = torch.where(large, torch.special.erfc(-half) / 2 - rest, torch.where(below, lower, 1 - upper))
    upper = torch.where(large, torch.special.erfc(half) / 2 + rest, torch.where(below, 1 - lower, upper))
    return torch.where(inside, lower, 0.0), torch.where(inside, upper, 1.0)


def _expanded(a: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Expand the incomplete gamma function for large :math:`a`: the argument of erfc, and what comes beside it.

    .. math::

        Q(a, x) \approx \tfrac12 \operatorname{erfc}(\eta \sqrt{a / 2})
        + \frac{e^{-a \eta^2 / 2}}{\sqrt{2 \pi a}} \Big(c_0(\eta) + \frac{c_1(\eta)}{a}\Big),
        \qquad \tfrac12 \eta^2 = \mu - \log(1 + \mu), \quad \mu = \frac{x - a}{a}

    Temme (1979), "The asymptotic expansion of the incomplete gamma functions", SIAM J. Math. Anal. 10.
    """
    mu = (x - a) / a
    near = mu.abs() < 0.2
    small, wide = torch.where(near, mu, 0.0), torch.where(near, 1.0, mu)
    series = sum(2 * (-small) ** k / (k + 2) for k in range(16))  # 2 (mu - log(1 + mu)) / mu^2
    eta = mu * torch.sqrt(torch.where(near, series, 2 * (wide - torch.log1p(wide)) / wide**2))
    at, far = torch.where(near, eta, 0.0), torch.where(near, 1.0, eta)
    first = torch.where(near, sum(c * at**k for k, c in enumerate(_FIRST)), 1 / wide - 1 / far)
    second = torch.where(
        near, sum(c * at**k for k, c in enumerate(_SECOND)), far**-3 - wide**-3 - wide**-2 - 1 / (12 * wide)
    )
    rest = torch.exp(-a * eta**2 / 2) / torch.sqrt(2 * math.pi * a) * (first + second / a)
    return eta * torch.sqrt(a / 2), rest


def spline(fitted: Any, dtype: torch.dtype, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """Make a spline of SciPy a torch function.

    Parameters
    ----------
    fitted
        Instance of `scipy.interpolate.UnivariateSpline`. Outside its knots it is zero where it was made with
        ``ext="zeros"``, and goes on as its last piece does otherwise.
    dtype, device
        Floating dtype and device of the computation.
    """
    pieces = PPoly.from_spline(fitted._eval_args)
    real = np.flatnonzero(np.diff(pieces.x) > 0)  # knots at the ends are repeated
    starts, ends = pieces.x[real], pieces.x[real + 1]
    knots = torch.from_numpy(starts).to(device, dtype)
    coefficients = torch.from_numpy(pieces.c[:, real].copy()).to(device, dtype)
    zeros = getattr(fitted, "ext", 0) in (1, "zeros")

    def evaluate(x: torch.Tensor) -> torch.Tensor:
        piece = torch.clamp((x[..., None] >= knots).sum(-1) - 1, min=0)
        flat = piece.reshape(-1)  # without a dimension, vmap couldn't take an index for one
        beyond, value = x - knots[flat].reshape(x.shape), torch.zeros_like(x)
        for row in coefficients:
            value = value * beyond + row[flat].reshape(x.shape)
        return torch.where((x >= starts[0]) & (x <= ends[-1]), value, 0.0) if zeros else value

    return evaluate
