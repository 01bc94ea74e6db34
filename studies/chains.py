"""Chains by the companion's samplers of mini-batches, set up like the methods of `alternatives`."""

from functools import partial

from companion.inference import Machine, fit, sample
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian
from companion.sampling import SGLD

PRIOR = Gaussian(0.1)  # the post's
CPU = Machine("cpu", "bfloat16")


def sgld(network, data, steps, seed, *, rate=1e-3, sampling_rate=0.02, share=0.4, draws=50, batch=500):
    """Walk to the mode, then sample around it by stochastic gradient Langevin dynamics (Welling and Teh 2011).

    The chain takes a share of the steps, half of them before the first draw. It is as short as the other methods are
    quick, and says so: it warns of its relaxation time.
    """
    model, walk = torch_classifier(data, network(seed), PRIOR), round(steps * share)
    common = {"batch_size": batch, "machine": CPU, "seed": seed, "progressbar": False}
    mode = fit(model, steps - walk, family="map", learning_rate=rate, elbo_draws=2, **common)
    posterior = sample(
        model,
        draws,
        warmup=walk // 2,
        thin=walk // 2 // draws,
        chains=1,
        sampler=SGLD(step_size=sampling_rate),
        start=mode,
        **common,
    )
    return partial(predict, posterior, draws=draws, seed=seed)
