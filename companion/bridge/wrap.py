"""The bridge in: any torch network stands in an ordinary PyMC model, with a gradient.

The 2016 post put Lasagne's layers into a PyMC3 model, because both spoke Theano. Explained in the chapter
`book/mnist/dense`, section "A torch network inside a PyMC model"; how a module becomes part of a model, in
`book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymc as pm
import pytensor.tensor as pt
import torch
from pytensor.tensor.shape import specify_shape

import companion.bridge.linkers  # noqa: F401  (registers the Ops with PyTensor's linkers)
from companion.bridge.examples import example_rows
from companion.bridge.functions import ModuleCall
from companion.bridge.modules import private_copy, refuse_by_kind, unwrapped
from companion.bridge.ops import TorchOp, is_float
from companion.bridge.shapes import module_call
from companion.bridge.trial import try_module
from companion.errors import ModelError, first_line
from companion.priors import Prior, check_prior, parameters

__all__ = ["WrappedModule", "bayesian", "check_module", "wrap_torch"]


class WrappedModule:
    """A module that takes PyTensor variables; see `wrap_torch`.

    Attributes
    ----------
    module
        A copy of the torch module. Only its architecture, its buffers and its frozen parameters are used.
    shapes
        Name of each weight that it expects to its shape.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        module = unwrapped(module)
        refuse_by_kind(module)
        self.module = private_copy(module)
        self.shapes = {name: tuple(p.shape) for name, p in module.named_parameters() if p.requires_grad}

    def __call__(self, x: Any, weights: Mapping[str, Any]) -> Any:
        r"""Apply the module to inputs, with these weights instead of its own.

        Parameters
        ----------
        x
            A PyTensor variable or array; a tuple or list of them where ``forward`` takes several. Whole numbers and
            truth values are made floating where the module takes nothing else.
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
            If a weight is missing, unknown or of another shape, or if the module fails on a few rows of the inputs,
            draws random numbers or asks a tensor for its value; see `wrap_torch`.
        """
        inputs = [pt.as_tensor_variable(v) for v in (x if isinstance(x, tuple | list) else (x,))]
        self._check_names(weights)
        values = [_with_shape(name, weights[name], shape) for name, shape in self.shapes.items()]
        call, inputs = self._tried(inputs)
        return TorchOp(call)(*inputs, *values)

    def _tried(self, inputs: list[Any]) -> tuple[ModuleCall, list[Any]]:
        """Run the module on a few rows, and find the dtype in which it takes whole numbers and truth values."""
        refusal: ModelError | None = None
        for dtypes in _dtypes_to_try(inputs, self.module):
            cast = [v.astype(dtype) if v.type.dtype != dtype else v for v, dtype in zip(inputs, dtypes, strict=True)]
            try:
                call = module_call(self.module, list(self.shapes), cast, list(self.shapes.values()))
                _try_on_rows(call, cast)
            except ModelError as error:
                refusal = refusal or error
            else:
                return call, cast
        raise refusal or ModelError(
            f"{type(self.module).__name__} takes no inputs; expected a module whose forward takes some."
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
    or float64 after ``module.double()``) and on its own device; what PyTensor sees are NumPy arrays. The module itself
    is not changed: a copy computes. It is taken out of `torch.compile` and `torch.nn.DataParallel`.

    Parameters
    ----------
    module
        Any `torch.nn.Module` that computes the same from the same inputs and weights. Where it is called, it is first
        tried on a few rows of the data, so that one that doesn't is refused before any step.

    Returns
    -------
    WrappedModule
        A function of ``(x, weights)``, with ``weights`` a mapping from the module's parameter names to variables.

    Raises
    ------
    ModelError
        If `module` is not a module or is TorchScript, or one of torch's layers in it draws random numbers or keeps
        statistics in training mode, as dropout and batch normalisation do.

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
    """
    return WrappedModule(module)


@contextmanager
def _names_explained() -> Iterator[None]:
    """Say what to do about a name that the model already has."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, ModelError) or "already exists" not in str(error):
            raise
        raise ModelError(
            f"{first_line(error)}: the model has another variable of that name, perhaps from another network. Give "
            'each network a name of its own: with pm.Model(name="scale"): bayesian(...) inside the model. Its '
            'variables are then "scale::0.weight" and so on.'
        ) from error


