"""The parameters of a torch module, with all that a prior has to know of each.

Explained in the chapter `book/mnist/dense`, section "A torch network inside a PyMC model".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from companion.errors import ModelError

__all__ = ["Parameter", "checked", "layers", "of_layer", "parameters"]


@dataclass(frozen=True, eq=False)
class Parameter:
    r"""One named parameter of a torch module.

    Attributes
    ----------
    name
        Name of the parameter in ``module.named_parameters()``, for example ``"0.weight"``.
    shape
        Shape of the parameter.
    fan_in
        Number of inputs that feed one unit, the product of ``weight.shape[1:]``. A bias has the fan-in of its layer's
        weight; a parameter without either has 1.
    layer
        Name of the submodule that holds the parameter, for example ``"0"``; ``""`` for the module itself.
    start
        Value of the parameter in the module, (\*shape), at which inference starts; ``None`` leaves the start to PyMC.
    """

    name: str
    shape: tuple[int, ...]
    fan_in: int
    layer: str
    start: np.ndarray | None


def parameters(module: torch.nn.Module) -> tuple[Parameter, ...]:
    """List the parameters of a module that a prior belongs on.

    Parameters
    ----------
    module
        Module whose parameters with ``requires_grad=True`` are listed, in the module's own order. A parameter that
        several submodules share is listed once, under its first name.

    Returns
    -------
    tuple of Parameter
        Parameters whose starting values are float64 copies that can't be written. A module on the device ``"meta"`` has
        no starting values.

    Raises
    ------
    ModelError
        If `module` isn't a ``torch.nn.Module``, has no parameter to train, or has one without a shape yet.
    """
    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"module is a {type(module).__name__}; expected a torch.nn.Module, such as torch.nn.Linear(784, 10)."
        )
    described = tuple(
        _describe(module, name, value) for name, value in module.named_parameters() if value.requires_grad
    )
    if not described:
        raise ModelError(
            f"the {type(module).__name__} has no parameter with requires_grad=True; expected one at least. "
            "Call module.requires_grad_(True) on what was frozen."
        )
    return described


def checked(
    parameters: Sequence[Parameter],
    hyperparameters: Sequence[str] = (),
    *,
    suffix: str = "",
    common: Sequence[str] = (),
) -> Sequence[Parameter]:
    """Refuse anything but a list of parameters, and parameters with names that a prior needs for itself.

    Parameters
    ----------
    parameters
        Parameters that the function `parameters` listed, or some of them.
    hyperparameters
        Names of the variables that the prior adds to each layer, for example ``("scale",)``.
    suffix
        Ending by which the prior names one more variable for each parameter, for example ``"_scale"``.
    common
        Names of variables that the prior adds once, for all parameters.

    Returns
    -------
    sequence of Parameter
        The same parameters.

    Raises
    ------
    ModelError
        If `parameters` is something else or empty, or two variables of the model would have one name.
    """
    if not isinstance(parameters, Sequence) or not all(isinstance(p, Parameter) for p in parameters):
        raise ModelError(
            f"parameters is a {type(parameters).__name__}; expected a sequence of Parameter. "
            "Use companion.priors.parameters(module)."
        )
    if not parameters:
        raise ModelError("no parameters; expected one at least. Use companion.priors.parameters(module).")
    names = [p.name for p in parameters]
    added = [of_layer(layer, name) for layer in dict.fromkeys(p.layer for p in parameters) for name in hyperparameters]
    added += [f"{name}{suffix}" for name in names if suffix] + list(common)
    twice = sorted({name for name in names + added if (names + added).count(name) > 1})
    if twice:
        raise ModelError(
            f"two variables of the model would be named {twice[0]!r}; expected a name for each. "
            f"The prior itself names {added or 'nothing'}: rename the module's parameter."
        )
    return parameters


def layers(parameters: Sequence[Parameter]) -> dict[str, list[Parameter]]:
    """Group parameters by the layer that holds them, in the order in which they are listed."""
    groups: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(parameter.layer, []).append(parameter)
    return groups


def of_layer(layer: str, name: str) -> str:
    """Return the full name of a layer's variable: ``"0.scale"``, or ``"scale"`` for the module itself."""
    return f"{layer}.{name}" if layer else name


def _describe(module: torch.nn.Module, name: str, value: torch.nn.Parameter) -> Parameter:
    """Collect all that a prior has to know of one parameter."""
    if isinstance(value, torch.nn.parameter.UninitializedParameter):
        raise ModelError(
            f"parameter {name!r} has no shape yet; expected a module that has seen data. "
            "Call the lazy module once on a row of inputs."
        )
    layer, _, kind = name.rpartition(".")
    weight = getattr(module.get_submodule(layer), "weight", None) if kind == "bias" else value
    fan_in = math.prod(weight.shape[1:]) if isinstance(weight, torch.Tensor) else 1
    return Parameter(name, tuple(value.shape), fan_in, layer, _start(value))


def _start(value: torch.Tensor) -> np.ndarray | None:
    """Copy a parameter's value, if it has one."""
    if value.is_meta:
        return None
    start = np.array(value.detach().cpu().double().numpy())
    start.setflags(write=False)
    return start
