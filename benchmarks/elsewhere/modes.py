"""Laplace approximations of laplace-torch, around a mode that is handed over."""

from __future__ import annotations

from typing import Any

import numpy as np

STRUCTURES = {"full": "full", "diagonal": "diag", "kronecker": "kron"}


class LaplaceTorch:
    """A normal distribution around the weights of a network of linear layers with tanh between them.

    Parameters
    ----------
    file
        Rows ``x`` and ``y``, test points ``points``, the width of the normal prior ``prior``, and the network's
        parameters in order, as "parameter/0" and so on.
    structure
        What is kept of the precision matrix.
    bias
        Whether the layers have biases.
    """

    def __init__(self, file: str, *, structure: str, bias: bool) -> None:
        import torch
        from laplace import Laplace
        from torch.utils.data import DataLoader, TensorDataset

        torch.set_default_dtype(torch.float64)  # what it makes of plain numbers has the default precision
        with np.load(file) as found:
            given = {name: torch.tensor(found[name]) for name in found}
        values = [given[f"parameter/{k}"] for k in range(sum(name.startswith("parameter") for name in given))]
        layers: list[Any] = []
        for weight in values[:: 1 + bias]:
            layers += [torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias), torch.nn.Tanh()]
        network = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), values, strict=True):
                parameter.copy_(value)
        self._points = given["points"]
        self._fitted = Laplace(
            network, "classification", "all", STRUCTURES[structure], prior_precision=1 / float(given["prior"]) ** 2
        )
        self._fitted.fit(DataLoader(TensorDataset(given["x"], given["y"]), batch_size=len(given["x"])))

    def found(self) -> dict[str, Any]:
        """Give the evidence, mean and standard deviation of the logits, and the number of Kronecker factors' blocks."""
        mean, covariance = self._fitted._glm_predictive_distribution(self._points)
        scale = covariance.diagonal(dim1=1, dim2=2).sqrt()
        return {
            "evidence": float(self._fitted.log_marginal_likelihood()),
            "mean": mean.tolist(),
            "scale": scale.tolist(),
            "blocks": len(getattr(getattr(self._fitted, "H_facs", None), "kfacs", [])),
        }