@_names_explained()
def bayesian(module: torch.nn.Module, prior: Prior, x: Any) -> Any:
    """Place a random variable on every parameter of a module, and return the module's output.

    The modern form of the post's trick of giving Lasagne's layers a function that makes random variables for their
    ``init=``. It is called inside a `pymc.Model`; the variables have the parameters' names. For a second network in the
    same model, call it inside ``with pm.Model(name="scale"):``, so that its variables have names of their own.

    Parameters
    ----------
    module
        Any torch module, as for `wrap_torch`. Its own weights are where inference starts.
    prior
        One of `companion.priors`.
    x
        Inputs: a variable or array, often `pymc.Data`; a tuple or list where ``forward`` takes several.

    Returns
    -------
    TensorVariable
        The module's output, such as logits (rows, classes).

    Raises
    ------
    ModelError
        If it is called outside a model, or with something that is not a prior; if the model has a variable of a
        parameter's name; and as `wrap_torch`.
    """
    if pm.Model.get_context(error_if_none=False) is None:
        raise ModelError("bayesian(...) was called outside a model; call it inside `with pm.Model():`.")
    check_prior(prior)
    module = unwrapped(module)
    call = wrap_torch(module)
    return call(x, prior.pymc(parameters(module)))


def _try_on_rows(call: ModuleCall, inputs: Sequence[Any]) -> None:
    """Try a module on a few real rows; on all of them, where it takes only as many as there are."""
    shapes = call.example[: len(inputs)]
    few = example_rows(inputs, shapes)
    try:
        try_module(call, few)
    except ModelError as error:
        every = example_rows(inputs, shapes, every=True)
        if all(len(a) == len(b) for a, b in zip(few, every, strict=True) if a.ndim):
            raise
        try:
            try_module(call, every)
        except ModelError:
            raise error from None


def check_module(module: torch.nn.Module, *inputs: torch.Tensor) -> torch.nn.Module:
    """Refuse what is not a module, or doesn't compute the same from the same weights; see `wrap_torch`.

    Parameters
    ----------
    module
        The module.
    inputs
        A few real rows for each argument of ``forward``. Where they are given, the module is run on them.

    Returns
    -------
    torch.nn.Module
        The module, out of what `torch.compile` and `torch.nn.DataParallel` put around it.

    Raises
    ------
    ModelError
        If it isn't a module, draws random numbers, keeps statistics, has a parameter without a shape, or fails on the
        inputs; the message names the line of the module.
    """
    module = unwrapped(module)
    refuse_by_kind(module)
    if inputs:
        names = [name for name, p in module.named_parameters() if p.requires_grad]
        try_module(ModuleCall.of(private_copy(module), names, ()), inputs)
    return module


def _dtypes_to_try(inputs: Sequence[Any], module: torch.nn.Module) -> Iterator[list[str]]:
    """List dtypes for the inputs: their own, then others of those that are whole numbers or truth values."""
    own = [v.type.dtype for v in inputs]
    floating = str(ModuleCall.of(module, (), ()).dtype).removeprefix("torch.")
    others = [
        [dtype] if is_float(v) else list(dict.fromkeys((dtype, "int64", floating)))
        for v, dtype in zip(inputs, own, strict=True)
    ]
    yield from map(list, itertools.product(*others))


def _with_shape(name: str, value: Any, shape: Sequence[int]) -> Any:
    """Check a weight's shape as far as it is static, and make PyTensor know the rest."""
    variable = pt.as_tensor_variable(value)
    static = variable.type.shape
    if len(static) != len(shape) or any(n is not None and n != m for n, m in zip(static, shape, strict=True)):
        raise ModelError(f"the weight {name!r} has shape {static}; the module's parameter has {tuple(shape)}.")
    return variable if static == tuple(shape) else specify_shape(variable, tuple(shape))
