"""What a PyMC model reads from outside: `pymc.Data`, and the arrays that `pymc.Minibatch` draws from.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.data import MinibatchOp
from pymc.distributions.distribution import SymbolicRandomVariable
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.type import TensorType

from companion.compat import with_inner_graph_remade
from companion.errors import ModelError

__all__ = ["Sources", "behind_batch", "held", "remade"]

Graph = Any  # a pytensor.Variable, whose type parameters say nothing here


@dataclass(frozen=True, eq=False)
class Sources:
    """What a model reads from outside.

    Attributes
    ----------
    behind
        Name to the variable that holds all rows.
    inputs
        Name to the graphs' input that comes in place of it, or of its mini-batches, with any number of rows.
    batch
        Name to the rows of a mini-batch, for those that mini-batches are drawn from.
    """

    behind: dict[str, Graph]
    inputs: dict[str, Graph]
    batch: dict[str, int]

    @classmethod
    def of(cls, model: pm.Model) -> Sources:
        """Collect a model's sources; an array without a name is ``minibatch_0``, ``minibatch_1`` and so on.

        Raises
        ------
        ModelError
            If a mini-batch has one row.
        """
        behind: dict[str, Graph] = {v.name: v for v in model.data_vars}
        inputs = {name: _any_rows(v, name) for name, v in behind.items()}
        batch: dict[str, int] = {}
        named = [*model.basic_RVs, *model.deterministics, *model.potentials, *model.rvs_to_values.values()]
        nodes = {v.owner.inputs[-1]: v.owner for v in ancestors(named) if _is_batch(v)}  # copies share their generator
        for node in nodes.values():
            for whole, rows in zip(node.inputs[:-1], node.outputs[:-1], strict=True):
                name = next((name for name, v in behind.items() if v is whole), whole.name)
                if name is None or behind.get(name, whole) is not whole:
                    name = f"minibatch_{len(batch)}"
                behind[name], inputs[name], batch[name] = whole, _any_rows(rows, name), rows.type.shape[0]
        if 1 in batch.values():
            raise ModelError(
                "pm.Minibatch has batch_size=1, for which PyMC builds a graph that takes one row only; expected 2 or "
                "more. Or give the model all rows, with total_size, and a batch_size to the fit."
            )
        return cls(behind, inputs, batch)

    def arrays(self) -> dict[str, np.ndarray]:
        """Give all rows of every source, as the model holds them: not copies.

        Raises
        ------
        ModelError
            If mini-batches are drawn from something that is computed.
        """
        return {name: _array(name, source) for name, source in self.behind.items()}

    def replacements(self, outputs: Sequence[Graph]) -> dict[Graph, Graph]:
        """Find what the inputs come in place of in these graphs: PyMC copies mini-batches as it builds them."""
        names = {v: name for name, v in self.behind.items()}
        found = {}
        for variable in ancestors(outputs):
            batch = _is_batch(variable)
            name = names.get(_behind(variable) if batch else variable)
            if name is not None and batch == (name in self.batch):  # where rows are drawn, the whole isn't an input
                found[variable] = self.inputs[name]
        return found

    def close(self, outputs: Sequence[Graph], keep: Iterable[Graph]) -> list[Graph]:
        """Replace the sources by inputs, and other shared variables, such as dimensions' lengths, by constants.

        Parameters
        ----------
        keep
            Inputs to leave as they are.
        """
        inputs = self.replacements(outputs)
        kept = {*inputs, *keep}
        shared = [v for v in ancestors(outputs, blockers=kept) if isinstance(v, SharedVariable) and v not in kept]
        return _rebuilt(outputs, inputs | {v: pt.constant(v.get_value()) for v in shared if is_tensor(v)})

    def read_by(self, outputs: Sequence[Graph]) -> list[str]:
        """List the names of the sources that graphs read, be it through inputs or as the model has them."""
        reads = {*ancestors(outputs), *self.replacements(outputs).values()}
        return [name for name, v in self.inputs.items() if v in reads]


def behind_batch(variable: Graph) -> Graph:
    """Find what a mini-batch is drawn from; anything else is itself."""
    return _behind(variable) if _is_batch(variable) else variable


def held(variable: Graph) -> np.ndarray | None:
    """Give the data that a variable holds itself, not a copy; ``None`` where it is computed or an input."""
    if isinstance(variable, SharedVariable):
        return np.asarray(variable.get_value(borrow=True))  # `pymc.set_data` puts another array in its place
    return np.asarray(variable.data) if isinstance(variable, Constant) else None


def is_tensor(variable: Graph) -> bool:
    """Say whether a variable holds numbers, not a random generator."""
    return hasattr(variable.type, "numpy_dtype")


def remade(node: Graph, inputs: Sequence[Graph]) -> list[Graph]:
    """Apply a node's Op to other inputs, whose shapes may be less specific."""
    if (outputs := with_inner_graph_remade(node, inputs)) is not None:
        return outputs
    if isinstance(node.op, SymbolicRandomVariable):  # its density, and change_dist_size, read the inputs as they are
        return list(Apply(node.op, list(inputs), [out.type() for out in node.outputs]).outputs)
    if isinstance(node.op, MinibatchRandomVariable):  # PyMC makes a constant of None and takes none
        return [node.op(*(v if is_tensor(v) else None for v in inputs))]
    return list(node.clone_with_new_inputs(inputs, strict=False).outputs)


def _rebuilt(outputs: Sequence[Graph], replace: dict[Graph, Graph]) -> list[Graph]:
    """Build graphs anew on other variables."""
    new = dict(replace)
    for node in toposort(outputs, blockers=replace):
        inputs = [new.get(v, v) for v in node.inputs]
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
            continue
        for old, out in zip(node.outputs, remade(node, inputs), strict=True):
            out.name = old.name
            new[old] = out
    return [new.get(v, v) for v in outputs]


def _is_batch(variable: Graph) -> bool:
    return variable.owner is not None and isinstance(variable.owner.op, MinibatchOp) and is_tensor(variable)


def _behind(batch: Graph) -> Graph:
    """Find what a mini-batch is drawn from."""
    return batch.owner.inputs[batch.owner.outputs.index(batch)]


def _any_rows(variable: Graph, name: str) -> Graph:
    """Make an input of a variable's type but with any number of rows, as another batch has; one row broadcasts."""
    shape = variable.type.shape
    return TensorType(variable.type.dtype, [n if i or n == 1 else None for i, n in enumerate(shape)])(name=name)


def _array(name: str, source: Graph) -> np.ndarray:
    if (found := held(source)) is None:
        raise ModelError(
            f"the mini-batch {name!r} is drawn from {source}, which is computed; give pm.Minibatch arrays or pm.Data."
        )
    return found
