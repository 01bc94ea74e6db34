"""Images that are made to deceive: a small change in the direction that hurts most."""

import numpy as np
import pytest
import torch

from companion import datasets
from companion.bayes_by_backprop import Classifier, Regression, adversarial, fit, to_bayesian
from companion.errors import DataError, ModelError
from companion.networks import dense
from companion.priors import Gaussian

SIZE = 0.05


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(60, 4, 4)).astype(np.float32)
    data = datasets.Observations(x, (x[:, 0].mean(axis=1) > 0.5).astype(int))
    model = Classifier(to_bayesian(torch.nn.Sequential(torch.nn.Flatten(), *dense(16, 8, 2)), Gaussian(1.0)))
    return fit(model, data, 200, elbo_draws=2, seed=0, progressbar=False), data


def of_the_label(posterior, images, labels, draws):
    """Logarithm of the averaged probability of the true class, for each image."""
    return np.log(posterior.predict(images, draws).mean(axis=0)[np.arange(len(labels)), labels])


def test_no_other_signs_hurt_as_much_and_all_pixels_stay_pixels(fitted):
    posterior, data = fitted
    draws, rng = posterior.draw(20, seed=0), np.random.default_rng(1)
    attacked = adversarial(posterior, data.x, data.y, SIZE, draws)
    assert attacked.shape == data.x.shape
    assert 0 <= attacked.min() <= attacked.max() <= 1
    np.testing.assert_array_less(abs(attacked - data.x), SIZE + 1e-6)
    before, after = (of_the_label(posterior, images, data.y, draws) for images in (data.x, attacked))
    assert np.all(after < before)
    for _ in range(5):
        noisy = np.clip(data.x + SIZE * rng.choice([-1, 1], data.x.shape), 0, 1).astype(np.float32)
        assert np.all(after < of_the_label(posterior, noisy, data.y, draws))


def test_an_attack_on_the_average_is_another_than_one_on_the_single_pass(fitted):
    posterior, data = fitted
    draws, means = posterior.draw(20, seed=0), posterior.means()
    on_average, on_means = (adversarial(posterior, data.x, data.y, SIZE, known) for known in (draws, means))
    loss = {name: -of_the_label(posterior, x, data.y, means).mean() for name, x in (("a", on_average), ("m", on_means))}
    assert loss["m"] > loss["a"]
    assert (
        of_the_label(posterior, on_average, data.y, draws).mean()
        < of_the_label(posterior, on_means, data.y, draws).mean()
    )


def test_what_cant_be_attacked_is_said(fitted):
    posterior, data = fitted
    draws = posterior.means()
    with pytest.raises(ModelError, match="size=0"):
        adversarial(posterior, data.x, data.y, 0, draws)
    with pytest.raises(DataError, match="one label for each image"):
        adversarial(posterior, data.x, data.y[:3], SIZE, draws)
    with pytest.raises(DataError, match="pixels from 0 to 1"):
        adversarial(posterior, 2 * data.x, data.y, SIZE, draws)
    curve = datasets.sinusoid(n=4)
    line = fit(
        Regression(to_bayesian(dense(1, 2, 1), Gaussian(1.0)), noise=1.0), curve, 2, elbo_draws=2, progressbar=False
    )
    with pytest.raises(ModelError, match="a Normal; expected that of a Classifier"):
        adversarial(line, np.full((4, 1), 0.5), np.zeros(4, int), SIZE, line.means())
