"""Sample posteriors of the breast-cancer networks, and find whether prior, units or approximation make them hedge.

`python studies/breast_cancer_reference.py` takes a quarter of an hour on one quiet core and writes
companion/shelf/files/breast_cancer_reference.npz. Parts can be run one by one: "logistic" samples Bayesian logistic
regression on the twenty splits of `studies/breast_cancer.py`; "networks, post" fits and samples the post's network on
the first three splits with all 30 features; "networks, wide output" and "networks, unbounded units" do the same for two
networks that differ from it in one thing each, and "networks, learned scales" for the chapter's second network; "NUTS"
samples the post's network by PyMC on the first split, as a reference for our sampler, and logistic regression beside
it, estimates both log scores from the training half alone (PSIS-LOO), and checks both on labels drawn from them.
"""

import argparse
import time
from functools import partial

import arviz as az
import numpy as np
import pymc as pm
import runs
import torch
from breast_cancer import FEATURES, NETWORKS, SETTINGS, SPLITS
from scipy.special import expit, log_expit, logit

from companion import book, compat, datasets, shelf
from companion.inference import Start, fit, sample
from companion.models import binary_classifier
from companion.posterior import diagnose

COMPARED = 3  # splits on which networks are sampled
WIDE = 3.0  # standard deviation of the output weights, in the network that differs from the post's in this alone
LOGISTIC = {"chains": 16, "warmup": 300, "draws": 125}
SAMPLED = {"chains": 16, "warmup": 500, "draws": 250}
NUTS = {"chains": 4, "tune": 1000, "draws": 1000, "target_accept": 0.9}
FITTED_DRAWS = 2000
# From the mean-field fit's means, and with several draws per step: with the settings of mean-field, full rank ends far
# above the loss of mean-field, which it contains
FULL_RANK = {"family": "full-rank", "steps": 4000, "learning_rate": 0.002, "restarts": 1, "draws": 8}
FULL_RANK_SCALE = 0.6
EVERY = 4  # of the draws, one in so many is checked against labels drawn anew
NAMED = 6  # held-out masses whose draws are kept, evenly spaced from the surest benign to the surest malignant


def logistic(x, y):
    """Lay out logistic regression on every split at once: x (splits, rows, features), y (splits, rows).

    Its mode on a split is scikit-learn's default, which penalises the coefficients alone. The splits' coefficients are
    independent, so that one set of chains samples all of their posteriors.
    """
    with pm.Model() as model:
        w = pm.Normal("w", 0, 1, shape=(len(x), x.shape[-1]))
        b = pm.Flat("b", shape=len(x))
        sums = pm.math.matmul(x, w[:, :, None])
        pm.Bernoulli("y", logit_p=sums[:, :, 0] + b[:, None], observed=y)
    return model


def changed(data, seed, sd=1.0, unit=pm.math.tanh):
    """Lay out the post's network with another prior on the weights of its output, or with other units."""
    given = binary_classifier(data, seed=seed)
    start = {rv.name: given.rvs_to_initial_values[rv] for rv in given.free_RVs}
    with pm.Model() as model:
        x, labels = pm.Data("x", data.x), pm.Data("labels", data.y)
        w = {
            name: pm.Normal(name, 0, sd if name == "w_2_out" else 1, shape=value.shape, initval=value)
            for name, value in start.items()
        }
        p = pm.Deterministic("p", pm.math.sigmoid(unit(unit(x @ w["w_in_1"]) @ w["w_1_2"]) @ w["w_2_out"]))
        pm.Bernoulli("y", p, observed=labels)
    return model


def relu(sums):
    return pm.math.maximum(sums, 0)


MODELS = {
    "post": NETWORKS["post"],
    "wide output": partial(changed, sd=WIDE),
    "unbounded units": partial(changed, unit=relu),
    "learned scales": NETWORKS["learned scales"],
}


def split_of(count, seed):
    return datasets.breast_cancer(FEATURES[count], seed=seed, positive="malignant")


def summary(posterior, test, draws, seed):
    """Mean and spread of the probability of malignant at the held-out masses, (2, points)."""
    p = posterior.predictive(test.x, draws, seed)[..., 1]
    return np.stack([p.mean(axis=0), p.std(axis=0)]).astype(np.float32)


def checked(posterior, test):
    """Worst R-hat and effective sample size of the predictions, and the number of divergences."""
    found = posterior.diagnose(test.x).loc["predictions"]
    diverged = int(posterior.health().divergences.sum())
    return [round(float(found.r_hat), 4), round(float(found.ess)), round(float(found.ess_tail)), diverged]


