r"""Normal distributions whose covariance is made of blocks: whole, Kronecker products, diagonal, or zero.

Each block is stored by a root :math:`R` of its covariance, :math:`\Sigma = R R^\top`, so that a draw is
:math:`\mu + R \varepsilon`. Explained in `book/reference/how_a_fit_works`, section "Laplace".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import torch

from companion.variational import Layout, Parameters

__all__ = ["Block", "BlockKind", "NormalBlocks"]


class BlockKind(StrEnum):
    """What a block's root is made of."""

    FULL = "full"
    """An upper triangular matrix."""

    KRONECKER = "kronecker"
    """Two matrices around independent scales: a draw is ``left @ (scale * noise) @ right.T``."""

    DIAGONAL = "diagonal"
    """Standard deviations."""


@dataclass(frozen=True)
class Block:
    """Some values that depend on each other.

    Attributes
    ----------
    kind
        What its root is made of.
    names
        Names of the values; of a layer's weight and bias, for a Kronecker product.
    transposed
        Whether that weight is (inputs, outputs).
    """

    kind: BlockKind
    names: tuple[str, ...]
    transposed: bool = False


@dataclass(frozen=True)
class NormalBlocks:
    """A normal distribution with independent blocks; values that are in none of them are certain.

    It has the parts of `companion.variational.Family`. Its parameters are ``mean`` (size,) and, for block 0, ``0.root``
    (n, n), ``0.scale`` (n,), or ``0.left`` (outputs, outputs), ``0.right`` (inputs, inputs) and ``0.scale`` (outputs,
    inputs).

    Attributes
    ----------
    layout
        Where each value lies in the vector.
    blocks
        The blocks.
    """

    layout: Layout
    blocks: tuple[Block, ...]
    name: str = "laplace"
    factorised: bool = False

    # --- as JSON --------------------------------------------------------------------------------------------

    def as_json(self) -> list[dict[str, Any]]:
        """Return the blocks as plain values."""
        return [asdict(block) for block in self.blocks]

    @classmethod
    def of_json(cls, layout: Layout, blocks: Sequence[Mapping[str, Any]]) -> NormalBlocks:
        """Make the family of plain values again."""
        return cls(layout, tuple(Block(BlockKind(b["kind"]), tuple(b["names"]), b["transposed"]) for b in blocks))

    # --- a family -------------------------------------------------------------------------------------------

    def start(self, mean: torch.Tensor, scale: float) -> Parameters:
        """Make the parameters of a member around a vector (size,), with standard deviations `scale`."""
        found = {"mean": mean.clone()}
        for i, block in enumerate(self.blocks):
            n = self._size(block)
            if block.kind is BlockKind.FULL:
                found[f"{i}.root"] = scale * torch.eye(n, dtype=mean.dtype, device=mean.device)
            elif block.kind is BlockKind.DIAGONAL:
                found[f"{i}.scale"] = torch.full_like(mean[:n], scale)
            else:
                outputs, inputs = self._sides(block)
                found[f"{i}.left"] = torch.eye(outputs, dtype=mean.dtype, device=mean.device)
                found[f"{i}.right"] = torch.eye(inputs, dtype=mean.dtype, device=mean.device)
                found[f"{i}.scale"] = mean.new_full((outputs, inputs), scale)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values that aren't certain, block by block."""
        return tuple(name for block in self.blocks for name in block.names)

    def alone(self) -> NormalBlocks:
        """Return the same distribution over the values that aren't certain, and no others."""
        shapes = dict(zip(self.layout.names, self.layout.shapes, strict=True))
        return NormalBlocks(Layout(self.names, tuple(shapes[name] for name in self.names)), self.blocks)

    @property
    def spread(self) -> int:
        """Number of values that aren't certain."""
        return sum(map(self._size, self.blocks))

    def noise(self, size: int) -> int:
        """Count the standard normal numbers that one draw is made of."""
        return self.spread

    def draw(self, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        """Turn noise (noise,) into a draw (size,)."""
        values = self.layout.split(parameters["mean"])
        at = 0
        for i, block in enumerate(self.blocks):
            n = self._size(block)
            moved = self._times_root(i, block, parameters, noise[at : at + n])
            values |= {name: values[name] + away for name, away in self.apart(block, moved).items()}
            at += n
        return torch.cat([values[name].reshape(-1) for name in self.layout.names])

    def log_prob(self, parameters: Parameters, draw: torch.Tensor) -> torch.Tensor:
        """Compute the log density of a draw, in nats; what is certain has none."""
        away = self.layout.split(draw - parameters["mean"])
        total = -self._log_roots(parameters) - 0.5 * self.spread * math.log(2 * math.pi)
        for i, block in enumerate(self.blocks):
            own = self._together(block, away)
            if block.kind is BlockKind.FULL:
                noise = torch.linalg.solve_triangular(parameters[f"{i}.root"], own[:, None], upper=True)
            elif block.kind is BlockKind.DIAGONAL:
                noise = own / parameters[f"{i}.scale"]
            else:
                half = torch.linalg.solve(parameters[f"{i}.left"], own)
                noise = torch.linalg.solve(parameters[f"{i}.right"], half.mT).mT / parameters[f"{i}.scale"]
            total = total - 0.5 * noise.square().sum()
        return total

    def entropy(self, parameters: Parameters) -> torch.Tensor:
        """Compute the entropy of what isn't certain, in nats."""
        return self._log_roots(parameters) + 0.5 * self.spread * math.log(2 * math.pi * math.e)

    def variance(self, parameters: Parameters) -> torch.Tensor:
        """Compute the marginal variances (size,)."""
        found = {name: torch.zeros_like(v) for name, v in self.layout.split(parameters["mean"]).items()}
        for i, block in enumerate(self.blocks):
            if block.kind is BlockKind.FULL:
                own = parameters[f"{i}.root"].square().sum(dim=1)
            elif block.kind is BlockKind.DIAGONAL:
                own = parameters[f"{i}.scale"].square()
            else:
                left, right = parameters[f"{i}.left"].square(), parameters[f"{i}.right"].square()
                own = left @ parameters[f"{i}.scale"].square() @ right.mT
            found |= self.apart(block, own)
        return torch.cat([found[name].reshape(-1) for name in self.layout.names])

    # --- blocks ---------------------------------------------------------------------------------------------

    def _shapes(self, block: Block) -> Iterator[tuple[str, tuple[int, ...]]]:
        shapes = dict(zip(self.layout.names, self.layout.shapes, strict=True))
        return ((name, shapes[name]) for name in block.names)

    def _size(self, block: Block) -> int:
        return sum(math.prod(shape) for _, shape in self._shapes(block))

    def _sides(self, block: Block) -> tuple[int, int]:
        """Give the sizes of a layer: outputs, and inputs with one for the bias."""
        (_, shape), *bias = self._shapes(block)
        if len(shape) == 1:
            outputs, inputs = (1, shape[0])
        elif block.transposed:
            outputs, inputs = shape[1], shape[0]
        else:
            outputs, inputs = shape[0], math.prod(shape[1:])
        return outputs, inputs + len(bias)

    def apart(self, block: Block, own: torch.Tensor) -> dict[str, torch.Tensor]:
        r"""Cut what belongs to a block, (n,) or (outputs, inputs), into its values: name to tensor (\*shape)."""
        shapes = dict(self._shapes(block))
        if block.kind is not BlockKind.KRONECKER:
            parts = own.split([math.prod(shape) for shape in shapes.values()])
            return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        outputs, inputs = self._sides(block)
        own = own.reshape(outputs, inputs)
        weight, *bias = block.names
        matrix = own[:, : inputs - len(bias)]
        found = {weight: (matrix.mT if block.transposed else matrix).reshape(shapes[weight])}
        return found | {name: own[:, -1].reshape(shapes[name]) for name in bias}

    def _together(self, block: Block, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Put the values of a block together, as `apart` cuts them."""
        if block.kind is not BlockKind.KRONECKER:
            return torch.cat([values[name].reshape(-1) for name in block.names])
        outputs, inputs = self._sides(block)
        weight, *bias = (values[name] for name in block.names)
        width = inputs - len(bias)
        matrix = weight.reshape(width, outputs).mT if block.transposed else weight.reshape(outputs, width)
        return torch.cat([matrix, *(b.reshape(outputs, 1) for b in bias)], dim=1)

    def within(self, block: Block) -> Layout:
        """Lay the values of one block out."""
        return Layout(block.names, tuple(shape for _, shape in self._shapes(block)))

    def together(self, block: Block, flat: torch.Tensor) -> torch.Tensor:
        """Take the values of a block out of a vector (size,): (n,), or (outputs, inputs) of a layer."""
        return self._together(block, self.layout.split(flat))

    def _times_root(self, i: int, block: Block, parameters: Parameters, noise: torch.Tensor) -> torch.Tensor:
        if block.kind is BlockKind.FULL:
            return parameters[f"{i}.root"] @ noise
        if block.kind is BlockKind.DIAGONAL:
            return parameters[f"{i}.scale"] * noise
        scaled = parameters[f"{i}.scale"] * noise.reshape(self._sides(block))
        return parameters[f"{i}.left"] @ scaled @ parameters[f"{i}.right"].mT

    def _log_roots(self, parameters: Parameters) -> torch.Tensor:
        """Compute the logarithm of the determinant of all roots together."""
        total = torch.zeros_like(parameters["mean"][:1]).sum()
        for i, block in enumerate(self.blocks):
            if block.kind is BlockKind.FULL:
                total = total + parameters[f"{i}.root"].diagonal().abs().log().sum()
                continue
            total = total + parameters[f"{i}.scale"].log().sum()
            if block.kind is BlockKind.KRONECKER:
                left, right = parameters[f"{i}.left"], parameters[f"{i}.right"]
                total = total + len(right) * torch.linalg.slogdet(left)[1] + len(left) * torch.linalg.slogdet(right)[1]
        return total
