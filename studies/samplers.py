"""Hold the companion's samplers against known answers and against NUTS, as `pymc.sample` runs it.

`python studies/samplers.py` writes companion/shelf/files/samplers.npz; it takes an hour or two on two cores. A method
is a model and a sampler, such as "eight schools; chees-hmc". Each row has the largest R-hat, the smallest effective
sample sizes, and the largest difference of a mean and of a standard deviation from what they should be, in standard
errors of that difference. "calibration" ranks the truths of 200 data sets among the draws, and has the p-values of even
ranks. What is compared of a network are its predictions. ``--tiny`` does all of it with a few steps of a few chains, to
see that it runs, a minute or two for all models or seconds for those that ``--methods`` names; it writes no file.
"""

from functools import cache, partial

import arviz as az
import numpy as np
import pymc as pm
import regression_nuts
import runs
import xarray as xr
from scipy import stats

from companion import datasets
from companion.inference import sample
from companion.models import binary_classifier
from companion.posterior import SampledPosterior, unconstrained

SAMPLERS = {
    "chees-hmc": {"warmup": 1000, "draws": 1000},
    "adjusted-mclmc": {"warmup": 1000, "draws": 1000},
    "mclmc": {"warmup": 10_000, "draws": 1000},
}
CHAINS, SETS = 16, 200
NUTS = {"draws": 2000, "tune": 2000, "chains": 4, "target_accept": 0.95}
FUNNEL = 9
TINY = {"warmup": 40, "draws": 20, "chains": 4}
TINY_NUTS = {"draws": 20, "tune": 20, "chains": 2}


def eight_schools(centred):
    effect = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    error = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    with pm.Model() as model:
        mean, spread = pm.Normal("mean", 0, 5), pm.HalfCauchy("spread", 5)
        if centred:
            school = pm.Normal("school", mean, spread, shape=8)
        else:
            school = mean + spread * pm.Normal("standard", shape=8)
        pm.Normal("effect", school, error, observed=effect)
    return model


def funnel():
    with pm.Model() as model:
        v = pm.Normal("v", 0, 3)
        pm.Normal("x", 0, pm.math.exp(v / 2), shape=FUNNEL)
    return model


def mixture():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.normal(-2, 0.7, 60), rng.normal(1.5, 1.0, 90)])
    with pm.Model() as model:
        share = pm.Dirichlet("share", np.ones(2))
        ordered = pm.distributions.transforms.ordered
        means = pm.Normal("means", 0, 3, shape=2, transform=ordered, initval=np.array([-1.0, 1.0]))
        pm.NormalMixture("y", share, means, sigma=pm.HalfNormal("scales", 2, shape=2), observed=y)
    return model


def gaussian_process():
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-2, 2, 25))
    y = np.sin(2 * x) + 0.2 * rng.normal(size=25)
    with pm.Model() as model:
        height, length, noise = pm.HalfNormal("height", 1), pm.InverseGamma("length", 5, 5), pm.HalfNormal("noise", 1)
        square = (x[:, None] - x) ** 2
        cov = height**2 * pm.math.exp(-square / (2 * length**2)) + (noise**2 + 1e-6) * np.eye(25)
        pm.MvNormal("y", np.zeros(25), cov=cov, observed=y)
    return model


def ordinal():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(120, 2))
    y = np.digitize(x @ [1.0, -0.7] + rng.logistic(size=120), [-1.0, 0.5, 2.0])
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 2, shape=2)
        ordered = pm.distributions.transforms.ordered
        cut = pm.Normal("cut", 0, 3, shape=3, transform=ordered, initval=np.array([-1.0, 0.0, 1.0]))
        pm.OrderedLogistic("y", eta=pm.math.dot(x, slope), cutpoints=cut, observed=y)
    return model


def horseshoe():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 15))
    y = x[:, :3] @ [2.0, -1.5, 1.0] + 0.5 * rng.normal(size=80)
    with pm.Model() as model:
        overall, noise = pm.HalfCauchy("overall", 0.1), pm.HalfNormal("noise", 1)
        local, slab = pm.HalfCauchy("local", 1, shape=15), pm.InverseGamma("slab", 2, 4)
        wide = (overall * local) ** 2
        standard = pm.Normal("standard", shape=15)
        slope = standard * pm.math.sqrt(slab * wide / (slab + wide))
        pm.Normal("y", pm.math.dot(x, slope), noise, observed=y)
    return model


def moons():
    return binary_classifier(datasets.moons(n_samples=200).train)


MODELS = {
    "eight schools, centred": lambda: eight_schools(True),
    "eight schools": lambda: eight_schools(False),
    "funnel": funnel,
    "mixture": mixture,
    "Gaussian process": gaussian_process,
    "ordinal": ordinal,
    "horseshoe": horseshoe,
    "moons": moons,
    "regression network": lambda: regression_nuts.model_of(datasets.sinusoid()),
}
CURVE_AT = np.linspace(-1.5, 1.5, 7)[:, None]
# The network has no biases: at the origin it says 1/2 with any weights, and at -x what it says at x, turned round.
GRID = np.stack(np.meshgrid(np.linspace(-2, 2, 8), np.linspace(0.25, 2, 4)), axis=-1).reshape(-1, 2)
METHODS = [f"{model}; {sampler}" for model in ("calibration", *MODELS) for sampler in SAMPLERS]