def sample_logistic():
    arrays, checks = {}, {}
    for count in FEATURES:
        splits = [split_of(count, seed) for seed in range(SPLITS)]
        train, test = (
            [np.stack(part) for part in zip(*((o.x, o.y) for o in half), strict=True)]
            for half in ([split.train for split in splits], [split.test for split in splits])
        )
        posterior = sample(logistic(*train), **LOGISTIC, seed=0, machine="cpu", progressbar=False)
        draws = posterior.draw(LOGISTIC["chains"] * LOGISTIC["draws"], 0)
        logits = np.einsum("spf,dsf->dsp", test[0], draws["w"]) + draws["b"][:, :, None]
        arrays[f"probability, {count}, logistic"] = expit(logits).mean(
            axis=0
        )  # (splits, points), in double precision: some are all but 1
        by_name = posterior.diagnose()
        checks[str(count)] = {
            "R-hat, ESS, tail ESS": {name: [round(float(f), 4) for f in row] for name, row in by_name.iterrows()},
            "divergences": int(posterior.health().divergences.sum()),
        }
        print(count, checks[str(count)], flush=True)
    return arrays, {**LOGISTIC, **checks}


def approximations(name, split, seed):
    """Yield the name, the posterior and the number of draws of each approximation of a network's posterior."""
    common = {**SETTINGS, "seed": seed, "machine": "cpu", "progressbar": False}
    if name != "learned scales":  # their density has no sensible mode: it grows without end at zero
        yield "mode", fit(MODELS[name](split.train, seed), **(common | {"family": "map"})), 1
    mean_field = fit(MODELS[name](split.train, seed), **common)
    yield "mean-field", mean_field, FITTED_DRAWS
    if name == "post":
        centre = {variable: draws.mean(axis=0) for variable, draws in mean_field.draw(500, seed).items()}
        narrow = {"start": Start(centre, scale=FULL_RANK_SCALE)}
        yield "full-rank", fit(MODELS[name](split.train, seed), **(common | FULL_RANK | narrow)), FITTED_DRAWS
    # Chains start in the mean-field fit, so that learned scales don't begin in the neck of their funnel
    chains = {**SAMPLED, "seed": seed, "machine": "cpu", "progressbar": False}
    if name == "learned scales":
        chains["start"] = mean_field
    yield "HMC", sample(MODELS[name](split.train, seed), **chains), SAMPLED["chains"] * SAMPLED["draws"]


def compare_networks(name):
    probability, spread, losses, checks = {}, {}, {}, {}
    for seed in range(COMPARED):
        split, begun = split_of(30, seed), time.process_time()
        for method, posterior, draws in approximations(name, split, seed):
            seconds = round(time.process_time() - begun, 1)
            mean, sd = summary(posterior, split.test, draws, seed)
            probability.setdefault(method, []).append(mean)
            spread.setdefault(method, []).append(sd)
            sampled = method == "HMC"
            losses.setdefault(method, []).append(np.nan if sampled else -posterior.record.elbo)
            found = checked(posterior, split.test) if sampled else None
            checks[f"{method}, {seed}"] = {"CPU seconds": seconds, "R-hat, ESS, tail ESS, divergences": found}
            print(name, method, seed, seconds, losses[method][-1], mean.min(), mean.max(), found, flush=True)
            begun = time.process_time()
    arrays = {}
    for method, means in probability.items():
        arrays |= {
            f"probability, {name}, {method}": np.array(means),  # of malignant (splits, points)
            f"spread, {name}, {method}": np.array(spread[method]),  # standard deviation over networks (splits, points)
            f"negative elbo, {name}, {method}": np.array(losses[method]),  # in nats (splits,); NaN of chains
        }
    settings = {
        "sampler": SAMPLED,
        "fit": SETTINGS,
        "full-rank": {**FULL_RANK, "start scale": FULL_RANK_SCALE},
        "wide": WIDE,
    }
    return arrays, {**settings, "runs": checks}


def leave_one_out(logits, labels):
    """Estimate the log score of each training mass from the other masses (PSIS-LOO): nats and Pareto k, (2, rows).

    By the log-odds of the draws (chains, draws, rows): PyMC's own log likelihood refuses models with starting values.
    """
    likelihood = {"y": log_expit(np.where(labels == 1, 1, -1) * logits)}
    return np.stack(compat.leave_one_out(compat.from_dict({"logits": logits}, likelihood))).astype(np.float32)


def replicated(logits, labels):
    """Log score of the observed labels, and of labels drawn anew, by each draw of (draws, rows): (2, draws)."""
    drawn = np.random.default_rng(0).random(logits.shape) < expit(logits)
    observed = np.broadcast_to(labels, logits.shape)
    scores = [log_expit(np.where(of == 1, 1, -1) * logits).mean(axis=1) for of in (observed, drawn)]
    return np.stack(scores).astype(np.float32)


