"""How the second network of the breast-cancer chapter was chosen: candidates on a third of some training halves.

`python studies/breast_cancer_choice.py` takes about ten minutes and prints each candidate's mean scores. It looks at
the training halves of the splits with seeds 100 to 103 alone.
"""

import numpy as np
import torch

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


def main():
    book.setup()
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
                    scores.setdefault((name, family), []).append(found)
        for (name, family), found in sorted(scores.items(), key=lambda item: np.mean(item[1], axis=0)[0]):
            log_score, accuracy = np.mean(found, axis=0)
            print(f"{count:2} features, {name:20} {family:10} log score {log_score:.3f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
