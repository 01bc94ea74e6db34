"""Networks: plain `torch.nn.Module` objects, with no randomness but their starting weights.

What makes them Bayesian is a prior from `companion.priors` and a bridge from `companion.bridge`. Explained in the
chapters `book/mnist/convolutional`, section "The network", and `book/bayes_by_backprop/lenet`, section "The network".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch

from companion.checks import positive, whole
from companion.errors import ModelError

__all__ = ["convolutional", "dense", "lenet", "lenet5"]

Layer = TypeVar("Layer", torch.nn.Linear, torch.nn.Conv2d)


def dense(
    *widths: int,
    activation: Callable[[], torch.nn.Module] = torch.nn.ReLU,
    bias: bool = True,
    seed: int = 0,
) -> torch.nn.Sequential:
    r"""Build a fully connected network.

    Parameters
    ----------
    widths
        Widths of the inputs, of each hidden layer, and of the outputs: ``dense(784, 800, 800, 10)``.
    activation
        Class of the modules between the layers; the last layer gives its sums as they are (logits, or means).
    bias
        Whether the layers have biases.
    seed
        Seed of the starting weights: normal with standard deviation :math:`1/\sqrt{\text{inputs}}`, biases zero.

    Returns
    -------
    torch.nn.Sequential
        A network that turns (rows, widths[0]) into (rows, widths[-1]).

    Raises
    ------
    ModelError
        If there are fewer than two widths, or one is not a positive whole number.
    """
    if len(widths) < 2:
        raise ModelError(f"widths={widths}; expected two or more positive whole numbers, such as dense(2, 5, 5, 1).")
    widths = tuple(whole("one of the widths", width, 1) for width in widths)
    _check_activation(activation)
    generator = torch.Generator().manual_seed(seed)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(widths):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs, bias=bias)
        layers += [_started(linear, generator), activation()]
    return torch.nn.Sequential(*layers[:-1])


def convolutional(
    *,
    filters: Sequence[int] = (32, 32),
    kernel: int = 5,
    hidden: int = 256,
    classes: int = 10,
    side: int = 28,
    activation: Callable[[], torch.nn.Module] = torch.nn.Tanh,
    seed: int = 0,
) -> torch.nn.Sequential:
    r"""Build the convolutional network of the Lasagne post, for square grey images.

    Each convolution, without padding, is followed by max-pooling over 2x2 and the activation, which for one that rises,
    such as tanh, is the same as the activation followed by pooling; then come a hidden layer and the output.

    Parameters
    ----------
    filters
        Number of filters of each convolution.
    kernel
        Side of a filter, in pixels.
    hidden
        Number of units of the hidden layer.
    classes
        Number of outputs.
    side
        Side of an image, in pixels.
    activation
        Class of the modules after each layer but the last, which gives its sums as they are: logits.
    seed
        Seed of the starting weights: normal with standard deviation :math:`1/\sqrt{\text{inputs}}`, biases zero.

    Returns
    -------
    torch.nn.Sequential
        A network that turns images (rows, side, side) into logits (rows, classes).

    Raises
    ------
    ModelError
        If a size is not a positive whole number, or nothing is left of an image after the last pooling.

    Notes
    -----
    The network is that of Wiecki (2016), "Bayesian Deep Learning Part II".
    """
    if not isinstance(filters, Sequence) or not filters:
        raise ModelError(f"filters={filters!r}; expected the number of filters of each convolution, such as (32, 32).")
    filters = [whole("a number of filters", n, 1) for n in filters]
    for name, size in (("kernel", kernel), ("hidden", hidden), ("classes", classes), ("side", side)):
        whole(name, size, 1)
    _check_activation(activation)
    generator = torch.Generator().manual_seed(seed)
    layers: list[torch.nn.Module] = [Images()]
    left = side
    for inputs, outputs in pairwise((1, *filters)):
        convolution = torch.nn.utils.skip_init(torch.nn.Conv2d, inputs, outputs, kernel)
        # A rising activation of a maximum is the maximum of the activations, at a quarter of the work.
        layers += [_started(convolution, generator), ChannelsLast(), torch.nn.MaxPool2d(2), activation()]
        left = (left - kernel + 1) // 2
    if left < 1:
        raise ModelError(
            f"{len(filters)} convolutions of {kernel}x{kernel} with pooling leave nothing of an image of "
            f"{side}x{side}; expected fewer of them, a smaller kernel or larger images."
        )
    rest = dense(filters[-1] * left**2, hidden, classes, activation=activation, seed=seed + 1)
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), *rest)


def lenet(*, classes: int = 10, scale: float | None = None, seed: int = 0) -> torch.nn.Sequential:
    r"""Build the network that the TensorFlow Probability post calls LeNet-5, for images of 28x28.

    Convolutions of 6, 16 and 120 filters of 5x5 keep the image's size (TensorFlow's ``SAME``); the first two are
    followed by max-pooling over 2x2; then come 84 hidden units and the outputs, with rectified linear units between.

    Parameters
    ----------
    classes
        Number of outputs.
    scale
        Standard deviation of the starting weights and biases. By default the weights have
        :math:`\sqrt{2/\text{inputs}}`, and the biases are zero; TensorFlow Probability's layers start at 0.1.
    seed
        Seed of the starting weights, which are normal.

    Returns
    -------
    torch.nn.Sequential
        A network that turns images (rows, 28, 28) into logits (rows, classes): 545,310 weights and 236 biases for ten
        classes.

    Raises
    ------
    ModelError
        If `classes` is not a positive whole number, or `scale` not a positive number.

    Notes
    -----
    McAteer (2019), "A quick intro to Bayesian neural networks", after an example of TensorFlow Probability.
    """
    network = _lenet((6, 16, 120), (2, 2, 2), 7 * 7 * 120, (84,), classes, seed)
    if scale is not None:
        scale = positive("scale", scale)
        generator = torch.Generator().manual_seed(seed)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=scale, generator=generator)
    return network


def lenet5(*, classes: int = 10, seed: int = 0) -> torch.nn.Sequential:
    r"""Build the classical LeNet-5 with rectified linear units and max-pooling, for images of 28x28.

    Parameters
    ----------
    classes
        Number of outputs.
    seed
        Seed of the starting weights: normal with standard deviation :math:`\sqrt{2/\text{inputs}}`, biases zero.

    Returns
    -------
    torch.nn.Sequential
        A network that turns images (rows, 28, 28) into logits (rows, classes): 61,706 parameters for ten classes.

    Raises
    ------
    ModelError
        If `classes` is not a positive whole number.

    Notes
    -----
    LeCun, Bottou, Bengio and Haffner (1998), "Gradient-based learning applied to document recognition", figure 2, whose
    images were padded to 32x32, whose units were tanh and whose second convolution saw only some of the first's maps.
    """
    return _lenet((6, 16), (2, 0), 5 * 5 * 16, (120, 84), classes, seed)


def _lenet(
    filters: Sequence[int], padding: Sequence[int], flat: int, hidden: Sequence[int], classes: int, seed: int
) -> torch.nn.Sequential:
    """Stack convolutions of 5x5, the first two with pooling, and a dense network."""
    whole("classes", classes, 1)
    generator = torch.Generator().manual_seed(seed)
    layers: list[torch.nn.Module] = [Images()]
    for place, ((inputs, outputs), pad) in enumerate(zip(pairwise((1, *filters)), padding, strict=True)):
        convolution = torch.nn.utils.skip_init(torch.nn.Conv2d, inputs, outputs, 5, padding=pad)
        layers += [_started(convolution, generator, gain=2.0), ChannelsLast()]
        # The maximum of rectified values is the rectified maximum, at a quarter of the work.
        layers += [torch.nn.MaxPool2d(2)] if place < 2 else []
        layers += [torch.nn.ReLU()]
    layers += [FlattenChannelsLast()]
    for inputs, outputs in pairwise((flat, *hidden, classes)):
        linear = torch.nn.utils.skip_init(torch.nn.Linear, inputs, outputs)
        layers += [_started(linear, generator, gain=2.0), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


class Images(torch.nn.Module):
    """Makes rows of grey images (rows, height, width) images of one channel (rows, 1, height, width).

    Their memory counts as stored pixel by pixel, so that a convolution stores what it computes so, too.
    """

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Add the channel."""
        return rows[..., None].permute(0, 3, 1, 2)


