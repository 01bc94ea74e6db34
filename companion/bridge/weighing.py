"""Observations that count more than once, or less: a weight per row on the log density of what was observed.

Explained in the book's data page (`book/reference/data`), section "Weights".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.abstract import MeasurableOp, _logprob
from pymc.logprob.basic import logp
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from companion.bridge.sources import behind_batch
from companion.errors import ModelError

__all__ = ["Weighted", "observe_weighted", "row_weights", "without_weights"]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here


class Weighted(MeasurableOp, Op):  # type: ignore[misc]
    """A random variable whose log density is multiplied by a weight per row; its draws are those of the variable."""

    __props__ = ()

    def __init__(self) -> None:
        self.view_map = {0: [0]}

    def make_node(self, *inputs: Graph) -> Apply[Any]:
        """Put weights (rows,), the second input, around a variable (rows, ...), the first one."""
        rv, weights = (pt.as_tensor_variable(v) for v in inputs)
        return Apply(self, [rv, weights], [rv.type()])

    def infer_shape(self, _fgraph: Any, _node: Apply[Any], shapes: list[Any]) -> list[Any]:
        """Return the shape of the variable."""
        return [shapes[0]]

    def perform(self, _node: Apply[Any], inputs: Sequence[np.ndarray], output_storage: list[list[Any]]) -> None:
        """Return the variable itself."""
        output_storage[0][0] = inputs[0]


@_logprob.register(Weighted)  # type: ignore[untyped-decorator]
def _weighted_log_density(_op: Weighted, values: Any, *inputs: Graph, **settings: Any) -> Graph:
    [value] = values
    rv, weights = inputs
    terms = logp(rv, value, **settings)
    return terms * weights[(..., *[None] * (terms.type.ndim - 1))]


def observe_weighted(name: str, distribution: Graph, weights: Graph, observed: Any, **settings: Any) -> Graph:
    r"""Observe a variable of the model whose context this runs in, with a weight for each row.

    .. math::

        \log p_w(y \mid \theta) = \sum_i w_i \log p(y_i \mid \theta)

    A weight of 2 says the same as the row twice, and a weight of 0 the same as no row. Fits on mini-batches take the
    weights of the rows that they draw.

    Parameters
    ----------
    name
        Name of the variable.
    distribution
        Its distribution, such as ``pm.Normal.dist(mean, sigma)``, of shape (rows, ...).
    weights
        Weights (rows,), from 0: an array, which becomes data of the model under the variable's name and "_weights", a
        ``pm.Data``, or a variable of a ``pm.Minibatch``.
    observed
        What was observed, (rows, ...).
    settings
        What else ``pymc.Model.register_rv`` takes, such as ``total_size`` and ``dims``.

    Returns
    -------
    TensorVariable
        The observed variable.

    Raises
    ------
    ModelError
        If the weights are not one number for each row, or are computed from something else.
    """
    model = pm.modelcontext(None)
    given = weights
    if not isinstance(given, Variable):
        weights = pm.Data(f"{name}_weights", np.asarray(given, dtype=float))
    elif behind_batch(given) is given and given not in model.data_vars:
        raise ModelError(
            f"the weights of {name!r} are computed from something else; expected an array, a pm.Data of the model, or "
            "one of the variables that pm.Minibatch gives."
        )
    if weights.type.ndim != 1 or distribution.type.ndim < 1:
        raise ModelError(
            f"the weights have {weights.type.ndim} axes and {name!r} has {distribution.type.ndim}; expected one weight "
            "for each row, (rows,), of a variable with rows."
        )
    return model.register_rv(Weighted()(distribution, weights), name, observed=observed, **settings)


def without_weights(rv: Graph) -> Graph:
    """Take off what scales the log density of an observed variable: weights per row, and a ``total_size``."""
    while rv.owner is not None and isinstance(rv.owner.op, MinibatchRandomVariable | Weighted):
        rv = rv.owner.inputs[0]
    return rv


def row_weights(rv: Graph) -> Graph | None:
    """Find the weights (rows,) of an observed variable, or None where it has none."""
    while rv.owner is not None and isinstance(rv.owner.op, MinibatchRandomVariable | Weighted):
        if isinstance(rv.owner.op, Weighted):
            return rv.owner.inputs[1]
        rv = rv.owner.inputs[0]
    return None
