# mypy: untyped-calls-exclude="pyro"
"""Priors that shrink all weights but let single ones, or all weights of single units, escape: horseshoes.

Explained in `book/reference/how_a_fit_works`, section "On disk"; the chapter
`book/bayes_by_backprop/design_rivals` compares the horseshoe with other priors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

from companion.priors.base import Prior, entrywise, float_x, stretched
from companion.priors.parameter import Parameter, checked, layers, of_layer

if TYPE_CHECKING:
    import torch
    from pytensor.tensor.variable import TensorVariable

__all__ = ["GroupHorseshoe", "RegularisedHorseshoe"]

_HYPERPARAMETERS = ("global_scale", "slab_variance")


@dataclass(frozen=True)
class RegularisedHorseshoe(Prior):
    r"""The horseshoe prior, with a slab that bounds the weights which escape it.

    .. math::

        \tau \sim \mathrm{C}^+(0, \tau_0), \quad \lambda \sim \mathrm{C}^+(0, 1), \quad
        c^2 \sim \mathrm{InvGamma}\Bigl(\frac{\nu}{2}, \frac{\nu s^2}{2}\Bigr), \quad
        w = \frac{\tau \lambda}{\sqrt{1 + \tau^2 \lambda^2 / c^2}}\, z, \quad z \sim \mathcal{N}(0, 1)

    A weight with :math:`\tau \lambda \ll c` has the standard deviation :math:`\tau \lambda` of the horseshoe, one with
    :math:`\tau \lambda \gg c` that of the slab, :math:`c`. A layer shares :math:`\tau` (``"0.global_scale"``) and
    :math:`c^2` (``"0.slab_variance"``); each weight has its :math:`\lambda` (``"0.weight.local_scale"``) and its
    :math:`z` (``"0.weight.raw"``), so that the funnel is not centred.

    Attributes
    ----------
    global_scale
        Scale :math:`\tau_0` of the half-Cauchy distribution of :math:`\tau`; the smaller, the fewer weights escape.
    slab_scale
        Scale :math:`s` of the weights that escape.
    slab_df
        Degrees of freedom :math:`\nu` of the Student-t slab.

    Raises
    ------
    ModelError
        If a setting isn't positive and finite.

    Notes
    -----
    The prior of Piironen and Vehtari (2017), "Sparsity Information and Regularization in the Horseshoe
    and Other Shrinkage Priors". Inference starts at the module's weights, with :math:`\tau = \tau_0`,
    :math:`\lambda = 1` and :math:`c = s`.
    """

    global_scale: float = 0.1
    slab_scale: float = 1.0
    slab_df: float = 4.0

    def __post_init__(self) -> None:
        self._check_positive("global_scale", "slab_scale", "slab_df")

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay the scales of each layer and of each weight into the model, and the weights; see `Prior.pymc`."""
        slab_shape, rate = self._slab
        weights = {}
        for layer, members in layers(checked(parameters, _HYPERPARAMETERS)).items():
            tau = pm.HalfCauchy(of_layer(layer, "global_scale"), self.global_scale, initval=float_x(self.global_scale))
            slab_variance = pm.InverseGamma(
                of_layer(layer, "slab_variance"), alpha=slab_shape, beta=rate, initval=float_x(self.slab_scale**2)
            )
            for name, (shape, group) in self._groups(members).items():
                width = tau * pm.HalfCauchy(name, 1.0, shape=shape)
                scale = width / pm.math.sqrt(1.0 + width**2 / slab_variance)
                for p in group:
                    start = None if p.start is None else p.start / self._start_scale
                    raw = pm.Normal(f"{p.name}.raw", 0.0, 1.0, shape=p.shape, initval=float_x(start))
                    weights[p.name] = pm.Deterministic(p.name, stretched(scale, len(p.shape) - len(shape)) * raw)
        return {p.name: weights[p.name] for p in parameters}

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample the scales of each layer and of each weight, and return the weights; see `Prior.pyro`."""
        import pyro
        import pyro.distributions as dist

        weights = {}
        for layer, members in layers(checked(parameters, _HYPERPARAMETERS)).items():
            tau = pyro.sample(of_layer(layer, "global_scale"), dist.HalfCauchy(self.global_scale))
            slab_variance = pyro.sample(of_layer(layer, "slab_variance"), dist.InverseGamma(*self._slab))
            for name, (shape, group) in self._groups(members).items():
                local = pyro.sample(name, entrywise(dist.HalfCauchy(1.0), shape))
                width = stretched(tau, len(shape)) * local
                scale = width / (1.0 + width**2 / stretched(slab_variance, len(shape))).sqrt()
                for p in group:
                    dims = len(p.shape)
                    raw = pyro.sample(f"{p.name}.raw", entrywise(dist.Normal(0.0, 1.0), p.shape))
                    weight = stretched(scale, dims - len(shape)) * raw
                    weights[p.name] = pyro.deterministic(p.name, weight, event_dim=dims)
        return {p.name: weights[p.name] for p in parameters}

    def starts(self, parameters: Sequence[Parameter]) -> dict[str, np.ndarray]:
        """Say where the raw values start; see `Prior.starts`."""
        return {f"{p.name}.raw": p.start / self._start_scale for p in parameters if p.start is not None}

    @property
    def _start_scale(self) -> float:
        """Scale of every weight where inference starts: that of a local scale of 1."""
        return self.global_scale / math.hypot(1.0, self.global_scale / self.slab_scale)

    def _groups(self, members: Sequence[Parameter]) -> dict[str, tuple[tuple[int, ...], list[Parameter]]]:
        """Name each local scale of a layer, with its shape and the parameters that it is a factor of."""
        return {f"{p.name}.local_scale": (p.shape, [p]) for p in members}

    @property
    def _slab(self) -> tuple[float, float]:
        return self.slab_df / 2.0, self.slab_df * self.slab_scale**2 / 2.0


@dataclass(frozen=True)
class GroupHorseshoe(RegularisedHorseshoe):
    r"""The horseshoe prior with one local scale for each unit: the weights of a unit escape together, or none does.

    .. math::

        w_{ij} = \frac{\tau \lambda_i}{\sqrt{1 + \tau^2 \lambda_i^2 / c^2}}\, z_{ij}, \quad
        z_{ij} \sim \mathcal{N}(0, 1)

    with :math:`\tau`, :math:`\lambda_i` and :math:`c^2` distributed as those of `RegularisedHorseshoe`, which has the
    same settings. The group of unit :math:`i` is made of all entries with this first index in parameters of one layer
    with the same first dimension: the weights that lead into it, and its bias. Its :math:`\lambda_i` is an entry of a
    vector named after the first of these parameters, ``"0.weight.local_scale"`` (units,).

    There are as many local scales as units, so this prior needs half as many values as the horseshoe for each weight,
    and it removes whole units, which makes a network smaller and not only sparse.

    Notes
    -----
    Ghosh, Yao and Doshi-Velez (2018), "Structured Variational Learning of Bayesian Neural Networks with Horseshoe
    Priors", with one scale for each unit and the same regularisation; Louizos, Ullrich and Welling (2017), "Bayesian
    Compression for Deep Learning". Not centred: the engine's closed form for scales doesn't apply, and a mean-field fit
    depends on where the local scales start. Not for layers whose units have one or two weights, where it is the
    horseshoe for each weight.
    """

    def _groups(self, members: Sequence[Parameter]) -> dict[str, tuple[tuple[int, ...], list[Parameter]]]:
        """Put parameters with the same first dimension together."""
        groups: dict[tuple[int, ...], list[Parameter]] = {}
        for p in members:
            groups.setdefault(p.shape[:1], []).append(p)
        return {f"{group[0].name}.local_scale": (shape, group) for shape, group in groups.items()}
