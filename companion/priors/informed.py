"""A normal prior around the weights of another network, which carries what one task taught to the next.

Introduced in the chapter `book/pymc/moons`, section "Why join two crafts".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import torch
from numpy.typing import ArrayLike

from companion.checks import mapping, numbers, positive, whole
from companion.errors import ModelError
from companion.priors.base import entrywise, float_x
from companion.priors.gaussian import IndependentNormal
from companion.priors.parameter import Parameter, checked

if TYPE_CHECKING:
    from pytensor.tensor.variable import TensorVariable

__all__ = ["Informed"]

_DIRECTIONS = "directions"

Arrays = Mapping[str, ArrayLike | torch.Tensor]


@dataclass(frozen=True, eq=False)
class Informed(IndependentNormal):
    r"""A normal prior around given weights.

    .. math::

        w \sim \mathcal{N}(\mathrm{mean}, \operatorname{diag}(\mathrm{scale}^2) + F F^\top)

    Without a `factor`, :math:`F = 0` and all weights are independent. With one, the prior also knows along which
    directions the weights of the former task move together: it is written as
    :math:`w \mid z \sim \mathcal{N}(\mathrm{mean} + F z, \mathrm{scale}^2)` with
    :math:`z \sim \mathcal{N}(0, I)`, a variable ``"directions"`` (rank,) of the model. That costs one product of a
    matrix and a vector, and memory for `rank` numbers per weight.

    Attributes
    ----------
    mean
        Trained module, or a mapping from the name of each parameter to an array (\*shape). It is copied at once, so
        that the module may be trained further. Names that the new network doesn't have are not used.
    scale
        Standard deviation: one positive number for all weights, or a mapping from the name of each parameter to a
        number or an array (\*shape).
    factor
        Mapping from the name of each parameter to its rows of :math:`F`, (\*shape, rank), or ``None``.
        `from_draws` computes it.

    Raises
    ------
    ModelError
        If an entry isn't finite, a standard deviation isn't positive or the ranks differ; later, in `pymc` and `pyro`,
        if a parameter of the network has no entry, or one with another shape.

    Notes
    -----
    Krishnan, Subedar and Tickoo (2020), "Specifying Weight Priors in Bayesian Deep Neural Networks with Empirical
    Bayes", centre the prior on a trained network in this way; Shwartz-Ziv et al. (2022), "Pre-Train Your Loss: Easy
    Bayesian Transfer Learning with Informative Priors", add the covariance of low rank, from SWAG's trajectory. Not for
    a network whose layers differ from those of the former task, whose weights would mean something else.
    """

    mean: torch.nn.Module | Arrays = field(repr=False)
    scale: float | Arrays = field(default=1.0, repr=False)
    factor: Arrays | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        mean: Any = self.mean
        if isinstance(mean, torch.nn.Module):
            mean = dict(mean.named_parameters(remove_duplicate=False))
        if not isinstance(mean, Mapping):
            raise ModelError(
                f"mean is a {type(mean).__name__} in Informed; expected a torch.nn.Module, or a mapping from the names "
                "of parameters to arrays, such as module.state_dict()."
            )
        self._settle(mean={name: _array("mean", name, value) for name, value in mean.items()})
        if isinstance(self.scale, Mapping):
            scale = {name: _array("scale", name, value) for name, value in self.scale.items()}
            for name, value in scale.items():
                if not np.all(value > 0):
                    raise ModelError(f"scale[{name!r}] has {value.min()} in Informed; expected positive numbers only.")
            self._settle(scale=scale)
        else:
            self._check_positive("scale")
        if self.factor is not None:
            self._check_factor(self.factor)

    def _check_factor(self, factor: Any) -> None:
        """Refuse a factor that is not a mapping, or whose arrays have different ranks."""
        if not isinstance(factor, Mapping) or not factor:
            raise ModelError(
                f"factor is a {type(factor).__name__} in Informed; expected a mapping from the names of parameters to "
                "arrays (*shape, rank), or None. Informed.from_draws(draws, rank) makes one."
            )
        arrays = {name: _array("factor", name, value) for name, value in factor.items()}
        ranks = {name: array.shape[-1:] for name, array in arrays.items()}
        if len(set(ranks.values())) > 1 or () in ranks.values() or (0,) in ranks.values():
            raise ModelError(
                f"factor has the last dimensions {ranks} in Informed; expected the same one, the rank, for every "
                "parameter."
            )
        self._settle(factor=arrays)

    @classmethod
    def from_draws(
        cls,
        draws: Mapping[str, ArrayLike | torch.Tensor],
        rank: int = 10,
        *,
        inflate: float = 1.0,
        least: float = 1e-3,
    ) -> Informed:
        r"""Make the prior of draws of a posterior, or of weights along a trajectory of training.

        :math:`F` holds the first `rank` principal components of the draws, and ``scale`` what they leave of each
        weight's variance. The variances are those of the draws, with any rank.

        Parameters
        ----------
        draws
            Mapping from the name of each parameter to its draws, (draws, \*shape), as ``posterior.draw(200, seed=0)``
            gives them. Leave the draws of other variables out: they would have a say in the components.
        rank
            Number of columns of :math:`F`, below the number of draws.
        inflate
            Factor of all standard deviations; above 1 the new task may move further away than the draws are apart.
        least
            Smallest ``scale`` of a weight. Few draws that hardly differ in a weight don't mean that it is known.

        Returns
        -------
        Informed

        Raises
        ------
        ModelError
            If `draws` isn't a mapping or is empty, an array isn't finite or has another number of draws than the
            others, there are not more than `rank` draws, or a number is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> from companion.priors import Informed
        >>> draws = {"weight": np.random.default_rng(0).normal(size=(50, 2, 3))}
        >>> Informed.from_draws(draws, rank=4).factor["weight"].shape
        (2, 3, 4)
        """
        rank, inflate, least = whole("rank", rank, 1), positive("inflate", inflate), positive("least", least)
        mapping("draws", draws, "of parameters' names to arrays (draws, *shape), as posterior.draw(200, seed=0) gives")
        arrays = {name: _array("draws", name, value) for name, value in draws.items()}
        counts = {name: array.shape[:1] for name, array in arrays.items()}
        if not counts:
            raise ModelError("draws are of no parameter in Informed.from_draws; expected those of one or more.")
        if len(set(counts.values())) != 1 or min(counts.values()) <= (rank,):
            raise ModelError(
                f"draws have the first dimensions {counts} in Informed.from_draws with rank={rank}; expected the same "
                f"number of draws for every parameter, more than {rank}. Take a smaller rank or more draws."
            )
        centred = {name: a - a.mean(axis=0) for name, a in arrays.items()}
        flat = [a.reshape(len(a), -1) for a in centred.values()]
        divisor = len(flat[0]) - 1
        _, components = np.linalg.eigh(sum(a @ a.T for a in flat) / divisor)  # as large as the draws are many
        leading = components[:, ::-1][:, :rank] / np.sqrt(divisor)
        factor = {name: inflate * np.tensordot(a, leading, (0, 0)) for name, a in centred.items()}
        left = {
            name: inflate**2 * (a**2).sum(axis=0) / divisor - (factor[name] ** 2).sum(axis=-1)
            for name, a in centred.items()
        }
        scale = {name: np.sqrt(np.maximum(variance, least**2)) for name, variance in left.items()}
        return cls({name: a.mean(axis=0) for name, a in arrays.items()}, scale, factor)

    def pymc(self, parameters: Sequence[Parameter]) -> dict[str, TensorVariable[Any, Any]]:
        """Lay one normal variable for each parameter, and the common directions, into the model; see `Prior.pymc`."""
        if self.factor is None:
            return super().pymc(parameters)
        z: Any = pm.Normal(_DIRECTIONS, 0.0, 1.0, shape=self._rank, initval=float_x(np.zeros(self._rank)))
        weights = {}
        for p in checked(parameters, common=[_DIRECTIONS]):
            mean, scale = (float_x(value) for value in self.moments(p))
            shift = pm.math.dot(float_x(self._rows(p)), z).reshape(p.shape)
            weights[p.name] = pm.Normal(p.name, mean + shift, scale, shape=p.shape, initval=float_x(p.start))
        return weights

    def pyro(self, parameters: Sequence[Parameter]) -> dict[str, torch.Tensor]:
        """Sample one normal site for each parameter, and the common directions; see `Prior.pyro`."""
        if self.factor is None:
            return super().pyro(parameters)
        import pyro
        import pyro.distributions as dist

        dtype = torch.get_default_dtype()
        checked(parameters, common=[_DIRECTIONS])
        z = pyro.sample(_DIRECTIONS, entrywise(dist.Normal(torch.zeros((), dtype=dtype), 1.0), (self._rank,)))
        weights = {}
        for p in parameters:
            mean, scale = (torch.tensor(value, dtype=dtype) for value in self.moments(p))
            shift = torch.tensor(self._rows(p), dtype=dtype) @ z.unsqueeze(-1)
            at = mean + shift.reshape(*z.shape[:-1], *p.shape)
            weights[p.name] = pyro.sample(p.name, entrywise(dist.Normal(at, scale), p.shape))
        return weights

    @property
    def _rank(self) -> int:
        factor: Any = self.factor
        return int(next(iter(factor.values())).shape[-1])

    def _rows(self, parameter: Parameter) -> np.ndarray:
        """Look up a parameter's rows of the factor, (entries, rank)."""
        return _entry("factor", self.factor, parameter, more=(self._rank,)).reshape(-1, self._rank)

    def moments(self, parameter: Parameter) -> tuple[np.ndarray, float | np.ndarray]:
        r"""Look up the mean (\*shape) of a parameter and its standard deviation, a number or an array (\*shape).

        Raises
        ------
        ModelError
            If the parameter has no entry, or one with another shape.
        """
        mean = _entry("mean", self.mean, parameter)
        if isinstance(self.scale, float):
            return mean, self.scale
        scale = _entry("scale", self.scale, parameter, number=True)
        return mean, scale if scale.shape else float(scale)