def dataset(values):
    return xr.Dataset({"x": (("chain", "draw", "entry"), values)})


def moments(values):
    """Mean and standard deviation of each entry (entries,), each with its standard error: two arrays (2, entries)."""

    def error(of):
        return of.std(axis=(0, 1)) / np.sqrt(az.ess(dataset(of), method="mean")["x"].values)

    mean, scale = values.mean(axis=(0, 1)), values.std(axis=(0, 1))
    scale_se = error((values - mean) ** 2) / (2 * scale)
    return np.stack([mean, error(values)]), np.stack([scale, scale_se])


def of_moons(posterior, draws):
    found = posterior.predict(GRID, draws)
    return found[..., 1] if found.ndim == 3 else found


def of_regression(_, draws):
    return np.concatenate([regression_nuts.curves(draws, CURVE_AT), draws["noise"].reshape(-1, 1)], axis=1)


def of_values(posterior, draws):
    return np.concatenate([a.reshape(len(a), -1) for a in unconstrained(posterior.model, draws).values()], axis=1)


def of_interest(name, posterior, draws, chains):
    """What is compared, (chains, draws, entries): predictions of a network, and unconstrained values otherwise."""
    found = {"moons": of_moons, "regression network": of_regression}.get(name, of_values)(posterior, draws)
    return np.asarray(found, dtype=float).reshape(chains, -1, found.shape[-1])


@cache
def model_of(name):
    return MODELS[name]()


@cache
def reference(tiny, name, seed):
    """Moments as NUTS finds them, and its largest R-hat; those of the funnel's logarithm of a variance are known."""
    if name == "funnel":
        return (np.array([[0.0], [0.0]]), np.array([[3.0], [0.0]])), np.nan
    own = TINY_NUTS if tiny else NUTS
    with model_of(name):
        found = pm.sample(**own, cores=1, random_seed=seed, progressbar=False, compute_convergence_checks=False)
    posterior = SampledPosterior(found, model_of(name))
    values = of_interest(name, posterior, posterior.draws, own["chains"])
    return moments(values), float(az.rhat(dataset(values))["x"].max())


def sampled(tiny, model, sampler, seed):
    own = TINY if tiny else SAMPLERS[sampler] | {"chains": CHAINS}
    return sample(model, sampler=sampler, seed=seed, progressbar=False, **own)


def compared(tiny, name, sampler, seed):
    posterior = sampled(tiny, model_of(name), sampler, seed)
    every = {n: a.values.reshape(-1, *a.shape[2:]) for n, a in posterior.to_arviz()["posterior"].data_vars.items()}
    ours = of_interest(name, posterior, {n: every[n] for n in posterior.variables}, len(posterior.chains))
    ours = ours[..., :1] if name == "funnel" else ours
    data, health = dataset(ours), posterior.health()
    theirs, r_hat = reference(tiny, name, seed)
    gaps = [
        float(np.abs((a[0] - b[0]) / np.hypot(a[1], b[1])).max()) for a, b in zip(moments(ours), theirs, strict=True)
    ]
    return {
        "r_hat": float(az.rhat(data)["x"].max()),
        "ess": float(az.ess(data)["x"].min()),
        "ess_tail": float(az.ess(data, method="tail")["x"].min()),
        "gradients": float(posterior.stats["n_steps"][:, 0].sum() * len(posterior.chains)),
        "seconds": posterior.record.seconds,
        "divergences": float(health.divergences.sum()),
        "mean, standard errors": gaps[0],
        "scale, standard errors": gaps[1],
        "entries": float(ours.shape[-1]),
    } | ({} if np.isnan(r_hat) else {"r_hat of NUTS": r_hat})


def calibration(tiny, sampler, seed):
    """Rank the truths of data sets that are independent given the model, and so are sampled in one call."""
    rng = np.random.default_rng(seed)
    truth = {"mean": rng.normal(size=SETS), "scale": np.abs(rng.normal(size=SETS))}
    y = truth["mean"] + truth["scale"] * rng.normal(size=(5, SETS))
    with pm.Model() as model:
        mean, scale = pm.Normal("mean", shape=SETS), pm.HalfNormal("scale", shape=SETS)
        pm.Normal("y", mean, scale, observed=y)
    posterior = sampled(tiny, model, sampler, seed)
    count = 79 if tiny else 999  # so that there are as many ranks in each bin
    draws, found = posterior.draw(count, seed=0), {"r_hat": posterior.diagnose()["r_hat"].max()}
    for name, true in truth.items():
        counts = np.histogram((draws[name] < true).sum(axis=0), bins=20, range=(0, count + 1))[0]
        found[f"p, {name}"] = stats.chisquare(counts).pvalue
    return found


def run(tiny, method, seed):
    name, sampler = method.split("; ")
    return calibration(tiny, sampler, seed) if name == "calibration" else compared(tiny, name, sampler, seed)


def main():
    given = runs.parser(__doc__, "samplers", tiny="a few steps of a few chains, to see that it runs").parse_args()
    runs.begin(given, "samplers")
    runs.complete(given, METHODS, partial(run, given.tiny))
    if given.tiny:
        return
    settings = {"chains": CHAINS, "samplers": SAMPLERS, "NUTS": NUTS, "data sets": SETS}
    runs.collect(given, METHODS, "samplers", {"script": "studies/samplers.py", "settings": settings})


if __name__ == "__main__":
    main()
