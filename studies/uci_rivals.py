"""Rivals of the regression benchmark: linear regression, gradient boosting by quantiles, MC dropout in plain torch."""

from itertools import product

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from torch.nn.functional import softplus
from uci_networks import HIDDEN, multiplied

from companion.uncertainty import PredictiveDistribution

RATES = tuple(product((0.005, 0.05), (False, True)))  # of dropped units, and whether the noise depends on the inputs
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
TREES = (25, 50, 100)
WIDTHS = (0.5, 1.0, 2.0)
COPIES = 200  # of a distribution that has no draws: the scores estimate from draws
MASKS = 100


def predictive(y, location, sigma, freedom=None):
    """Distribution of measurements (draws, points); location and width are those of the target, or of its logarithm."""
    if multiplied(y):
        return PredictiveDistribution("LogNormalRV", {"mu": location, "sigma": sigma})
    if freedom is None:
        return PredictiveDistribution("NormalRV", {"mu": location, "sigma": sigma})
    return PredictiveDistribution("StudentTRV", {"nu": freedom, "mu": location, "sigma": sigma})


def linear(x, y, x_new):
    """Least squares; Student's t as the prior that knows nothing of weights and noise gives it."""
    target = np.log(y) if multiplied(y) else y
    found = LinearRegression().fit(x, target)
    columns = np.column_stack([np.ones(len(x)), x])
    inverse = np.linalg.pinv(columns.T @ columns)
    freedom = len(x) - columns.shape[1]
    variance = ((target - found.predict(x)) ** 2).sum() / freedom
    new = np.column_stack([np.ones(len(x_new)), x_new])
    sigma = np.sqrt(variance * (1 + np.einsum("pi,ij,pj->p", new, inverse, new)))
    copies = [np.tile(a, (COPIES, 1)) for a in (found.predict(x_new), sigma)]
    return predictive(y, *copies, np.full_like(copies[0], freedom))


def boosting(inner, judge, train, x_new):
    """Trees for five quantiles; each quantile is a normal kernel, as wide as it is far from its neighbours.

    ``inner``, ``judge`` and ``train`` are pairs (x, y). The number of trees and the kernels' width are chosen by the
    log density of ``judge``; returns the distribution, and the scores of the choices.
    """
    x, y = judge
    staged = [list(model.staged_predict(x)) for model in trees(*inner, max(TREES))]
    scores = {
        (many, width): kernels(inner[1], np.stack([s[many - 1] for s in staged]), width).log_density(y).mean()
        for many, width in product(TREES, WIDTHS)
    }
    many, width = max(scores, key=scores.get)
    found = np.stack([model.predict(x_new) for model in trees(*train, many)])
    return kernels(train[1], found, width), scores


def trees(x, y, many):
    target = np.log(y) if multiplied(y) else y
    return [
        HistGradientBoostingRegressor(loss="quantile", quantile=q, max_iter=many, early_stopping=False, random_state=0)
        .fit(x, target)
        for q in QUANTILES
    ]  # fmt: skip


def kernels(y, quantiles, width):
    ordered = np.sort(quantiles, axis=0)
    apart = np.gradient(ordered, axis=0)
    least = 0.02 * np.std(np.log(y) if multiplied(y) else y)
    sigma = np.maximum(width * apart, least)
    return predictive(y, np.repeat(ordered, 40, axis=0), np.repeat(sigma, 40, axis=0))


class Dropout:
    """Networks with dropped hidden units, one for each pair of a split and one of `RATES`; Student's t as noise.

    As Gal and Ghahramani (2016): points for weights, a mask for each row, and weight decay (a normal prior of width 3).
    """

    def __init__(self, rows, rates, steps, batch, seed):
        self.y, self.logs = rows.y, multiplied(rows.y)
        self.rates = torch.tensor([rate for rate, _ in rates], dtype=torch.float32)[:, None, None]
        self.depends = torch.tensor([depends for _, depends in rates], dtype=torch.float32)[:, None]
        target = np.log(rows.y) if multiplied(rows.y) else rows.y
        self.centre, self.spread = target.mean(axis=0), target.std(axis=0)
        x = torch.tensor(rows.x, dtype=torch.float32).swapaxes(0, 1)
        t = torch.tensor((target - self.centre) / self.spread, dtype=torch.float32).T
        self.generator = torch.Generator().manual_seed(seed)
        count, features = len(x), x.shape[2]
        normal = lambda *shape: torch.randn(*shape, generator=self.generator)  # noqa: E731
        self.weights = [
            (normal(count, features, HIDDEN) / features**0.5).requires_grad_(),
            normal(count, 1, HIDDEN).requires_grad_(),
            (normal(count, HIDDEN, 2) / HIDDEN**0.5).requires_grad_(),
            torch.zeros(count, 1, 2).requires_grad_(),
        ]
        self.noise = [torch.full((count, 1), v).requires_grad_() for v in (-0.7, 2.0)]
        self._fit(x, t, steps, batch)

    def _fit(self, x, t, steps, batch):
        optimiser = torch.optim.Adam([*self.weights, *self.noise], lr=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        points = x.shape[1]
        for _ in range(steps):
            keep = slice(None) if batch is None else torch.randint(points, (batch,), generator=self.generator)
            location, sigma = self._output(x[:, keep])
            loss = -self._law(location, sigma).log_prob(t[:, keep]).mean(dim=1).sum()
            decay = sum((w**2).sum() for w in self.weights) / (2 * 9 * points)
            optimiser.zero_grad()
            (loss + decay).backward()
            optimiser.step()
            schedule.step()

    def _law(self, location, sigma):
        if self.logs:
            return torch.distributions.Normal(location, sigma)
        return torch.distributions.StudentT(2 + self.noise[1].exp(), location, sigma)

    def _output(self, x):
        w_in, b_in, w_out, b_out = self.weights
        hidden = torch.tanh(torch.baddbmm(b_in, x, w_in))
        kept = torch.rand(hidden.shape, generator=self.generator) >= self.rates
        location, more = torch.baddbmm(b_out, hidden * kept / (1 - self.rates), w_out).unbind(dim=-1)
        sigma = self.noise[0].exp() * (1 - self.depends + self.depends * softplus(more) / np.log(2))
        return location, sigma

    @torch.no_grad()
    def distributions(self, x_new):
        """Distribution for each network, at (points, networks, features)."""
        x = torch.tensor(x_new, dtype=torch.float32).swapaxes(0, 1)
        out = [
            np.stack(o) for o in zip(*[[part.numpy() for part in self._output(x)] for _ in range(MASKS)], strict=True)
        ]
        freedom = 2 + self.noise[1].exp().numpy()[:, 0]
        found = []
        for k, spread in enumerate(self.spread):
            location, sigma = out[0][:, k] * spread + self.centre[k], out[1][:, k] * spread
            found.append(predictive(self.y[:, k], location, sigma, np.full_like(sigma, freedom[k])))
        return found
