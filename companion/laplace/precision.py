r"""The precision matrix of a Laplace approximation: curvature of the likelihood plus curvature of the prior, in blocks.

.. math::

    \Lambda = -\nabla^2 \log p(\mathcal{D} \mid z) - \nabla^2 \log p(z) \quad \text{at the mode } z^*

Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from companion.errors import InferenceError, ModelError
from companion.laplace.blocks import Block, BlockKind, NormalBlocks
from companion.laplace.layers import factors
from companion.laplace.options import Curvature, Structure
from companion.laplace.target import MOST_VALUES, Target, check_size
from companion.variational import Parameters

__all__ = ["Likelihood", "likelihood_of", "log_determinants", "parameters_of", "whole_precision"]


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The curvature of the likelihood in blocks: what depends on the data.

    Attributes
    ----------
    blocks
        The blocks.
    parts
        Matrix (n, n) of each, its diagonal (n,), or the two factors of a Kronecker product, gradients first.
    """

    blocks: tuple[Block, ...]
    parts: tuple[tuple[torch.Tensor, ...], ...]


def likelihood_of(target: Target, flat: torch.Tensor, structure: Structure, curvature: Curvature) -> Likelihood:
    """Compute the curvature of the likelihood in blocks, over all rows.

    Raises
    ------
    ModelError
        If the structure doesn't fit the model, or a whole block is too large.
    """
    names = target.free
    if structure == Structure.FULL:
        matrix = target.likelihood_curvature(flat, curvature)
        return Likelihood((Block(BlockKind.FULL, names),), ((matrix.detach(),),))
    if structure == Structure.DIAGONAL:
        return Likelihood((Block(BlockKind.DIAGONAL, names),), ((_diagonal(target, flat, curvature),),))
    if curvature == Curvature.HESSIAN:
        raise ModelError(
            "structure='kronecker' with curvature='hessian': Kronecker factors are those of the Gauss-Newton matrix. "
            "Use curvature='ggn', or structure='full'."
        )
    found = factors(target, flat, diagonal=False)
    if not found:
        raise ModelError(
            "structure='kronecker' found no linear or convolution layer whose weights vary and are used once, on "
            "inputs with the rows of the data first. Use structure='full' or 'diagonal'."
        )
    blocks = [Block(BlockKind.KRONECKER, f.layer.names, f.layer.transposed) for f in found]
    parts: list[tuple[torch.Tensor, ...]] = [(f.gradients, f.inputs) for f in found]
    rest = tuple(name for name in names if not any(name in block.names for block in blocks))
    if rest:
        own = target.only(rest, flat)
        check_size(own.layout.size, f"the values {list(rest)}, which belong to no layer,")
        blocks.append(Block(BlockKind.FULL, rest))
        parts.append((own.likelihood_curvature(own.start, curvature).detach(),))
    return Likelihood(tuple(blocks), tuple(parts))


def _diagonal(target: Target, flat: torch.Tensor, curvature: Curvature) -> torch.Tensor:
    """Compute the diagonal: layer by layer where there are too many values for a whole block."""
    if target.layout.size <= MOST_VALUES:
        return target.likelihood_curvature(flat, curvature).detach().diagonal().clone()
    if curvature == Curvature.HESSIAN:
        raise ModelError(
            f"the diagonal of the Hessian of {target.layout.size:,} values takes as many products with it; at most "
            f"{MOST_VALUES:,} are sensible. Use curvature='ggn'."
        )
    found = target.layout.split(torch.zeros_like(flat))
    done: set[str] = set()
    for own in factors(target, flat, diagonal=True):
        block = Block(BlockKind.KRONECKER, own.layer.names, own.layer.transposed)
        family = NormalBlocks(target.layout, (block,))
        found |= family.apart(block, own.diagonal)
        done |= set(block.names)
    if rest := [name for name in target.free if name not in done]:
        others = target.only(rest, flat)
        check_size(others.layout.size, f"the values {rest}, which belong to no layer,")
        diagonal = others.likelihood_curvature(others.start, curvature).detach().diagonal()
        found |= others.layout.split(diagonal)
    return torch.cat([found[name].reshape(-1) for name in target.layout.names])


