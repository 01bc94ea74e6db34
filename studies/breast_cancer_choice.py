"""How the methods of the breast-cancer chapter were chosen: candidates on a third of some training halves.

`python studies/breast_cancer_choice.py` takes about ten minutes and prints each candidate's mean scores; with
"classical" it tries the classical methods alone, in half a minute. Each of these has as many candidates as the networks
have. It looks at the training halves of the splits with seeds 100 to 103 alone.
"""

import sys
from itertools import product

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from companion import book, datasets, uncertainty
from companion.datasets import Observations
from companion.errors import InferenceError
from companion.inference import fit
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.prediction import predict
from companion.priors import FanIn, Gaussian, LearnedScale

SEEDS = range(100, 104)
FEATURES = {2: ("mean radius", "mean texture"), 30: None}
WIDTHS_AND_PRIORS = {
    "5-5, N(0, 1)": ((5, 5), Gaussian(1.0)),
    "10-10, N(0, 1)": ((10, 10), Gaussian(1.0)),
    "20, fan-in": ((20,), FanIn()),
    "5-5, fan-in": ((5, 5), FanIn()),
    "5-5, learned scales": ((5, 5), LearnedScale(1.0)),
}
FAMILIES = {"mean-field": 0.05, "full-rank": 0.01}  # with its learning rate: the larger one diverges with full rank
TREES = 100
CLASSICAL = {
    **{f"logistic regression, C={c:.3g}": LogisticRegression(C=c) for c in np.logspace(-3, 2.5, 12)},
    **{
        f"random forest, leaf {leaf}, features {share}": RandomForestClassifier(
            TREES, min_samples_leaf=leaf, max_features=share, random_state=0
        )
        for leaf, share in product((1, 2, 4, 8), ("sqrt", 0.5, 1.0))
    },
    **{
        f"gradient boosting, {trees} trees, rate {rate}, depth {depth}": GradientBoostingClassifier(
            n_estimators=trees, learning_rate=rate, max_depth=depth, random_state=0
        )
        for trees, rate, depth in product((50, 100, 200), (0.03, 0.1), (1, 3))
    },
}


def inner_split(features, seed):
    train = datasets.breast_cancer(features, seed=seed, positive="malignant").train
    rows = np.random.default_rng(seed).permutation(len(train))
    cut = int(0.7 * len(train))
    return tuple(Observations(train.x[some], train.y[some]) for some in (rows[:cut], rows[cut:]))


def candidates(train):
    yield "the post's", binary_classifier(train)
    for name, (widths, prior) in WIDTHS_AND_PRIORS.items():
        network = dense(train.x.shape[1], *widths, 1, activation=torch.nn.Tanh, seed=0)
        yield name, torch_classifier(train, network, prior)


def classical():
    for count, features in FEATURES.items():
        scores = {name: [] for name in CLASSICAL}
        for seed in SEEDS:
            train, validation = inner_split(features, seed)
            for name, method in CLASSICAL.items():
                p1 = method.fit(train.x, train.y).predict_proba(validation.x)[:, 1]
                if "forest" in name:  # a share of votes, kept from being exactly 0 or 1 by the rule of succession
                    p1 = (TREES * p1 + 1) / (TREES + 2)
                p = np.stack([1 - p1, p1], axis=-1)[None]
                scores[name].append((uncertainty.log_score(p, validation.y), uncertainty.accuracy(p, validation.y)))
        report(count, scores)


def networks():
    for count, features in FEATURES.items():
        scores = {}
        for seed in SEEDS:
            train, validation = inner_split(features, seed)
            for name, model in candidates(train):
                for family, rate in FAMILIES.items():
                    settings = {"restarts": 8, "learning_rate": rate, "schedule": "one-cycle", "family": family}
                    try:
                        posterior = fit(
                            model, 1500, **settings, keep="best", seed=seed, machine="cpu", progressbar=False
                        )
                    except InferenceError as error:
                        print(f"{count} features, {name}, {family}, seed {seed}: {str(error)[:80]}", flush=True)
                        continue
                    p = predict(posterior, validation.x, draws=400)
                    found = uncertainty.log_score(p, validation.y), uncertainty.accuracy(p, validation.y)
                    scores.setdefault(f"{name}, {family}", []).append(found)
        report(count, scores)


def report(count, scores):
    for name, found in sorted(scores.items(), key=lambda item: np.mean(item[1], axis=0)[0]):
        log_score, accuracy = np.mean(found, axis=0)
        print(f"{count:2} features, {name:50} log score {log_score:.3f}, accuracy {accuracy:.3f}", flush=True)


def main():
    book.setup()
    classical()
    if "classical" not in sys.argv:
        networks()


if __name__ == "__main__":
    main()
