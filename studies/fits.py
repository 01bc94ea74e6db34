"""One fit of an MNIST network with given settings, and its scores."""

from functools import partial

from judging import binned, first, scores
from mnist_methods import CPU

from companion import datasets
from companion.inference import Machine, fit
from companion.models import torch_classifier
from companion.prediction import predict

VARIATIONAL = partial(fit, elbo_draws=20)


def setting(network, prior, draws, *, by=VARIATIONAL, **settings):
    """Settings of one fit: a network by seed, a prior, the number of networks that predict, and what fits it how."""
    return {"network": network, "prior": prior, "draws": draws, "by": by, "settings": settings}


def scored(own, seed, *, tiny=False, bins=False):
    """Fit once; scores on validation and on test images, and of a variational fit the bound at full weight.

    With ``bins`` also what a reliability diagram of the test images draws.
    """
    digits = datasets.mnist()
    train, validation, test = digits.train, digits.validation, digits.test
    if tiny:
        train, validation, test = first(train, 500), first(test, 100), first(test, 100)
    model = torch_classifier(train, own["network"](seed), own["prior"])
    settings = own["settings"] | ({"steps": 20, "batch_size": 50} if tiny else {})
    machine = Machine("cpu", compile=False) if tiny else CPU
    posterior = own["by"](model, **settings, machine=machine, seed=seed, progressbar=False)
    row = {"fit seconds": posterior.record.seconds}
    if own["by"] is VARIATIONAL:
        row["negative elbo"] = -posterior.record.elbo / len(train)
    for name, images in (("validation", validation), ("test", test)):
        p = predict(posterior, images.x, draws=own["draws"], seed=seed)
        row |= {f"{name} {k}": v for k, v in scores(p, images.y).items()}
    return row | (binned(p, images.y) if bins else {})
