"""Simplifies a traced graph, which a small model repeats thousands of times and pays for node by node.

A graph of some hundred operations on small tensors costs what calling them costs. Tracing a differentiated and
vectorised function leaves many that compute nothing: constants made anew at each call, copies of the same expression,
products with one, views of the same shape, and what nobody uses. Explained in `book/reference/how_a_fit_works`, section
"Lowering".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.passes.shape_prop import TensorMetadata
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["largest", "simplify"]

_aten = torch.ops.aten

# Ops whose result depends on the shape of what they are given, and not on its values.
_SHAPED = frozenset({_aten.ones_like.default, _aten.zeros_like.default, _aten.full_like.default})
# Ops that give the same numbers in the same order if the shape stays as it is.
_VIEWS = frozenset({_aten.view.default, _aten._unsafe_view.default, _aten.expand.default, _aten.reshape.default})
_ALIASES = _VIEWS | {
    _aten.permute.default,
    _aten.transpose.int,
    _aten.unsqueeze.default,
    _aten.squeeze.dims,
    _aten.squeeze.dim,
    _aten.select.int,
    _aten.slice.Tensor,
    _aten.detach.default,
    _aten.split_with_sizes.default,
    operator.getitem,
}
_ADDING = frozenset({_aten.add.Tensor, _aten.sub.Tensor, _aten.add.Scalar, _aten.sub.Scalar})
_SCALING = frozenset({_aten.mul.Tensor, _aten.div.Tensor, _aten.mul.Scalar, _aten.div.Scalar, _aten.pow.Tensor_Scalar})
_UNDONE_BY_THEMSELVES = frozenset({_aten.neg.default, _aten.t.default})
_BOTH_WAYS = frozenset({_aten.add.Tensor, _aten.mul.Tensor})  # the neutral number may stand first

# The same operations by a shorter way. Each takes what the operation takes, in the same order.
_BINDINGS: dict[Any, Callable[..., Any]] = {
    _aten.add.Tensor: torch.add,
    _aten.bmm.default: torch.bmm,
    _aten.div.Tensor: torch.div,
    _aten.exp.default: torch.exp,
    _aten.expand.default: torch.Tensor.expand,
    _aten.log.default: torch.log,
    _aten.mm.default: torch.mm,
    _aten.mul.Scalar: torch.mul,
    _aten.mul.Tensor: torch.mul,
    _aten.neg.default: torch.neg,
    _aten.pow.Tensor_Scalar: torch.pow,
    _aten.sub.Tensor: torch.sub,
    _aten.sum.dim_IntList: torch.sum,
    _aten.tanh.default: torch.tanh,
    _aten.transpose.int: torch.transpose,
    _aten.unsqueeze.default: torch.unsqueeze,
    _aten.view.default: torch.Tensor.view,
    _aten.where.self: torch.where,
}

_LARGEST = 2**16  # numbers in a constant that is worth keeping


def simplify(module: GraphModule) -> GraphModule:
    """Remove from a traced graph what its result doesn't need, and compute constants once.

    The result stays the same, and so does the order of random numbers. A graph that writes into its tensors is left as
    it is.

    Parameters
    ----------
    module
        Graph of torch's own operations, as `torch.fx.experimental.proxy_tensor.make_fx` traces it for given shapes.

    Returns
    -------
    torch.fx.GraphModule
        The same module, with fewer operations.
    """
    graph = module.graph
    if any(_writes(node) for node in graph.nodes):
        return module
    while any([_fold(module), _without_neutral(module), _without_copies(module)]):
        pass
    graph.eliminate_dead_code()
    _own_outputs(module)
    _with_bindings(module)
    module.recompile()
    return module


def largest(function: Any) -> int:
    """Count the elements of the largest tensor that a traced graph computes or is given."""
    metas = (node.meta.get("tensor_meta") for node in function.graph.nodes)
    return max((m.shape.numel() for m in metas if isinstance(m, TensorMetadata)), default=0)


def _overload(node: Node) -> torch._ops.OpOverload | None:
    return node.target if isinstance(node.target, torch._ops.OpOverload) else None


def _writes(node: Node) -> bool:
    overload = _overload(node)
    return overload is not None and overload._schema.is_mutable


def _random(node: Node) -> bool:
    overload = _overload(node)
    return overload is not None and torch.Tag.nondeterministic_seeded in overload.tags


def _pure(module: GraphModule) -> Iterator[Node]:
    """Go through the operations whose result follows from what they are given."""
    for node in list(module.graph.nodes):
        known = _overload(node) is not None or node.target is operator.getitem
        if node.op == "call_function" and known and not _random(node):
            yield node


def _replace(node: Node, by: Node) -> bool:
    node.replace_all_uses_with(by)
    node.graph.erase_node(node)
    return True


# --- constants ------------------------------------------------------------------------------------------


def _constant(module: GraphModule, node: Any) -> torch.Tensor | None:
    """Give the tensor that a node reads from the module."""
    if not isinstance(node, Node) or node.op != "get_attr":
        return None
    found = getattr(module, str(node.target))
    return found if isinstance(found, torch.Tensor) else None


def _fold(module: GraphModule) -> bool:
    """Compute what depends on constants alone."""
    changed = False
    for node in _pure(module):
        shape_alone = node.target in _SHAPED
        if not shape_alone and any(_constant(module, given) is None for given in node.all_input_nodes):
            continue
        meta = node.meta.get("tensor_meta")
        if not isinstance(meta, TensorMetadata) or meta.shape.numel() > _LARGEST:
            continue

        def value(given: Any) -> Any:
            if not isinstance(given, Node):
                return given
            own = given.meta["tensor_meta"] if shape_alone else None  # noqa: B023
            if own is None:
                return _constant(module, given)
            return torch.empty(own.shape, dtype=own.dtype, device=node.meta["val"].device)  # noqa: B023

        with torch.no_grad():
            found = node.target(*tree_map(value, node.args), **tree_map(value, node.kwargs))  # type: ignore[operator]
        name = f"_folded_{len(module._buffers)}"
        module.register_buffer(name, found, persistent=False)
        with node.graph.inserting_before(node):
            constant = node.graph.get_attr(name)
        constant.meta = dict(node.meta)
        changed |= _replace(node, constant)
    return changed


# --- operations that change nothing ---------------------------------------------------------------------


def _without_neutral(module: GraphModule) -> bool:
    """Remove views of the same shape, sums with zero, products with one, first powers and what undoes itself."""
    changed = False
    for node in _pure(module):
        same = _unchanged(module, node)
        if same is not None and _alike(same, node):
            changed |= _replace(node, same)
    return changed


def _unchanged(module: GraphModule, node: Node) -> Node | None:
    """Give the argument that a node hands on as it is, if shape and dtype stay, too."""
    first, *rest = node.args or (None,)
    if node.target in _VIEWS:
        return first if isinstance(first, Node) else None
    if node.target in _UNDONE_BY_THEMSELVES and isinstance(first, Node) and first.target is node.target:
        return first.args[0] if isinstance(first.args[0], Node) else None
    if node.target is _aten.permute.default:
        order: Any = rest[0]
        return first if isinstance(first, Node) and list(order) == sorted(order) else None
    neutral = 0 if node.target in _ADDING else 1 if node.target in _SCALING else None
    if neutral is None or not rest or node.kwargs:
        return None
    if _is_all(module, rest[0], neutral):
        return first if isinstance(first, Node) else None
    if node.target in _BOTH_WAYS and _is_all(module, first, neutral):
        return rest[0] if isinstance(rest[0], Node) else None
    return None


def _is_all(module: GraphModule, given: Any, number: int) -> bool:
    """Say whether an argument is a number, or a constant that holds nothing else."""
    if isinstance(given, int | float):
        return given == number
    constant = _constant(module, given)
    return constant is not None and constant.device.type == "cpu" and bool((constant == number).all())


def _alike(first: Node, second: Node) -> bool:
    metas = [node.meta.get("tensor_meta") for node in (first, second)]
    kinds = [(m.shape, m.dtype) if hasattr(m, "shape") else None for m in metas]  # type: ignore[union-attr]
    return kinds[0] is not None and kinds[0] == kinds[1]


def _without_copies(module: GraphModule) -> bool:
    """Compute equal expressions once."""
    seen: dict[Hashable, Node] = {}
    changed = False
    for node in _pure(module):
        key = _key(node)
        if key is None:
            continue
        earlier = seen.setdefault(key, node)
        if earlier is not node:
            changed |= _replace(node, earlier)
    return changed


def _key(node: Node) -> Hashable:
    """Name an expression: the operation with all that it is given, numbers told from each other by their type, too."""
    flat, shape = tree_flatten((node.args, node.kwargs))
    key = (node.target, str(shape), *((type(given), given) for given in flat))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _own_outputs(module: GraphModule) -> None:
    """Copy what would be handed out as a part of an input, a constant or another output: the taker may write there."""
    output = next(node for node in module.graph.nodes if node.op == "output")
    seen: set[Node] = set()

    def own(node: Node) -> Node:
        source = node
        while source.target in _ALIASES and isinstance(source.args[0], Node):
            source = source.args[0]
        if source.op == "call_function" and source not in seen:
            seen.add(source)
            return node
        with module.graph.inserting_before(output):
            return module.graph.call_function(_aten.clone.default, (node,))

    output.args = torch.fx.node.map_arg(output.args, own)


def _with_bindings(module: GraphModule) -> None:
    """Call operations by torch's own Python functions, whose arguments are read in half the time."""
    for node in _pure(module):
        function = _BINDINGS.get(node.target)
        if function is not None and not node.kwargs:
            node.target = function
