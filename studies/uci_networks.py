"""Networks of the regression benchmark side by side: one PyMC model that holds a network for every split.

One hidden layer of 50 tanh units. The splits' weights and noises are independent of each other, so that the joint
posterior is the product of the splits' own, and a fit or a chain of all of them is a fit or a chain of each.
"""

from dataclasses import dataclass

import numpy as np
import pymc as pm

from companion import datasets
from companion.models import Likelihood

HIDDEN = 50


@dataclass(frozen=True)
class Candidate:
    """What may be chosen of a network: the width of its prior, and whether its noise depends on the inputs."""

    scale: float
    depends: bool

    def __str__(self):
        return f"prior {self.scale:g}, noise {'of the inputs' if self.depends else 'constant'}"


CANDIDATES = tuple(Candidate(scale, depends) for scale in (1.0, 3.0) for depends in (False, True))


@dataclass(frozen=True)
class Rows:
    """Rows of several splits: standardised inputs (points, splits, features), and measurements (points, splits)."""

    x: np.ndarray
    y: np.ndarray

    def of(self, splits):
        return Rows(self.x[:, splits], self.y[:, splits])


def multiplied(y):
    """Say whether noise multiplies: a target above 0 that spans more than two orders of magnitude."""
    return Likelihood.of(y) == Likelihood.LOG_NORMAL


def parts(table, splits, inner=False):
    """Rows to learn from and rows to judge on; with ``inner``, four fifths and one fifth of the training rows."""
    pairs = []
    for split in splits:
        data = datasets.uci(table, split)
        train, test = data.train, data.test
        if inner:
            first = round(0.8 * len(train))
            train, test = (datasets.Measurements(train.x[k], train.y[k]) for k in (slice(first), slice(first, None)))
        pairs.append((train, test))
    return [
        Rows(np.stack([p.x for p in side], 1), np.stack([p.y for p in side], 1)) for side in zip(*pairs, strict=True)
    ]


def network(rows, candidates, freedom=None):
    """One network per split, each with its own candidate's prior and noise.

    The noise is Student's t, with as many degrees of freedom as the data ask for, or ``freedom`` of them, a number for
    each split; of a target that spans more than two orders of magnitude the logarithm is normal.
    """
    x, y = np.asarray(rows.x, np.float32), np.asarray(rows.y, np.float32)
    splits, features = x.shape[1:]
    logs = multiplied(y)
    target = np.log(y) if logs else y
    centre, spread = target.mean(axis=0), target.std(axis=0)
    scale = np.array([c.scale for c in candidates], np.float32)[:, None, None]
    depends = np.array([c.depends for c in candidates], np.float32)
    with pm.Model() as model:
        inputs, measured = pm.Data("x", x), pm.Data("measured", y)
        w_in = pm.Normal("w_in", 0, scale / np.sqrt(features), shape=(splits, features, HIDDEN))
        b_in = pm.Normal("b_in", 0, scale, shape=(splits, 1, HIDDEN))
        w_out = pm.Normal("w_out", 0, scale / np.sqrt(HIDDEN), shape=(splits, HIDDEN, 2))
        b_out = pm.Normal("b_out", 0, scale, shape=(splits, 1, 2))
        hidden = pm.math.tanh(inputs.transpose(1, 0, 2) @ w_in + b_in)
        out = (hidden @ w_out + b_out).transpose(1, 0, 2)
        noise = pm.HalfNormal("noise", spread, shape=(splits,), initval=spread / 2)
        sigma = noise * (1 - depends + depends * pm.math.log1pexp(out[:, :, 1]) / np.float32(np.log(2)))
        location = centre + spread * out[:, :, 0]
        if logs:
            pm.LogNormal("y", location, sigma, observed=measured)
        else:
            if freedom is None:
                freedom = 2 + pm.Gamma("freedom_above_2", 2, 0.1, shape=(splits,))
            pm.StudentT("y", nu=freedom, mu=location, sigma=sigma, observed=measured)
    return model