def reference():
    """Sample the post's network by NUTS, as a PyMC user would, and keep what is needed to judge it."""
    split = split_of(30, 0)
    with binary_classifier(split.train, seed=0) as model:
        begun = time.process_time()
        data = pm.sample(**NUTS, cores=1, random_seed=0, progressbar=False)
        seconds = time.process_time() - begun
        logits = logit(data["posterior"]["p"].values)
        left_out = leave_one_out(logits, split.train.y)
        pm.set_data({"x": split.test.x, "labels": split.test.y}, model=model)
        predicted = pm.sample_posterior_predictive(data, var_names=["p"], random_seed=0, progressbar=False)
    p = predicted["posterior_predictive"]["p"].values  # (chains, draws, points)
    stats = data["sample_stats"]
    order = np.argsort(p.mean(axis=(0, 1)))
    named = order[np.linspace(0, len(order) - 1, NAMED).astype(int)]
    weights = {
        name: data["posterior"][name].values.reshape(-1, *data["posterior"][name].shape[2:])
        for name in ("w_in_1", "w_1_2", "w_2_out")
    }
    found = diagnose(weights | {"predictions": p.reshape(-1, p.shape[-1])}, NUTS["chains"])
    said = {
        **NUTS,
        "CPU seconds": round(seconds, 1),
        "divergences": int(stats["diverging"].sum()),
        "divergences of each chain": stats["diverging"].sum("draw").values.tolist(),
        "mean gradients of a draw": round(float(stats["n_steps"].mean()), 1),
        "deepest tree": int(stats["tree_depth"].max()),
        "step size": [round(float(s), 3) for s in stats["step_size"].values[:, -1]],
        "BFMI": [round(float(b), 3) for b in np.ravel(az.bfmi(data))],
        "R-hat, ESS, tail ESS": {n: [round(float(f), 4) for f in worst] for n, worst in found.items()},
    }
    arrays = {
        "NUTS, mean": p.mean(axis=1).astype(np.float32),  # of each chain (chains, points)
        "NUTS, spread": p.std(axis=1).astype(np.float32),  # of each chain (chains, points)
        "NUTS, ESS": az.ess(predicted["posterior_predictive"], method="mean")["p"].values.astype(
            np.float32
        ),  # (points,)
        "NUTS, named": named,  # rows of the held-out half
        "NUTS, draws": p[..., named].astype(np.float32),  # (chains, draws, named)
        "NUTS, energy": stats["energy"].values.astype(np.float32),  # (chains, draws)
        "NUTS, left out": left_out,  # log score in nats and Pareto k of the training masses (2, rows)
        "NUTS, replicated": replicated(logits.reshape(-1, logits.shape[-1])[::EVERY], split.train.y),
        "NUTS, output weights": data["posterior"]["w_2_out"].values.astype(np.float16),  # (chains, draws, units)
    }
    beside, plain = plain_reference(split)
    return arrays | beside, {**said, "logistic": plain}


def plain_reference(split):
    """Sample logistic regression on the same split by the same settings of NUTS."""
    with pm.Model():
        w, b = pm.Normal("w", 0, 1, shape=split.train.x.shape[1]), pm.Flat("b", initval=0)
        pm.Bernoulli("y", logit_p=split.train.x @ w + b, observed=split.train.y)
        begun = time.process_time()
        data = pm.sample(**NUTS, cores=1, random_seed=0, progressbar=False)
        seconds = time.process_time() - begun
    said = {
        "CPU seconds": round(seconds, 1),
        "divergences": int(data["sample_stats"]["diverging"].sum()),
        "R-hat": round(float(az.rhat(data).to_array().max()), 4),
        "ESS": round(float(az.ess(data).to_array().min())),
    }
    w, b = (data["posterior"][name].values for name in ("w", "b"))
    trained, tested = (np.einsum("pf,cdf->cdp", half.x, w) + b[..., None] for half in (split.train, split.test))
    arrays = {
        "NUTS, left out, logistic": leave_one_out(trained, split.train.y),  # as of the network (2, rows)
        "NUTS, replicated, logistic": replicated(trained.reshape(-1, trained.shape[-1])[::EVERY], split.train.y),
        "NUTS, mean, logistic": expit(tested).mean(axis=(0, 1)),  # (points,)
    }
    return arrays, said


def main():
    parts = {f"networks, {name}": partial(compare_networks, name) for name in MODELS}
    parts |= {"NUTS": reference, "logistic": sample_logistic}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(parts))
    book.setup()
    torch.set_num_threads(1)
    path = shelf.FILES / "breast_cancer_reference.npz"
    arrays, told = runs.parts(path.stem)
    about = {"script": "studies/breast_cancer_reference.py", "parts": told}
    for part in parser.parse_args().parts:
        begun = time.process_time()
        added, said = parts[part]()
        said["CPU seconds of the part"] = round(time.process_time() - begun)
        print(part, said, flush=True)
        arrays, about["parts"] = arrays | added, about["parts"] | {part: said}
        shelf.write_result(path, arrays, about)


if __name__ == "__main__":
    main()
