"""The bridge in: a `torch.nn.Module` in, a node of a PyMC model out.

The 2016 post put Lasagne's layers into a PyMC3 model, because both spoke Theano. Here any torch network stands in an
ordinary `pymc.Model`, with a gradient. Explained in the chapter `book/mnist/dense`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pymc as pm
import pytensor.tensor as pt
import torch
from pytensor.tensor.shape import specify_shape

import companion.bridge.linkers  # noqa: F401  (registers the Ops with PyTensor's linkers)
from companion.bridge.ops import TorchOp
from companion.bridge.shapes import module_call
from companion.errors import ModelError
from companion.priors import Prior, parameters

__all__ = ["WrappedModule", "bayesian", "check_module", "wrap_torch"]

_RANDOM = (torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._BatchNorm, torch.nn.RReLU)
_RANDOM_WITH_DROPOUT = (torch.nn.MultiheadAttention, torch.nn.RNNBase)


class WrappedModule:
    """A module that takes PyTensor variables; what `wrap_torch` returns.

    Attributes
    ----------
    module
        The torch module. Only its architecture and its frozen parameters are used.
    shapes
        Of the weights it expects: name to shape.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        check_module(module)
        self.module = module
        self.shapes = {name: tuple(p.shape) for name, p in module.named_parameters() if p.requires_grad}

    def __call__(self, x: Any, weights: Mapping[str, Any]) -> Any:
        r"""Apply the module to inputs, with these weights instead of its own.

        Parameters
        ----------
        x
            A PyTensor variable or array; a tuple or list of them where ``forward`` takes several.
        weights
            Parameter name, as in ``module.named_parameters()``, to a variable or array of that parameter's shape.
            Parameters that don't require a gradient are frozen: they keep the module's values and are not expected.

        Returns
        -------
        TensorVariable
            The output; a list where ``forward`` gives several.

        Raises
        ------
        ModelError
            If a weight is missing, unknown or of another shape, or if the module refuses the inputs' shapes.
        """
        inputs = [pt.as_tensor_variable(v) for v in (x if isinstance(x, tuple | list) else (x,))]
        self._check_names(weights)
        values = [_with_shape(name, weights[name], shape) for name, shape in self.shapes.items()]
        return TorchOp(module_call(self.module, list(self.shapes), inputs, list(self.shapes.values())))(
            *inputs, *values
        )

    def _check_names(self, weights: Mapping[str, Any]) -> None:
        if not isinstance(weights, Mapping):
            raise ModelError(
                f"weights is a {type(weights).__name__}; expected a mapping from parameter names to variables: "
                f"{list(self.shapes)}."
            )
        missing = [name for name in self.shapes if name not in weights]
        unknown = [name for name in weights if name not in self.shapes]
        if missing or unknown:
            raise ModelError(
                f"the weights lack {missing} and have {unknown}, which the module doesn't know; it expects "
                f"{list(self.shapes)}. To keep a parameter as it is, freeze it: parameter.requires_grad_(False)."
            )


def wrap_torch(module: torch.nn.Module) -> WrappedModule:
    r"""Make a torch module callable on PyTensor variables, with gradients.

    One forward pass through torch serves the value and the gradient. The module computes in its own dtype (float32,
    or float64 after ``module.double()``) and on its own device; what PyTensor sees are NumPy arrays.

    Parameters
    ----------
    module
        Any `torch.nn.Module` that computes the same from the same inputs and weights.

    Returns
    -------
    WrappedModule
        ``call(x, weights)``, with ``weights`` a mapping from the module's parameter names to variables.

    Raises
    ------
    ModelError
        If `module` is no module, or one of torch's layers in it draws random numbers or keeps statistics in training
        mode, as dropout and batch normalisation do.

    Examples
    --------
    >>> import numpy as np, pymc as pm, torch
    >>> from companion.bridge import wrap_torch
    >>> call = wrap_torch(torch.nn.Linear(3, 1).double())
    >>> with pm.Model():
    ...     w = pm.Normal("w", shape=(1, 3))
    ...     b = pm.Normal("b", shape=1)
    ...     mean = call(np.array([[1.0, 2.0, 3.0]]), {"weight": w, "bias": b})
    >>> mean.type.shape
    (1, 1)

    Notes
    -----
    Explained in the chapter `book/mnist/dense`.
    """
    return WrappedModule(module)


def bayesian(module: torch.nn.Module, prior: Prior, x: Any) -> Any:
    """Place a random variable on every parameter of a module, and return the module's output.

    The modern form of the post's trick of giving Lasagne's layers a function that makes random variables for their
    ``init=``. To be called inside a `pymc.Model`; the variables have the parameters' names.

    Parameters
    ----------
    module
        As for `wrap_torch`. Its own weights are where inference starts.
    prior
        From `companion.priors`.
    x
        Inputs: a variable or array, often `pymc.Data`; a tuple or list where ``forward`` takes several.

    Returns
    -------
    TensorVariable
        The module's output, such as logits (rows, classes).

    Raises
    ------
    ModelError
        Outside a model, for something that is no prior, and as `wrap_torch`.

    Notes
    -----
    Explained in the chapter `book/mnist/dense`.
    """
    if pm.Model.get_context(error_if_none=False) is None:
        raise ModelError("bayesian(...) was called outside a model; call it inside `with pm.Model():`.")
    if not isinstance(prior, Prior):
        raise ModelError(
            f"prior is a {type(prior).__name__}; expected one of companion.priors, such as Gaussian(scale=1.0)."
        )
    call = wrap_torch(module)
    return call(x, prior.pymc(parameters(module)))


def check_module(module: Any) -> None:
    """Refuse what is no module, or doesn't compute the same from the same weights; see `wrap_torch`.

    Raises
    ------
    ModelError
        If it is none, draws random numbers, keeps statistics, or has a parameter without a shape.
    """
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{type(module).__name__} is no torch.nn.Module; expected a module, such as torch.nn.Linear.")
    for name, part in module.named_modules():
        drops = isinstance(part, _RANDOM_WITH_DROPOUT) and part.dropout > 0
        counts = isinstance(part, torch.nn.modules.instancenorm._InstanceNorm) and part.track_running_stats
        if part.training and (drops or counts or isinstance(part, _RANDOM)):
            raise ModelError(
                f"{name or 'the module'} is a {type(part).__name__} in training mode, which doesn't compute the same "
                "from the same weights. Call module.eval() first, or leave it out: the posterior regularises already."
            )
    lazy = [name for name, p in module.named_parameters() if torch.nn.parameter.is_lazy(p)]
    if lazy:
        raise ModelError(f"the parameters {lazy} have no shape yet; run the lazy module once on an example input.")


def _with_shape(name: str, value: Any, shape: Sequence[int]) -> Any:
    """Check a weight's shape as far as it is static, and make PyTensor know the rest."""
    variable = pt.as_tensor_variable(value)
    static = variable.type.shape
    if len(static) != len(shape) or any(n is not None and n != m for n, m in zip(static, shape, strict=True)):
        raise ModelError(f"the weight {name!r} has shape {static}; the module's parameter has {tuple(shape)}.")
    return variable if static == tuple(shape) else specify_shape(variable, tuple(shape))