class FlattenChannelsLast(torch.nn.Module):
    """Flattens images (rows, channels, height, width) pixel by pixel, as TensorFlow does: without moving memory."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give (rows, height * width * channels)."""
        return images.permute(0, 2, 3, 1).flatten(1)


class ChannelsLast(torch.nn.Module):
    """Hands images (rows, channels, height, width) on unchanged, stored pixel by pixel instead of channel by channel.

    Pooling and the next convolution are then about twice as fast on a CPU.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reorder the memory, as ``memory_format=torch.channels_last`` does, which `torch.vmap` doesn't know."""
        return images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _check_activation(activation: Callable[[], torch.nn.Module]) -> None:
    """Refuse what doesn't make a module."""
    try:
        made: object = activation()
    except TypeError:  # a module itself, or a function of numbers
        made = None
    if not isinstance(made, torch.nn.Module):
        raise ModelError(f"activation={activation!r}; expected a class of modules, such as torch.nn.ReLU.")


def _started(layer: Layer, generator: torch.Generator, gain: float = 1.0) -> Layer:
    """Draw a layer's starting weights, with the variance ``gain / inputs``."""
    torch.nn.init.normal_(layer.weight, std=(gain / layer.weight[0].numel()) ** 0.5, generator=generator)
    if layer.bias is not None:
        torch.nn.init.zeros_(layer.bias)
    return layer
