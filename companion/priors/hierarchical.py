"""A normal prior whose scales are learned from the data, one for each layer or one for each parameter.

Explained in the chapter `book/mnist/hierarchical`, section "The model".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pymc as pm

from companion.errors import ModelError
from companion.priors.base import Prior, entrywise, float_x, stretched
from companion.priors.parameter import Parameter, checked, layers, of_layer

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["LearnedScale"]


@dataclass(frozen=True)
class LearnedScale(Prior):
    r"""A normal prior around 0 whose scales are themselves unknown.

    .. math::

        s \sim \mathcal{N}^+(0, \mathrm{scale}^2), \quad w \mid s \sim \mathcal{N}(0, s^2)

    Every ``s`` starts at ``start``. With ``family="optimal-scales"`` the engine sets a centred ``s`` to its optimum
    after every step, so that neither its start nor its learning rate matters; see `companion.variational.ScaleUpdate`.
    Scales that are not centred, other families, Pyro and samplers begin at the start, and a mean-field fit that moves
    means and scales at the same rate ends between the two starts.

    Attributes
    ----------
    scale
        Scale of the half-normal distribution of ``s``.
    centred
        Choice between two ways to write one prior. With ``True`` the variables are the weights themselves. With
        ``False`` they are ``raw = w / s``, named ``"0.weight.raw"`` and standard normal for every ``s``, and the
        weights are deterministics: another geometry, which is easier on a sampler where the data say little.
    each
        Unit that has an ``s`` of its own. With ``"layer"`` the weight and the bias of a layer share one, named after
        the layer, ``"0.scale"``, or ``"scale"`` for a module without submodules. With ``"parameter"`` each weight
        matrix and each bias has one, ``"0.weight_scale"`` and ``"0.bias_scale"``.
    start
        Value of every ``s`` at which inference in PyMC starts; ``None`` means `scale`. A wide prior need not start
        wide.

    Raises
    ------
    ModelError
        If `scale` or `start` isn't positive and finite, `centred` is neither ``True`` nor ``False``, or `each` neither
        ``"layer"`` nor ``"parameter"``.

    Notes
    -----
    The learned regularisation is that of Wiecki (2016), "Bayesian Deep Learning Part II", whose three layers have six
    scales, as under ``each="parameter"``. The two parametrisations are those of Papaspiliopoulos, Roberts and Sköld
    (2007), "A General Framework for the Parametrization of Hierarchical Models".
    """

    scale: float = 1.0
    centred: bool = True
    each: str = "layer"
    start: float | None = None

    def __post_init__(self) -> None:
        self._check_positive(*(("scale",) if self.start is None else ("scale", "start")))
        if not isinstance(self.centred, bool):
            raise ModelError(f"centred={self.centred!r} in LearnedScale; expected True or False.")
        if self.each not in ("layer", "parameter"):
            raise ModelError(f"each={self.each!r} in LearnedScale; expected 'layer' or 'parameter'.")

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay the scales and their weights into the model; see `Prior.pymc`."""
        weights, start = {}, self.scale if self.start is None else self.start
        for name, members in self._groups(parameters).items():
            s = pm.HalfNormal(name, self.scale, initval=float_x(start))
            for p in members:
                if self.centred:
                    weights[p.name] = pm.Normal(p.name, 0.0, s, shape=p.shape, initval=float_x(p.start))
                else:
                    raw_start = None if p.start is None else p.start / start
                    raw = pm.Normal(f"{p.name}.raw", 0.0, 1.0, shape=p.shape, initval=float_x(raw_start))
                    weights[p.name] = pm.Deterministic(p.name, s * raw)
        return weights

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample the scales and their weights; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        weights = {}
        for name, members in self._groups(parameters).items():
            s = pyro.sample(name, dist.HalfNormal(self.scale))
            for p in members:
                dims = len(p.shape)
                if self.centred:
                    weights[p.name] = pyro.sample(p.name, entrywise(dist.Normal(0.0, stretched(s, dims)), p.shape))
                else:
                    raw = pyro.sample(f"{p.name}.raw", entrywise(dist.Normal(0.0, 1.0), p.shape))
                    weights[p.name] = pyro.deterministic(p.name, stretched(s, dims) * raw, event_dim=dims)
        return weights

    def _groups(self, parameters: Sequence[Parameter]) -> dict[str, list[Parameter]]:
        """Group the parameters that share a scale, by the name of that scale."""
        if self.each == "parameter":
            return {f"{p.name}_scale": [p] for p in checked(parameters, suffix="_scale")}
        return {of_layer(layer, "scale"): members for layer, members in layers(checked(parameters, ["scale"])).items()}