# --- with the prior ---------------------------------------------------------------------------------------


def parameters_of(target: Target, flat: torch.Tensor, likelihood: Likelihood) -> tuple[NormalBlocks, Parameters]:
    """Add the prior's curvature, and make the normal distribution of it.

    Returns
    -------
    NormalBlocks, dict
        The family over all values, and its parameters around the mode.

    Raises
    ------
    InferenceError
        If the curvature isn't positive: then this isn't a mode.
    ModelError
        If the prior's curvature doesn't fit the blocks.
    """
    family = NormalBlocks(target.objective.layout, likelihood.blocks)
    found: Parameters = {"mean": target.whole(flat).detach()}
    for i, (block, parts, prior) in enumerate(_with_prior(target, flat, likelihood, again=False)):
        if block.kind is BlockKind.FULL:
            found[f"{i}.root"] = _root(parts[0] + prior, target, block)
        elif block.kind is BlockKind.DIAGONAL:
            precision = parts[0] + prior
            _check_positive(precision, target, block)
            found[f"{i}.scale"] = precision.rsqrt()
        else:
            found |= {f"{i}.{name}": part for name, part in _kronecker(parts, prior, block).items()}
    return family, found


def log_determinants(target: Target, flat: torch.Tensor, likelihood: Likelihood) -> torch.Tensor:
    """Compute the logarithm of the precision's determinant, which can be differentiated by what the prior reads."""
    total = torch.zeros_like(flat[:1]).sum()
    for block, parts, prior in _with_prior(target, flat, likelihood, again=True):
        if block.kind is BlockKind.FULL:
            total = total + torch.linalg.slogdet(parts[0] + prior)[1]
        elif block.kind is BlockKind.DIAGONAL:
            total = total + (parts[0] + prior).log().sum()
        else:
            outputs, inputs = _two_sides(prior, block)
            left = torch.linalg.eigvalsh(parts[0] / (outputs[:, None] * outputs).sqrt()).clamp_min(0.0)
            right = torch.linalg.eigvalsh(parts[1] / (inputs[:, None] * inputs).sqrt()).clamp_min(0.0)
            total = total + (1 + left[:, None] * right).log().sum() + prior.log().sum()
    return total


def whole_precision(target: Target, flat: torch.Tensor, curvature: Curvature) -> torch.Tensor:
    """Compute the whole precision matrix (free, free), so that it can be differentiated by everything it depends on."""
    return target.likelihood_curvature(flat, curvature, again=True) + target.prior_curvature(flat, again=True)


def _with_prior(
    target: Target, flat: torch.Tensor, likelihood: Likelihood, *, again: bool
) -> Sequence[tuple[Block, tuple[torch.Tensor, ...], torch.Tensor]]:
    """Put the prior's curvature beside each block: a matrix, a diagonal, or (outputs, inputs) of a layer."""
    family = NormalBlocks(target.layout, likelihood.blocks)
    layers = [b for b in likelihood.blocks if b.kind is BlockKind.KRONECKER]
    diagonal = None
    if layers or target.layout.size > MOST_VALUES:
        diagonal = target.prior_diagonal(flat, again=again)
    found = []
    for block, parts in zip(likelihood.blocks, likelihood.parts, strict=True):
        if block.kind is BlockKind.KRONECKER or (block.kind is BlockKind.DIAGONAL and diagonal is not None):
            assert diagonal is not None
            prior = family.together(block, diagonal)
        else:
            prior = _prior_block(target, flat, block, again)
            prior = prior.diagonal() if block.kind is BlockKind.DIAGONAL else prior
        found.append((block, parts, prior if again else prior.detach()))
    return found


def _prior_block(target: Target, flat: torch.Tensor, block: Block, again: bool) -> torch.Tensor:
    """Compute the prior's curvature in some of the values that vary, (n, n)."""
    whole = target.prior_curvature(flat, again=again) if block.names == target.free else None
    if whole is not None:
        return whole
    split = target.layout.split(flat)
    rest = Target(target.objective, target.batches, block.names, target.mode)
    own = torch.cat([split[name].reshape(-1) for name in block.names])
    return rest.prior_curvature(own, again=again)


