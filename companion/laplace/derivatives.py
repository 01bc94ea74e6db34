"""Products with Jacobians and Hessians, many at a time, by plain autograd.

It knows more modules than `torch.func` does.
Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import torch

__all__ = ["gradient", "jacobian", "products"]

_AT_ONCE = 64


def gradient(value: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    """Differentiate a scalar, so that the result can be differentiated again; zeros where it doesn't depend on it."""
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    [found] = torch.autograd.grad(value, [leaf], create_graph=True, allow_unused=True, materialize_grads=True)
    return found


def products(outputs: torch.Tensor, leaf: torch.Tensor, vectors: torch.Tensor, *, again: bool = False) -> torch.Tensor:
    """Multiply vectors with a Jacobian from the left.

    Parameters
    ----------
    outputs
        What is differentiated, (outputs,).
    leaf
        What it is differentiated by, (size,).
    vectors
        One vector per product, (products, outputs).
    again
        Whether the products can be differentiated once more.

    Returns
    -------
    torch.Tensor
        The products, (products, size).
    """
    if not outputs.requires_grad:
        return torch.zeros(len(vectors), len(leaf), dtype=leaf.dtype, device=leaf.device)

    def pull(cotangent: torch.Tensor, batched: bool) -> torch.Tensor:
        found: tuple[torch.Tensor | None, ...] = torch.autograd.grad(
            outputs, [leaf], cotangent, retain_graph=True, create_graph=again, allow_unused=True,
            is_grads_batched=batched,
        )  # fmt: skip
        if found[0] is None:  # outputs that don't depend on it at all
            return leaf.new_zeros(*cotangent.shape[:-1], len(leaf))
        return found[0]

    parts = []
    for some in vectors.split(_AT_ONCE):
        try:
            parts.append(pull(some, True))
        except (RuntimeError, NotImplementedError):  # a backward pass that can't be vectorised
            parts.append(torch.stack([pull(one, False) for one in some]))
    return torch.cat(parts)


def jacobian(outputs: torch.Tensor, leaf: torch.Tensor, *, again: bool = False) -> torch.Tensor:
    """Compute a whole Jacobian (outputs, size), by its rows or, where they are fewer, by its columns.

    A column is a product from the right: the derivative of the product from the left, which is linear in its vector.
    """
    if len(outputs) <= len(leaf) or not outputs.requires_grad:
        return products(outputs, leaf, torch.eye(len(outputs), dtype=leaf.dtype, device=leaf.device), again=again)
    vector = torch.zeros_like(outputs, requires_grad=True)
    [pulled] = torch.autograd.grad(
        outputs, [leaf], vector, create_graph=True, allow_unused=True, materialize_grads=True
    )
    return products(pulled, vector, torch.eye(len(leaf), dtype=leaf.dtype, device=leaf.device), again=again).mT
