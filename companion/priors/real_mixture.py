"""Pyro's mixture distribution with a support that guides and samplers can transform.

Imported only where a Pyro model is run. Explained in the chapter `book/bayes_by_backprop/design_choices`.
"""

from __future__ import annotations

import pyro.distributions as dist

__all__ = ["RealMixture"]


class RealMixture(dist.MixtureSameFamily):  # type: ignore[misc]  # Pyro gives it no type
    """A mixture of distributions on the real line.

    Its support is declared as the real line. PyTorch's own declaration, one made for mixtures, has no transform
    registered, so that ``pyro.infer.autoguide`` and NUTS raise ``NotImplementedError``.
    """

    support = dist.constraints.real
