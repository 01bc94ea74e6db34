"""A normal prior whose scale is learned from the data, one for every layer.

Explained in the chapter `book/mnist/hierarchical`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymc as pm

from companion.errors import ModelError
from companion.priors.base import Prior, entrywise, float_x, stretched
from companion.priors.parameters import Parameter, checked, layers, of_layer

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["LearnedScale"]


@dataclass(frozen=True)
class LearnedScale(Prior):
    r"""Normal weights around 0, with a scale for every layer that is itself unknown.

    .. math::

        s \sim \mathcal{N}^+(0, \mathrm{scale}^2), \quad w \mid s \sim \mathcal{N}(0, s^2)

    The weight and the bias of a layer share ``s``, which is named after the layer: ``"0.scale"``, and ``"scale"``
    for a module without submodules. It starts at ``scale``.

    Attributes
    ----------
    scale
        Scale of the half-normal distribution of ``s``.
    centred
        ``True`` has the weights themselves as variables. ``False`` has ``raw = w / s``, named ``"0.weight.raw"``,
        standard normal whatever ``s`` is, and the weights as deterministics: the same prior with another geometry,
        easier on a sampler where the data say little.

    Raises
    ------
    ModelError
        If `scale` isn't positive and finite, or `centred` is neither ``True`` nor ``False``.

    Notes
    -----
    The learned regularisation is that of Wiecki (2016), "Bayesian Deep Learning Part II"; the two parametrisations
    are those of Papaspiliopoulos, Roberts and Sköld (2007), "A General Framework for the Parametrization of
    Hierarchical Models". Explained in the chapter `book/mnist/hierarchical`.
    """

    scale: float = 1.0
    centred: bool = True

    def __post_init__(self) -> None:
        self._check_positive("scale")
        if not isinstance(self.centred, bool):
            raise ModelError(f"centred={self.centred!r} in LearnedScale; expected True or False.")

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay a scale for each layer and its weights into the model; see `Prior.pymc`."""
        weights = {}
        for layer, members in layers(checked(parameters, ["scale"])).items():
            s = pm.HalfNormal(of_layer(layer, "scale"), self.scale, initval=float_x(self.scale))
            for p in members:
                if self.centred:
                    weights[p.name] = pm.Normal(p.name, 0.0, s, shape=p.shape, initval=float_x(p.start))
                else:
                    start = None if p.start is None else p.start / self.scale
                    raw = pm.Normal(f"{p.name}.raw", 0.0, 1.0, shape=p.shape, initval=float_x(start))
                    weights[p.name] = pm.Deterministic(p.name, s * raw)
        return weights

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample a scale for each layer and its weights; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        weights = {}
        for layer, members in layers(checked(parameters, ["scale"])).items():
            s = pyro.sample(of_layer(layer, "scale"), dist.HalfNormal(self.scale))
            for p in members:
                dims = len(p.shape)
                if self.centred:
                    weights[p.name] = pyro.sample(p.name, entrywise(dist.Normal(0.0, stretched(s, dims)), p.shape))
                else:
                    raw = pyro.sample(f"{p.name}.raw", entrywise(dist.Normal(0.0, 1.0), p.shape))
                    weights[p.name] = pyro.deterministic(p.name, stretched(s, dims) * raw, event_dim=dims)
        return weights
