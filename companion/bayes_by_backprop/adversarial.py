"""Adversarial examples: images changed a little, so that a posterior is less sure of their class.

Explained in the chapter `book/bayes_by_backprop/lenet_refusing`, section "Images made to deceive".
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from pyro import poutine

from companion.bayes_by_backprop.posterior import PyroPosterior, computing
from companion.checks import positive
from companion.errors import DataError, ModelError
from companion.posterior import Draws

__all__ = ["adversarial"]


def adversarial(
    posterior: PyroPosterior, images: ArrayLike, labels: ArrayLike, size: float, draws: Draws
) -> np.ndarray:
    r"""Change every pixel by `size`, up or down, in the direction that makes the true class less probable.

    .. math::

        \tilde x = x - \varepsilon \, \operatorname{sign} \nabla_x \log \tfrac{1}{S} \sum_s p(y \mid x, w_s)

    Parameters
    ----------
    posterior
        Posterior of a `Classifier`.
    images
        Images (points, height, width), with pixels from 0 to 1.
    labels
        Labels (points,), whole numbers from 0.
    size
        Size of the change :math:`\varepsilon`, as a share of the range of a pixel.
    draws
        Weights that the attack knows. Several draws, from `PyroPosterior.draw`, attack the average of their
        predictions; the posterior means, from `PyroPosterior.means`, attack the single pass.

    Returns
    -------
    numpy.ndarray
        Images (points, height, width), with pixels from 0 to 1.

    Raises
    ------
    DataError
        If pixels lie outside 0 to 1, or there isn't one label for each image.
    ModelError
        If `size` is not a positive number, or the model is not a classifier.

    Notes
    -----
    The fast gradient sign method of Goodfellow, Shlens and Szegedy (2015), "Explaining and harnessing adversarial
    examples", with the average over the draws in the place of one network.
    """
    size = positive("size", size, "such as 0.1")
    x = torch.tensor(np.asarray(images), dtype=posterior.dtype, device=posterior.device)
    y = torch.tensor(np.asarray(labels), dtype=torch.int64, device=posterior.device)
    if y.shape != x.shape[:1]:
        raise DataError(f"{tuple(y.shape)} labels of {tuple(x.shape)} images; expected one label for each image.")
    if not len(x) or x.min() < 0 or x.max() > 1:
        raise DataError("the images are empty, or have pixels outside 0 to 1; expected pixels from 0 to 1.")
    weights = {name: torch.as_tensor(a, device=posterior.device) for name, a in draws.items()}
    x.requires_grad_()
    logs = []
    with torch.enable_grad(), computing(posterior.device, "float32"):
        for s in range(len(next(iter(weights.values())))):
            observed = poutine.condition(posterior.model, data={name: a[s] for name, a in weights.items()})(x)
            if not isinstance(observed, torch.distributions.Categorical):
                raise ModelError(f"the model returned a {type(observed).__name__}; expected that of a Classifier.")
            logs.append(observed.log_prob(y))
        (gradient,) = torch.autograd.grad(torch.logsumexp(torch.stack(logs), dim=0).sum(), x)
    changed = (x.detach() - size * gradient.sign()).clamp(0, 1)
    return changed.cpu().numpy()
