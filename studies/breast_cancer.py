"""Fit the two networks of the breast-cancer chapter on twenty random splits, with 2 and with 30 features.

`python studies/breast_cancer.py` takes some minutes and writes companion/shelf/files/breast_cancer.npz, from which the
chapter computes its tables and figures. The settings were chosen on the splits of seeds 100 to 103, not used here.
"""

import time

import numpy as np
import torch

from companion import book, datasets, shelf, uncertainty
from companion.inference import fit
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.prediction import mean_probabilities, predict
from companion.priors import LearnedScale

SPLITS = 20
FEATURES = {2: ("mean radius", "mean texture"), 30: None}
SETTINGS = {"steps": 1500, "restarts": 8, "learning_rate": 0.05, "schedule": "one-cycle", "keep": "best"}
DRAWS = 1000


def network(data, seed):
    return dense(data.x.shape[1], 5, 5, 1, activation=torch.nn.Tanh, seed=seed)


NETWORKS = {
    "post": lambda data, seed: binary_classifier(data, seed=seed),
    "learned scales": lambda data, seed: torch_classifier(data, network(data, seed), LearnedScale(1.0)),
}


def main():
    book.setup()
    begun, found = time.perf_counter(), {}
    for count, features in FEATURES.items():
        for name, make in NETWORKS.items():
            rows, loss = [], []
            for seed in range(SPLITS):
                split = datasets.breast_cancer(features, seed=seed, positive="malignant")
                posterior = fit(make(split.train, seed), **SETTINGS, seed=seed, machine="cpu", progressbar=False)
                p = predict(posterior, split.test.x, draws=DRAWS, seed=seed)
                rows.append([mean_probabilities(p)[:, 1], uncertainty.decompose_entropy(p).epistemic])
                loss.append(-posterior.record.elbo)
                print(
                    f"{count} features, {name}, split {seed}: {uncertainty.accuracy(p, split.test.y):.3f}", flush=True
                )
            probability, epistemic = np.moveaxis(np.array(rows), 1, 0)
            found |= {
                f"probability, {count}, {name}": probability.astype(np.float32),  # of malignant (splits, points)
                f"mutual information, {count}, {name}": epistemic.astype(np.float16),  # in nats (splits, points)
                f"negative elbo, {count}, {name}": np.array(loss),  # in nats (splits,)
            }
    about = {
        "script": "studies/breast_cancer.py",
        "settings": SETTINGS,
        "draws": DRAWS,
        "seeds": list(range(SPLITS)),
    }
    about["seconds"] = round(time.perf_counter() - begun)
    shelf.write_result(shelf.FILES / "breast_cancer.npz", found, about)


if __name__ == "__main__":
    main()
