"""Other ways to a predictive distribution: a plain network, MC dropout, Laplace, SWAG, ensembles.

Each function trains a torch network on `Observations` and returns a predictor: images in, probabilities (draws, points,
classes) out. All take as many steps of as many images, with the same prior on the weights as weight decay. Those that
the package has are its own.
"""

from functools import partial

from companion import inference
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian

DECAY = 1 / 0.1**2  # minus the log density of the post's prior is a weight decay of this strength


def plain(network, data, steps, seed, *, rate=1e-3, decay=DECAY, batch=500):
    """Minimise the cross-entropy, with the prior as weight decay unless another decay is given."""
    return ensemble(network, data, steps, seed, members=1, rate=rate, decay=decay, batch=batch)


def dropout(network, data, steps, seed, *, rate=1e-3, p=0.2, draws=50, batch=500):
    """Drop hidden units in training and in prediction, without weight decay (Gal and Ghahramani 2016).

    Of a convolution's input it drops whole channels; the results of November 2026 dropped single entries there.
    """
    found = inference.dropout(model_of(network, data, seed), steps, p=p, learning_rate=rate, **common(seed, batch))
    return partial(predict, found, draws=draws, seed=seed)


def ensemble(network, data, steps, seed, *, members=5, rate=1e-3, decay=DECAY, batch=500):
    """Average plain networks from other starts, for a share of the steps each (Lakshminarayanan et al. 2017)."""
    settings = common(seed, batch) | {"members": members, "learning_rate": rate}
    del settings["elbo_draws"]
    found = inference.ensemble(model_of(network, data, seed, decay), steps // members, **settings)
    return partial(predict, found, draws=members, seed=seed)


def laplace(network, data, steps, seed, *, rate=1e-3, draws=50, batch=500):
    """Gaussian around the mode, of the last layer's weights, with the diagonal of their GGN (Daxberger et al. 2021)."""
    posterior = inference.laplace(
        torch_classifier(data, network(seed), Gaussian(DECAY**-0.5)),
        steps,
        structure="diagonal",
        subset="last-layer",
        predictive="sampled",
        polish=0,  # the steps are those of the others
        tolerance=100.0,
        batch_size=batch,
        learning_rate=rate,
        machine=inference.Machine("cpu", precision="bfloat16"),
        seed=seed,
        elbo_draws=2,
        progressbar=False,
    )
    return lambda x: predict(posterior, x, draws, seed)


def swag(network, data, steps, seed, *, rate=1e-3, sampling_rate=0.02, share=0.4, rank=20, draws=50, batch=500):
    """Gaussian of the weights that SGD at a high rate goes through: diagonal and low rank (Maddox et al. 2019)."""
    path = inference.Trajectory(sampling_rate, share, rank)
    model = model_of(network, data, seed, DECAY)
    found = inference.swag(model, steps, trajectory=path, learning_rate=rate, **common(seed, batch))
    return partial(predict, found, draws=draws, seed=seed)


# --- the package's methods ------------------------------------------------------------------------------


def model_of(network, data, seed, decay=0.0):
    """Classify with a normal prior that is weight decay of this strength; almost none at 0."""
    return torch_classifier(data, network(seed), Gaussian(decay**-0.5 if decay else 1e4))


def common(seed, batch):
    """Give what the package's methods share."""
    machine = inference.Machine("cpu", "bfloat16")
    return {"batch_size": batch, "machine": machine, "seed": seed, "elbo_draws": 2, "progressbar": False}
