"""Torch's counterparts of PyTensor's Ops, where PyTensor's own are missing or can't be vectorised or differentiated.

Explained in `book/reference/how_a_fit_works`, section "Lowering".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from pytensor import scalar as ps
from pytensor.tensor.elemwise import DimShuffle
from torch.nn import functional

from companion.bridge import special

__all__ = [
    "ELEMENTWISE",
    "LINEAR_ALGEBRA",
    "backwards",
    "dimshuffle",
    "log_erfc",
]

Torch = Callable[..., Any]

# Where softplus is x to the last bit, and short of where its exponential overflows; torch's default of 20 isn't exact.
_LINEAR_FROM = {torch.float64: 700.0}
_LINEAR_FROM_IN_FLOAT32 = 80.0


def _softplus(x: torch.Tensor) -> torch.Tensor:
    return functional.softplus(x, threshold=_LINEAR_FROM.get(x.dtype, _LINEAR_FROM_IN_FLOAT32))


def _log1mexp(x: torch.Tensor) -> torch.Tensor:
    """Compute log(1 - exp(x)), with a gradient that is finite: neither branch sees where it isn't at home."""
    small = x < -math.log(2)
    return torch.where(
        small,
        torch.log1p(-torch.exp(torch.where(small, x, -1.0))),
        torch.log(-torch.expm1(torch.where(small, -1.0, x))),
    )


class _LogErfc(ps.UnaryScalarOp):
    """The logarithm of the complementary error function, which torch computes where the function itself is 0."""

    def c_code(self, *arguments: Any) -> str:
        """Refuse: it stands only in graphs that become torch functions."""
        raise NotImplementedError


_new_scalar_op: Callable[..., Any] = _LogErfc
log_erfc = _new_scalar_op(ps.upgrade_to_float_no_complex)


def _log_erfc(x: torch.Tensor) -> torch.Tensor:
    return torch.special.log_ndtr(-math.sqrt(2) * x) + math.log(2)


def _positive_definite(a: torch.Tensor) -> torch.Tensor:
    """Say whether a symmetric matrix is positive definite."""
    return torch.linalg.cholesky_ex(a).info == 0


def _cholesky(a: torch.Tensor, lower: bool) -> torch.Tensor:
    """Factorise a matrix, and give NaN where it isn't positive definite, as PyTensor does."""
    found = torch.linalg.cholesky_ex(a, upper=not lower)
    return torch.where((found.info == 0)[..., None, None], found.L, torch.nan)


def _filled_diagonal(a: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Put a number into the diagonal of a matrix."""
    return torch.where(torch.eye(*a.shape[-2:], dtype=torch.bool, device=a.device), value, a)


def backwards(x: torch.Tensor, indices: Sequence[Any]) -> torch.Tensor:
    """Index a tensor with whole numbers and slices, some of which go backwards, which torch's own can't."""
    forwards, flipped, dim = [], [], 0
    for size, index in zip(x.shape, indices, strict=False):
        at = index
        if isinstance(index, slice):
            places = range(size)[index]
            if places.step < 0:
                at = slice(places[-1], places[0] + 1, -places.step) if places else slice(0, 0)
                flipped.append(dim)
            dim += 1
        forwards.append(at)
    return x[tuple(forwards)].flip(flipped)


# Elementwise Ops whose own conversion is missing, loops over elements, or branches on a tensor's value.
ELEMENTWISE: dict[type, Torch] = {
    ps.Switch: lambda c, a, b: torch.where(torch.as_tensor(c).bool(), a, b),
    ps.Clip: lambda x, low, high: torch.minimum(torch.maximum(x, low), high),
    ps.EQ: torch.eq,  # PyTensor takes torch.equal, which compares whole tensors
    ps.NEQ: torch.ne,
    ps.Identity: lambda x: x,
    ps.Second: lambda a, b: torch.broadcast_tensors(a, b)[1],
    ps.Mod: torch.remainder,
    ps.Pow: torch.pow,
    ps.Reciprocal: torch.reciprocal,
    ps.Sqr: torch.square,
    ps.Add: lambda *xs: sum(xs[1:], start=xs[0]),
    ps.Mul: lambda *xs: _product(xs),
    ps.AND: torch.logical_and,
    ps.OR: torch.logical_or,
    ps.XOR: torch.logical_xor,
    ps.math.Sigmoid: torch.sigmoid,
    ps.math.Softplus: _softplus,
    ps.math.GammaLn: torch.lgamma,
    ps.math.Gamma: special.gamma,
    ps.math.Psi: torch.digamma,
    ps.math.TriGamma: lambda x: torch.polygamma(1, x),
    ps.math.PolyGamma: special.polygamma,
    ps.math.BetaInc: special.beta_inc,
    ps.math.GammaInc: special.gamma_inc,
    ps.math.GammaIncC: special.gamma_inc_c,
    ps.math.Erf: torch.erf,
    ps.math.Erfc: torch.erfc,
    _LogErfc: _log_erfc,
    ps.math.Log1mexp: _log1mexp,
}

# Linear algebra that PyTensor's PYTORCH mode lacks, by the name of the Op's class.
LINEAR_ALGEBRA: dict[str, Callable[[Any], Torch]] = {
    "Solve": lambda op: lambda a, b: _by_columns(torch.linalg.solve, op, a, b),
    "FillDiagonal": lambda op: _filled_diagonal,
    "MatrixIsPositiveDefinite": lambda op: _positive_definite,
    "PosDefMatrix": lambda op: _positive_definite,
    "Cholesky": lambda op: partial(_cholesky, lower=op.lower),
    "SolveTriangular": lambda op: (
        lambda a, b: _by_columns(
            partial(torch.linalg.solve_triangular, upper=not op.lower, unitriangular=op.unit_diagonal), op, a, b
        )
    ),
}


def _product(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    product = tensors[0]
    for tensor in tensors[1:]:
        product = product * tensor
    return product


def _by_columns(solve: Torch, op: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Solve for a vector as for a matrix of one column; without the dimension, vmap couldn't tell the two apart."""
    x: torch.Tensor = solve(a, b.unsqueeze(-1) if op.b_ndim == 1 else b)
    return x.squeeze(-1) if op.b_ndim == 1 else x


def dimshuffle(x: torch.Tensor, op: DimShuffle) -> torch.Tensor:
    """Permute, drop and add dimensions without a reshape, which would copy under `torch.vmap`."""
    x = x.squeeze(op.drop) if op.drop else x
    x = x.permute(list(op.shuffle)) if not op.drop else x.permute(_ranks(op.shuffle))
    for at in op.augment:
        x = x.unsqueeze(at)
    return x


def _ranks(shuffle: Sequence[int]) -> list[int]:
    """Renumber the kept dimensions after others were dropped."""
    order = sorted(shuffle)
    return [order.index(i) for i in shuffle]
