"""Other ways to a predictive distribution: a plain network, MC dropout, SGLD, Laplace, SWAG, ensembles.

Each function trains a torch network on `Observations` and returns a predictor: images in, probabilities (draws, points,
classes) out. All take as many steps of as many images, with the same prior on the weights as weight decay.
"""

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from companion import inference
from companion.models import torch_classifier
from companion.prediction import predict
from companion.priors import Gaussian
from companion.training import Rows, schedule_named

DECAY = 1 / 0.1**2  # minus the log density of the post's prior is a weight decay of this strength


def plain(network, data, steps, seed, *, rate=1e-3, decay=DECAY, batch=500):
    """Minimise the cross-entropy, with the prior as weight decay unless another decay is given."""
    fitted = train(network(seed), data, steps, seed, rate, decay, batch)
    return lambda x: outputs(fitted, x)[None]


def dropout(network, data, steps, seed, *, rate=1e-3, p=0.2, draws=50, batch=500):
    """Drop hidden units in training and in prediction (Gal and Ghahramani 2016)."""
    layers = []
    for layer in network(seed):
        layers += [layer, torch.nn.Dropout(p)] if isinstance(layer, torch.nn.Tanh | torch.nn.ReLU) else [layer]
    fitted = train(torch.nn.Sequential(*layers), data, steps, seed, rate, 0.0, batch).train()

    def predictor(x):
        torch.manual_seed(seed)
        return np.stack([outputs(fitted, x) for _ in range(draws)])

    return predictor


def ensemble(network, data, steps, seed, *, members=5, **settings):
    """Average plain networks from other starts, for a share of the steps each (Lakshminarayanan et al. 2017)."""
    every = [plain(network, data, steps // members, 1000 * seed + k, **settings) for k in range(members)]
    return lambda x: np.concatenate([one(x) for one in every])


def sgld(network, data, steps, seed, *, rate=1e-3, sampling_rate=0.02, share=0.4, draws=50, batch=500):
    """Walk to the mode, then sample around it by stochastic gradient Langevin dynamics (Welling and Teh 2011)."""
    import posteriors

    walk = round(steps * share)
    fitted = train(network(seed), data, steps - walk, seed, rate, DECAY, batch)
    rows = len(data)

    def log_posterior(weights, some):
        with torch.autocast("cpu", torch.bfloat16):
            logits = functional_call(fitted, weights, (some[0],))
        prior = sum(w.square().sum() for w in weights.values()) * DECAY / 2
        return -cross_entropy(logits.float(), some[1]) - prior / rows, torch.tensor([])

    sampler = posteriors.sgmcmc.sgld.build(log_posterior, lr=sampling_rate, temperature=1 / rows)
    torch.manual_seed(seed)
    state = sampler.init({name: w.detach().clone() for name, w in fitted.named_parameters()})
    kept = []
    for step, some in enumerate(batches(data, walk, seed + 1, batch)):
        state, _ = sampler.update(state, some, inplace=True)
        if step >= walk // 2 and (step - walk // 2) % (walk // 2 // draws) == 0:
            kept.append({name: w.clone() for name, w in state.params.items()})
    return lambda x: np.stack([outputs(lambda images, w=w: functional_call(fitted, w, (images,)), x) for w in kept])


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
    walk = round(steps * share)
    fitted = train(network(seed), data, steps - walk, seed, rate, DECAY, batch)
    sgd = torch.optim.SGD(fitted.parameters(), lr=sampling_rate, momentum=0.9)
    kept, every = [], walk // rank
    for step, (x, y) in enumerate(batches(data, walk, seed + 1, batch)):
        with torch.autocast("cpu", torch.bfloat16):
            logits = fitted(x)
        penalty = sum(w.square().sum() for w in fitted.parameters()) * DECAY / (2 * len(data))
        sgd.zero_grad()
        (cross_entropy(logits.float(), y) + penalty).backward()
        sgd.step()
        if (step + 1) % every == 0:
            kept.append(torch.nn.utils.parameters_to_vector(fitted.parameters()).detach().clone())
    places = torch.stack(kept)
    away = places - places.mean(dim=0)
    generator = torch.Generator().manual_seed(seed)

    def predictor(x):
        found = []
        for _ in range(draws):
            diagonal = torch.randn(len(away[0]), generator=generator) * away.square().mean(dim=0).sqrt()
            low_rank = torch.randn(len(away), generator=generator) @ away / (len(away) - 1) ** 0.5
            drawn = places.mean(dim=0) + (diagonal + low_rank) / 2**0.5
            torch.nn.utils.vector_to_parameters(drawn, fitted.parameters())
            found.append(outputs(fitted, x))
        return np.stack(found)

    return predictor


# --- training -------------------------------------------------------------------------------------------


def batches(data, steps, seed, batch):
    """Draw the rows that the engine would."""
    x, y = torch.tensor(data.x), torch.tensor(data.y, dtype=torch.long)
    rows = Rows(len(y), batch, seed)
    for step in range(steps):
        at = torch.from_numpy(rows.at(step))
        yield x[at], y[at]


def train(network, data, steps, seed, rate, decay, batch):
    """Adam with a cosine schedule on the mean cross-entropy plus ``decay`` |w|^2 / (2 rows)."""
    torch.manual_seed(seed)
    adam = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    for step, (x, y) in enumerate(batches(data, steps, seed, batch)):
        for group in adam.param_groups:
            group["lr"] = rate * schedule_named("cosine")(step / steps)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        penalty = sum(w.square().sum() for w in network.parameters()) * decay / (2 * len(data)) if decay else 0.0
        adam.zero_grad()
        (cross_entropy(logits.float(), y) + penalty).backward()
        adam.step()
    return network


def outputs(network, x):
    """Class probabilities (points, classes)."""
    return in_parts(network, x).softmax(dim=1).numpy()


def in_parts(network, x):
    """Apply a network to a thousand points at a time."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return torch.cat([network(part).float() for part in torch.tensor(x).split(1000)])
