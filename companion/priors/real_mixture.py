"""Pyro's mixture distribution with a support that guides and samplers can transform.

It is imported only where a Pyro model is run. Explained in
`book/reference/how_a_fit_works`, section "On disk".
"""

from __future__ import annotations

import pyro.distributions as dist

__all__ = ["RealMixture"]


class RealMixture(dist.MixtureSameFamily):  # type: ignore[misc]  # Pyro gives it no type
    """A mixture of distributions on the real line.

    Its support is declared as the real line. PyTorch declares a support made for mixtures, for which no transform is
    registered, so that ``pyro.infer.autoguide`` and NUTS raise ``NotImplementedError``.
    """

    support = dist.constraints.real
