r"""The Fisher information of one observation, for the distributions whose parameters don't mix in it.

.. math::

    F(\phi) = -\mathbb{E}_{y \sim p(y \mid \phi)}\left[\nabla^2_\phi \log p(y \mid \phi)\right]

Carried back through a model's Jacobian it is the generalised Gauss-Newton matrix: the two are the same where the
likelihood is an exponential family in its natural parameters (Martens 2020, "New Insights and Perspectives on the
Natural Gradient Method"), and unlike that matrix it doesn't depend on how the parameters are written. Explained in
`book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from companion.errors import ModelError

__all__ = ["fisher_of"]

Entries = Sequence[torch.Tensor | None]


def fisher_of(name: str, distribution: str, parameters: Sequence[torch.Tensor]) -> Entries:
    """Compute the Fisher information of each parameter of each observation, in the parameters' order.

    Parameters
    ----------
    name
        Name of the observed variable, for the message.
    distribution
        PyMC's name of its distribution.
    parameters
        Its parameters, broadcast to its shape.

    Returns
    -------
    sequence
        A tensor for each parameter, or ``None`` where one is a constant of the distribution.

    Raises
    ------
    ModelError
        If the information of that distribution isn't known here, or has entries between parameters that are unknown.
    """
    found = _KNOWN.get(distribution)
    if found is None:
        raise ModelError(
            f"{name!r} is a {distribution or 'distribution of your own'}, whose Gauss-Newton matrix isn't known; it is "
            f"for {sorted(_KNOWN)}. Use curvature='hessian'."
        )
    entries = found(*parameters)
    for number, (entry, parameter) in enumerate(zip(entries, parameters, strict=True)):
        if entry is None and parameter.requires_grad:
            raise ModelError(
                f"parameter {number} of {name!r} ({distribution}) depends on unknown values, for which its "
                "Gauss-Newton matrix isn't known. Use curvature='hessian', or give the parameter a number."
            )
    return entries


def _positive(p: torch.Tensor) -> torch.Tensor:
    """Keep away from zero what is divided by: where it is one, the derivative that it weighs is zero as well."""
    return p.clamp_min(torch.finfo(p.dtype).tiny)


def _normal(mu: torch.Tensor, sigma: torch.Tensor) -> Entries:
    return sigma**-2, 2 * sigma**-2


def _student(nu: torch.Tensor, mu: torch.Tensor, sigma: torch.Tensor) -> Entries:
    return None, (nu + 1) / (nu + 3) * sigma**-2, 2 * nu / (nu + 3) * sigma**-2


def _laplace(mu: torch.Tensor, b: torch.Tensor) -> Entries:
    return b**-2, b**-2


def _bernoulli(p: torch.Tensor) -> Entries:
    return (1 / _positive(p * (1 - p)),)


def _binomial(n: torch.Tensor, p: torch.Tensor) -> Entries:
    return None, n / _positive(p * (1 - p))


def _inverse(p: torch.Tensor) -> Entries:
    return (1 / _positive(p),)


def _exponential(scale: torch.Tensor) -> Entries:
    return (scale**-2,)


_KNOWN: dict[str, Callable[..., Entries]] = {
    "Bernoulli": _bernoulli,
    "Binomial": _binomial,
    "Categorical": _inverse,
    "Exponential": _exponential,
    "Laplace": _laplace,
    "LogNormal": _normal,
    "Normal": _normal,
    "Poisson": _inverse,
    "StudentT": _student,
}