def _array(setting: str, name: str, value: Any) -> np.ndarray:
    """Copy an entry to a float64 array that can't be written; refuse what isn't finite."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()
    array = np.array(numbers(f"{setting}[{name!r}] in Informed", value), dtype=np.float64)
    if not np.isfinite(array).all():
        raise ModelError(f"{setting}[{name!r}] holds NaN or infinity in Informed; expected finite numbers only.")
    array.setflags(write=False)
    return array


def _entry(
    setting: str, entries: Any, parameter: Parameter, *, number: bool = False, more: tuple[int, ...] = ()
) -> np.ndarray:
    """Look up a parameter's entry, with the shape that the network gives it."""
    if parameter.name not in entries:
        raise ModelError(
            f"{setting} has no entry {parameter.name!r} in Informed; it has {sorted(entries)}. "
            "Expected one for every parameter of the network: freeze those that should have no prior."
        )
    array: np.ndarray = entries[parameter.name]
    expected = (*parameter.shape, *more)
    if array.shape != expected and not (number and array.shape == ()):
        raise ModelError(
            f"{setting}[{parameter.name!r}] has shape {array.shape} in Informed; expected {expected}, "
            + (
                "one row for each weight."
                if more
                else "one value for each weight. Average draws over their first axis."
            )
        )
    return array