def _root(precision: torch.Tensor, target: Target, block: Block) -> torch.Tensor:
    """Compute an upper triangular root of the inverse of a precision matrix."""
    lower, failed = torch.linalg.cholesky_ex(precision)
    if int(failed) or not bool(torch.isfinite(lower).all()):
        _no_mode(precision, target, block)
    eye = torch.eye(len(precision), dtype=precision.dtype, device=precision.device)
    return torch.linalg.solve_triangular(lower.mT, eye, upper=True)


def _no_mode(precision: torch.Tensor, target: Target, block: Block) -> None:
    """Say in which direction the log density bends upwards.

    Raises
    ------
    InferenceError
        Always.
    """
    layout = NormalBlocks(target.layout, (block,)).within(block)
    if not bool(torch.isfinite(precision).all()):
        raise InferenceError(
            "the curvature at this point isn't finite: the point isn't a mode. Look for one with more steps, or from "
            "another start."
        )
    values, vectors = torch.linalg.eigh(precision)
    worst = layout.name_at(int(vectors[:, 0].abs().argmax()))
    raise InferenceError(
        f"this point isn't a mode: the curvature is negative or zero in {int((values <= 0).sum())} of {len(values)} "
        f"directions, the smallest {float(values[0]):.3g}, mostly in {worst!r}. Expected a maximum of the log density. "
        "Use curvature='ggn', which is never negative, look for a mode with more steps or from another start, or leave "
        "learned scales out with scales='marginal'."
    )


def _check_positive(precision: torch.Tensor, target: Target, block: Block) -> None:
    """Refuse a diagonal with negative entries."""
    wrong = ~(precision > 0) | ~torch.isfinite(precision)
    if bool(wrong.any()):
        layout = NormalBlocks(target.layout, (block,)).within(block)
        names = sorted({layout.name_at(int(i)) for i in wrong.nonzero()[:, 0]})
        raise InferenceError(
            f"this point isn't a mode: the curvature is negative or zero in {int(wrong.sum())} of {len(precision)} "
            f"values, among {names}. Expected a maximum of the log density. Use curvature='ggn', look for a mode with "
            "more steps or from another start, or leave learned scales out with scales='marginal'."
        )


def _kronecker(parts: tuple[torch.Tensor, ...], prior: torch.Tensor, block: Block) -> Parameters:
    r"""Invert :math:`G \otimes A + D_G \otimes D_A`, whose diagonal matrices are the two sides of the prior.

    With :math:`D_G^{-1/2} G D_G^{-1/2} = U \Gamma U^\top` and the same of :math:`A` it is diagonal, :math:`1 + \gamma_o
    \alpha_i`, between :math:`D_G^{1/2} U \otimes D_A^{1/2} V` and its transpose.
    """
    sides = {}
    for name, matrix, own in zip(("left", "right"), parts, _two_sides(prior, block), strict=True):
        values, vectors = torch.linalg.eigh(matrix / (own[:, None] * own).sqrt())
        sides[name] = values.clamp_min(0.0), vectors * own.rsqrt()[:, None]
    (gradients, left), (inputs, right) = sides["left"], sides["right"]
    return {"left": left, "right": right, "scale": (1 + gradients[:, None] * inputs).rsqrt()}


def _two_sides(prior: torch.Tensor, block: Block) -> tuple[torch.Tensor, torch.Tensor]:
    """Write the prior's precisions of a layer, (outputs, inputs), as a product of one side's and the other side's.

    Raises
    ------
    ModelError
        If they aren't: a prior for each weight by itself, or one that isn't normal.
    """
    if bool((prior > 0).all()):
        logs = prior.log()
        rows, columns = logs.mean(dim=1), logs.mean(dim=0) - logs.mean()
        if bool(((rows[:, None] + columns - logs).abs() < 1e-6).all()):
            return rows.exp(), columns.exp()
    raise ModelError(
        f"the prior's curvature in {block.names[0]!r} differs from weight to weight; a Kronecker product expects a "
        "normal prior with one scale, or one for each input, for each output, or a product of those. Use "
        "structure='full' or 'diagonal'."
    )
