"""Variational families: the distributions that stand in for a posterior over a model's flat vector of values.

Each has the same parts in the same order: ``start`` makes its parameters, ``draw`` turns standard normal noise into a
draw, then come its log density, its entropy and its marginal variances. Explained in
`book/reference/how_a_fit_works`, section "Families".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import torch
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal

from companion.errors import ModelError
from companion.variational.dropout import Dropout

__all__ = [
    "EmpiricalBayes",
    "Family",
    "FamilyName",
    "FullRank",
    "LowRank",
    "MeanField",
    "PointMass",
    "family_named",
    "register_family",
]

Parameters = dict[str, torch.Tensor]


@runtime_checkable
class Family(Protocol):
    """A family of distributions over vectors (size,), with its parameters as plain tensors."""

    @property
    def name(self) -> str:
        """Name of the family in settings and checkpoints."""
        ...

    @property
    def factorised(self) -> bool:
        """Whether the entries of a draw are independent."""
        ...

    def start(self, mean: torch.Tensor, scale: float) -> Parameters:
        """Make the parameters of a member around a vector (size,), with standard deviations `scale`."""
        ...

    def noise(self, size: int) -> int:
        """Count the standard normal numbers that one draw is made of."""
        ...

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        """Turn noise (noise,) into a draw (size,)."""
        ...

    def log_prob(self, parameters: Parameters, draw: torch.Tensor) -> torch.Tensor:
        """Compute the log density of a draw, in nats."""
        ...

    def entropy(self, parameters: Parameters) -> torch.Tensor:
        """Compute the entropy, in nats."""
        ...

    def variance(self, parameters: Parameters) -> torch.Tensor:
        """Compute the marginal variances (size,)."""
        ...


@dataclass(frozen=True)
class MeanField:
    r"""Independent normals: :math:`q(\theta) = \prod_i \mathcal{N}(\theta_i \mid \mu_i, e^{2 \lambda_i})`.

    It is for any number of values.

    Notes
    -----
    **Cost.** A step takes one gradient per draw. Memory holds six numbers per value, two parameters and Adam's two
    moments of each.

    **When not to use it.** Not where values depend on each other in the posterior and their spread matters: such a q is
    too narrow, and too sure far from the data.

    **Sources.** Hinton and van Camp (1993), "Keeping the neural networks simple by minimizing the description length of
    the weights"; Graves (2011), "Practical variational inference for neural networks".
    """

    name: str = "mean-field"
    factorised: bool = True

    def start(self, mean: torch.Tensor, scale: float) -> Parameters:
        return {"mean": mean.clone(), "log_scale": torch.full_like(mean, math.log(scale))}

    def noise(self, size: int) -> int:
        return size

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        return parameters["mean"] + parameters["log_scale"].exp() * noise

    def log_prob(self, parameters: Parameters, draw: torch.Tensor) -> torch.Tensor:
        normal = Normal(parameters["mean"], parameters["log_scale"].exp(), validate_args=False)
        return torch.as_tensor(Independent(normal, 1, validate_args=False).log_prob(draw))

    def entropy(self, parameters: Parameters) -> torch.Tensor:
        return _normal_entropy(parameters["log_scale"])

    def variance(self, parameters: Parameters) -> torch.Tensor:
        return (2 * parameters["log_scale"]).exp()


@dataclass(frozen=True)
class OptimalScales(MeanField):
    r"""Independent normals, those of learned scales at their optimum given all others.

    The scales are those of `companion.bridge.CentredScales`. `ScaleUpdate` sets mean :math:`\mu` and variance :math:`t`
    of the logarithm of each after every step, in closed form, so that where a scale started has no effect:

    .. math::

        t = \frac{1}{4 R}, \qquad \mu = t + \tfrac12 \log \frac{S}{R + k}, \qquad
        R = \sqrt{k^2 + S e^{4 t} / \tau^2}, \qquad k = \frac{n - 1}{2},

    with the expected sum of squares :math:`S` of its :math:`n` weights and the scale :math:`\tau` of its half-normal
    prior; see `best_scale`. The family is that of "mean-field" and so is its ELBO; what differs is how the maximum is
    looked for.

    Notes
    -----
    **Cost.** A step takes one gradient per draw and a pass over the weights. Memory holds six numbers per value, as for
    "mean-field".

    **When not to use it.** Not for a model without such scales, which is refused. Where values depend on each other in
    the posterior it is as much too narrow as "mean-field".

    **Sources.** MacKay (1992), "A Practical Bayesian Framework for Backpropagation Networks", for the estimate that it
    becomes with many weights; Blei, Kucukelbir and McAuliffe (2017), "Variational Inference: A Review for
    Statisticians", for the optimum of one factor given the others.
    """

    name: str = "optimal-scales"


@dataclass(frozen=True)
class EmpiricalBayes(OptimalScales):
    r"""Independent normals for all values but learned scales, which are estimated: type-II maximum likelihood.

    The scales are those of `companion.bridge.CentredScales`. Each stands at the value :math:`\hat s` that maximises the
    ELBO, :math:`\hat s^2 = \operatorname{mean}(\mu^2 + \sigma^2)` over its weights, with a standard deviation that is
    next to nothing. Its own prior and its entropy are not counted, so that the ELBO is a lower bound on
    :math:`\log p(\mathcal{D} \mid \hat s)`, the evidence of the model with these scales.

    Notes
    -----
    **Cost.** A step takes one gradient per draw and a pass over the weights. Memory holds six numbers per value, as for
    "mean-field".

    **When not to use it.** The bound is not one on the evidence of the model with unknown scales, and with many scales
    it says too little of what they cost: don't choose the number of scales by it. Nor is it for a model without such
    scales, which is refused.

    **Sources.** MacKay (1992), "A Practical Bayesian Framework for Backpropagation Networks".
    """

    name: str = "empirical-bayes"


@dataclass(frozen=True)
class FullRank:
    r"""A normal distribution with any covariance, :math:`\Sigma = L L^\top`, for up to a few thousand values.

    The factor L is lower triangular.

    Notes
    -----
    **Cost.** A step takes one gradient per draw and a product of L with a vector. Memory holds three numbers per pair
    of values, an entry of L and Adam's two moments of it: 5,000 values take 300 MB in float32, for each restart.

    **When not to use it.** Not for more values than `limit`, which are refused, nor for several modes at once.

    **Sources.** Titsias and Lázaro-Gredilla (2014), "Doubly stochastic variational Bayes for non-conjugate inference".
    """

    name: str = "full-rank"
    factorised: bool = False
    limit: int = 5000

    def start(self, mean: torch.Tensor, scale: float) -> Parameters:
        size = len(mean)
        if size > self.limit:
            raise ModelError(
                f"family='full-rank' with {size:,} values needs {size:,} x {size:,} numbers; at most {self.limit:,} "
                "values are sensible. Use family='low-rank' or 'mean-field'."
            )
        return {
            "mean": mean.clone(),
            "log_scale": torch.full_like(mean, math.log(scale)),
            "lower": mean.new_zeros(size, size),
        }

    def noise(self, size: int) -> int:
        return size

    def _factor(self, parameters: Parameters) -> torch.Tensor:
        """Build L: its diagonal from the log scales, the rest from what lies below the diagonal of ``lower``."""
        return parameters["lower"].tril(-1) + torch.diag(parameters["log_scale"].exp())

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        return parameters["mean"] + self._factor(parameters) @ noise

    def _normal(self, parameters: Parameters) -> MultivariateNormal:
        return MultivariateNormal(parameters["mean"], scale_tril=self._factor(parameters), validate_args=False)

    def log_prob(self, parameters: Parameters, draw: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self._normal(parameters).log_prob(draw))

    def entropy(self, parameters: Parameters) -> torch.Tensor:
        return _normal_entropy(parameters["log_scale"])  # |L| is the product of its diagonal

    def variance(self, parameters: Parameters) -> torch.Tensor:
        return self._factor(parameters).square().sum(dim=1)


@dataclass(frozen=True)
class LowRank:
    r"""A normal distribution whose covariance is a diagonal matrix plus a few columns.

    With the logarithms of the diagonal's roots :math:`\lambda` and a matrix F of few columns, its covariance is
    :math:`\Sigma = \operatorname{diag}(e^{2 \lambda}) + F F^\top`. It is for correlations along a few directions.

    Parameters
    ----------
    rank
        Number of columns of F.

    Notes
    -----
    **Cost.** A step takes one gradient per draw and a product of F with a vector. Memory holds 6 + 3 `rank` numbers per
    value: the parameters, and Adam's two moments of each.

    **When not to use it.** Not for weights by the million, where F alone takes the memory of `rank` networks, nor for
    more directions than F has columns.

    **Sources.** Ong, Nott and Smith (2018), "Gaussian variational approximation with a factor covariance structure".
    """

    rank: int = 10
    factorised: bool = False

    @property
    def name(self) -> str:
        return f"low-rank:{self.rank}"

    def start(self, mean: torch.Tensor, scale: float) -> Parameters:
        rank = min(self.rank, len(mean))
        # The columns start tiny and different from each other: at zero all would have the same gradient.
        waves = torch.outer(torch.arange(1, len(mean) + 1), torch.arange(1, rank + 1)).to(mean)
        columns = (waves * math.sqrt(2)).sin() * scale * 0.1 / math.sqrt(rank)
        return {"mean": mean.clone(), "log_scale": torch.full_like(mean, math.log(scale)), "factor": columns}

    def noise(self, size: int) -> int:
        return size + min(self.rank, size)

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        mean, factor = parameters["mean"], parameters["factor"]
        own, common = noise.split([len(mean), factor.shape[1]])
        return torch.as_tensor(mean + parameters["log_scale"].exp() * own + factor @ common)

    def _normal(self, parameters: Parameters) -> LowRankMultivariateNormal:
        diagonal = (2 * parameters["log_scale"]).exp()
        return LowRankMultivariateNormal(parameters["mean"], parameters["factor"], diagonal, validate_args=False)

    def log_prob(self, parameters: Parameters, draw: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self._normal(parameters).log_prob(draw))

    def entropy(self, parameters: Parameters) -> torch.Tensor:
        return torch.as_tensor(self._normal(parameters).entropy())

    def variance(self, parameters: Parameters) -> torch.Tensor:
        return (2 * parameters["log_scale"]).exp() + parameters["factor"].square().sum(dim=1)


@dataclass(frozen=True)
class PointMass:
    r"""A single vector: the maximum a posteriori estimate, :math:`\theta^* = \arg\max \log p(\mathcal{D}, \theta)`.

    The maximum is that of the density in the unconstrained space. The point's entropy, minus infinity, is counted as
    zero, so that its loss is minus the log density of data and values. With restarts it is a deep ensemble.

    Notes
    -----
    **Cost.** A step takes one gradient. Memory holds three numbers per value, the value and Adam's two moments of it.

    **When not to use it.** Not where the spread of the posterior matters, of which a point says nothing. Not for
    weights together with a centred learned scale: their density grows without bounds as both go to zero.

    **Sources.** MacKay (1992), "A Practical Bayesian Framework for Backpropagation Networks", for training with weight
    decay as the mode of a posterior; Lakshminarayanan, Pritzel and Blundell (2017), "Simple and Scalable Predictive
    Uncertainty Estimation using Deep Ensembles".
    """

    name: str = "map"
    factorised: bool = True

    def start(self, mean: torch.Tensor, scale: float) -> Parameters:
        return {"mean": mean.clone()}

    def noise(self, size: int) -> int:
        return 0

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        return parameters["mean"] * 1.0

    def log_prob(self, parameters: Parameters, draw: torch.Tensor) -> torch.Tensor:
        return draw.new_zeros(())

    def entropy(self, parameters: Parameters) -> torch.Tensor:
        return parameters["mean"].new_zeros(())

    def variance(self, parameters: Parameters) -> torch.Tensor:
        return torch.zeros_like(parameters["mean"])


class FamilyName(StrEnum):
    """Families that come with the companion; "low-rank:RANK" takes another rank than 10."""

    MEAN_FIELD = "mean-field"
    """Independent normals: cheap, and too narrow where values depend on each other."""

    OPTIMAL_SCALES = "optimal-scales"
    """Independent normals, with learned scales of priors at their optimum after every step."""

    EMPIRICAL_BAYES = "empirical-bayes"
    """Independent normals, and learned scales of priors as estimated numbers, for which the ELBO is a bound."""

    FULL_RANK = "full-rank"
    """A normal with any covariance, for up to a few thousand values."""

    LOW_RANK = "low-rank"
    """A normal whose covariance is a diagonal plus a few columns."""

    DROPOUT = "dropout"
    """Weights that are there or not, unit by unit: MC dropout. "dropout:P" takes another probability than 0.2."""

    MAP = "map"
    """A point: maximum a posteriori, and with restarts a deep ensemble."""


_FAMILIES: dict[str, Family] = {
    f.name: f for f in (MeanField(), OptimalScales(), EmpiricalBayes(), FullRank(), PointMass())
}


def _normal_entropy(log_scale: torch.Tensor) -> torch.Tensor:
    """Compute the entropy of a normal whose covariance has a root with the diagonal exp(log_scale), in nats."""
    return log_scale.sum() + 0.5 * math.log(2 * math.pi * math.e) * log_scale.numel()


def register_family(family: Family) -> Family:
    """Make a family of your own known by its name, so that fits name it and saved posteriors load.

    Parameters
    ----------
    family
        An object with the attributes and methods of `Family`.

    Returns
    -------
    Family
        The same object.

    Raises
    ------
    ModelError
        If it isn't a `Family`, or another family has that name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from companion.variational import MeanField, family_named, register_family
    >>> @dataclass(frozen=True)
    ... class Narrow(MeanField):
    ...     name: str = "narrow"
    >>> narrow = register_family(Narrow())
    >>> family_named("narrow") is narrow
    True
    """
    if not isinstance(family, Family):
        raise ModelError(
            f"{type(family).__name__} can't be registered; expected an object with the methods of "
            "companion.variational.Family."
        )
    taken = family.name in _FAMILIES and _FAMILIES[family.name] != family
    if taken or family.name.partition(":")[0] in (FamilyName.LOW_RANK, FamilyName.DROPOUT):
        raise ModelError(f"a family named {family.name!r} is known already; give yours another name.")
    _FAMILIES[family.name] = family
    return family


def family_named(family: str | Family) -> Family:
    """Look a family up by its name: of `FamilyName`, "low-rank:RANK", "dropout:P", or that of one that was registered.

    Raises
    ------
    ModelError
        If there is not a family of that name, the rank is not a positive number, or the probability not one.
    """
    if isinstance(family, Family):
        return family
    if family in _FAMILIES:
        return _FAMILIES[family]
    kind, _, rest = str(family).partition(":")
    if kind == FamilyName.LOW_RANK and (not rest or (rest.isdigit() and int(rest) > 0)):
        return LowRank(int(rest)) if rest else LowRank()
    if kind == FamilyName.DROPOUT:
        return Dropout(_number(rest)) if rest else Dropout()
    known = [*_FAMILIES, "low-rank", "low-rank:RANK", "dropout", "dropout:P"]
    raise ModelError(
        f"family={family!r}; expected one of {known}, or a Family. One of your own is made known by "
        "companion.variational.register_family."
    )


def _number(text: str) -> Any:
    """Read a number; what isn't one stays as it is, to be refused by its setting."""
    try:
        return float(text)
    except ValueError:
        return text
