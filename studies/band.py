"""Fit the sinusoid's network many times, side by side: what the band of the regression is worth.

`python studies/band.py` takes some minutes on one core and writes companion/shelf/files/band.npz, of which the chapter
`book/bayes_by_backprop/band` makes its tables. Parts can be run one by one: "settings" fits the post's data by its
settings and by gentler ones, "noise" holds the noise fixed at nine values, "points" adds data, "sines" fits twenty data
sets of one sine, and "prior" three hundred data sets whose true curves are drawn from the prior; "exercises" is
the fits of its exercises.

A fit here is Bayes by Backprop as `companion.bayes_by_backprop.fit` does it, written for many data sets in one batch of
matrices. "check" compares the two on one data set.
"""

import argparse
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pymc as pm
import runs
import torch
from scipy import stats
from torch.nn.functional import softplus

from companion import book, datasets, inference, shelf, uncertainty
from companion.bayes_by_backprop import Regression, fit, to_bayesian
from companion.bridge import bayesian
from companion.inference import Start
from companion.networks import dense
from companion.priors import Gaussian, TrainedLocation
from companion.variational import FullRank, LowRank

GRID = np.linspace(-1.5, 1.5, 151, dtype=np.float32)[:, None]
TRUTH = datasets.sinusoid_truth(GRID[:, 0])
INSIDE = np.abs(GRID[:, 0]) <= 0.5
ENDS = [0, -1]
DRAWS = 500
SINES, TRUTHS = 20, 300
FITS, WAVES = 16, 3  # fits of the last layer alone; starts that follow the wave
NOISES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
POINTS = (32, 320, 3200)
HALF_LOG_2PI = float(np.log(2 * np.pi) / 2)


@dataclass(frozen=True)
class How:
    """Settings of fits that run side by side."""

    prior: str = "normal"  # or "trained means", "trained mixture", "mixture"
    steps: int = 1500
    rate: float = 0.03
    schedule: str = "cosine"  # or "constant"
    estimator: str = "local"  # or "reparameterisation": one draw for all rows
    start_scale: float = 0.02
    zero_means: bool = False  # means start at 0, as in the post's library, and not at a network's usual weights
    sampled: bool = False  # divergence from the draw, as in the post's library, and not in closed form
    last_layer: bool = False


GENTLE = How()
POST = How(schedule="constant", estimator="reparameterisation", start_scale=1.0)
MIXTURE = (0.2, 1.0, 0.1)  # the post's share of the wide component, and its two widths


def start_of(seeds):
    """Weights of torch's own start, with one network for each seed: a list of (fits, ins, outs) and (fits, 1, outs)."""
    each = [[p.detach() for p in dense(1, 20, 20, 1, seed=seed).parameters()] for seed in seeds]
    stacked = [torch.stack(own) for own in zip(*each, strict=True)]
    return [p.swapaxes(1, 2).contiguous() if p.dim() == 3 else p[:, None] for p in stacked]


@dataclass
class Fits:
    """Mean-field posteriors of many data sets; every tensor's first dimension counts fits."""

    how: How
    means: list
    noise: torch.Tensor | None  # known standard deviations (fits, 1), or None where they are learned
    rhos: list = field(default_factory=list)
    own: list = field(default_factory=list)  # what the prior trains
    log_noise: list = field(default_factory=list)

    def __post_init__(self):
        rho = float(np.log(np.expm1(self.how.start_scale)))
        count = len(self.means[0])
        self.means = [m.clone().mul_(0.0 if self.how.zero_means else 1.0).requires_grad_() for m in self.means]
        self.rhos = [torch.full_like(m, rho).requires_grad_() for m in self.means]
        if self.how.prior == "trained means":
            self.own = [torch.zeros_like(m).requires_grad_() for m in self.means]
        elif self.how.prior == "trained mixture":
            raw = [float(np.log(MIXTURE[0] / (1 - MIXTURE[0]))), *np.log(np.expm1(MIXTURE[1:]))]
            self.own = [torch.full((count, 1), r).requires_grad_() for r in raw]
        if self.noise is None:
            at = float(np.log(stats.halfnorm.median()))
            self.log_noise = [torch.full((count, 1), v).requires_grad_() for v in (at, rho)]

    @property
    def bayesian(self):
        """Which of the six tensors have a posterior."""
        return range(4, 6) if self.how.last_layer else range(6)

    def parameters(self):
        return [*self.means, *(self.rhos[k] for k in self.bayesian), *self.own, *self.log_noise]

    def weights(self):
        """One draw of all weights."""
        drawn = list(self.means)
        for k in self.bayesian:
            drawn[k] = self.means[k] + softplus(self.rhos[k]) * torch.randn_like(self.means[k])
        return drawn

    def curve(self, x, weights):
        """Outputs (fits, points) of drawn weights, or by local reparameterisation where there are none."""
        h = x.expand(len(self.means[0]), *x.shape)
        for k in (0, 2, 4):
            if weights is not None or k not in self.bayesian:
                w, b = (weights or self.means)[k : k + 2]
                h = torch.baddbmm(b, h, w)
            else:
                squares = [softplus(r).square() for r in self.rhos[k : k + 2]]
                mean = torch.baddbmm(self.means[k + 1], h, self.means[k])
                h = mean + torch.baddbmm(squares[1], h.square(), squares[0]).sqrt() * torch.randn_like(mean)
            h = h.relu() if k < 4 else h
        return h[..., 0]

    def divergence(self, weights):
        """KL divergence of each fit's weights (fits,), in closed form where there is one and none is to be sampled."""
        total = torch.zeros(len(self.means[0]))
        for k in self.bayesian:
            mean, scale = self.means[k], softplus(self.rhos[k])
            center = self.own[k] if self.how.prior == "trained means" else torch.zeros(())
            if "mixture" in self.how.prior or self.how.sampled:
                w = weights[k]
                of_q = -scale.log() - ((w - mean) / scale).square() / 2
                of_p = self._mixture(w) if "mixture" in self.how.prior else -(w - center).square() / 2
                kl = of_q - of_p
            else:
                kl = -scale.log() + (scale.square() + (mean - center).square()) / 2 - 0.5
            total = total + kl.flatten(1).sum(1)
        return total

    def _mixture(self, w):
        """Log density of the mixture, without the constant that the normals share."""
        if self.own:
            share, (wide, narrow) = self.own[0].sigmoid(), (softplus(o) for o in self.own[1:])
        else:
            share, wide, narrow = (torch.full((len(w), 1), v) for v in MIXTURE)
        share, wide, narrow = share[..., None], wide[..., None], narrow[..., None]
        of_wide = share.log() - wide.log() - (w / wide).square() / 2
        return torch.logaddexp(of_wide, (1 - share).log() - narrow.log() - (w / narrow).square() / 2)

    def noises(self):
        """A draw of the noise (fits, 1), and its part of the divergence (fits,)."""
        if self.noise is not None:
            return self.noise, torch.zeros(len(self.means[0]))
        mean, scale = self.log_noise[0], softplus(self.log_noise[1])
        drawn = mean + scale * torch.randn_like(mean)
        of_q = -scale.log() - ((drawn - mean) / scale).square() / 2 - HALF_LOG_2PI
        of_p = np.log(2.0) - HALF_LOG_2PI - drawn.exp().square() / 2 + drawn
        return drawn.exp(), (of_q - of_p)[:, 0]

    def terms(self, x, y, *, local):
        """The two costs of each fit (fits,), complexity and likelihood, from one draw."""
        needed = not local or self.how.sampled or "mixture" in self.how.prior
        weights = self.weights() if needed else None
        noise, kl = self.noises()
        mean = self.curve(x, None if local else weights)
        misfit = ((y - mean) / noise).square() / 2 + noise.log() + HALF_LOG_2PI
        return self.divergence(weights) + kl, misfit.sum(1)

    def bound(self, x, y, draws=200):
        """Complexity and likelihood cost (2, fits), averaged over draws."""
        with torch.no_grad():
            return torch.stack([torch.stack(self.terms(x, y, local=False)) for _ in range(draws)]).mean(0).numpy()

    def draws(self, x, count=DRAWS):
        """Curves (draws, fits, points) and noises (draws, fits)."""
        with torch.no_grad():
            found = [(self.curve(x, self.weights()), self.noises()[0][:, 0]) for _ in range(count)]
        return tuple(torch.stack(part).numpy() for part in zip(*found, strict=True))


def fit_many(how, y, *, x=None, noise=None, seeds=None, seed=0, means=None):
    """Fit rows of measurements (fits, points) at the inputs (points, 1)."""
    torch.manual_seed(seed)
    x = torch.tensor(datasets.sinusoid(y.shape[1]).x) if x is None else x
    y = torch.tensor(y, dtype=torch.float32)
    known = None if noise is None else torch.as_tensor(noise, dtype=torch.float32).expand(len(y))[:, None]
    fits = Fits(how, means or start_of(range(len(y)) if seeds is None else seeds), known)
    adam = torch.optim.Adam(fits.parameters(), lr=how.rate, fused=True)
    shrink = None
    if how.schedule == "cosine":
        shrink = torch.optim.lr_scheduler.CosineAnnealingLR(adam, how.steps)
    for _ in range(how.steps):
        adam.zero_grad()
        sum(fits.terms(x, y, local=how.estimator == "local")).sum().backward()
        adam.step()
        if shrink is not None:
            shrink.step()
    return fits, x, y


def held(low, high, truth, noise):
    """Share of normal measurements around a true curve that a band holds."""
    return uncertainty.Interval(low, high).expected_coverage(truth, noise)


def judged(fits, x, y, truths, noises):
    """Scores of each fit: a mapping to arrays (fits,)."""
    complexity, misfit = fits.bound(x, y)
    means, drawn = fits.draws(torch.tensor(GRID))
    rows = []
    for k, (truth, noise) in enumerate(zip(truths, noises, strict=True)):
        own, tau = means[:, k], drawn[:, k, None]
        measured = uncertainty.interval(uncertainty.sample_measurements(own, tau, k))
        curve, sigma = uncertainty.interval(own), uncertainty.sigma_interval(own, 2)
        spread, error = own.std(axis=0), own.mean(axis=0) - truth
        within = (curve.low <= truth) & (truth <= curve.high)
        rows.append(
            {
                "noise": tau.mean(),
                "error inside": np.sqrt(np.mean(error[INSIDE] ** 2)),
                "epistemic inside": spread[INSIDE].mean(),
                "epistemic at the ends": spread[ENDS].mean(),
                "measurements held": held(measured.low[INSIDE], measured.high[INSIDE], truth[INSIDE], noise),
                "curve held": within[INSIDE].mean(),
                "curve held at 0.25": within[np.argmin(np.abs(GRID[:, 0] - 0.25))],
                "curve held at the ends": within[ENDS].mean(),
                "curve held by two sigma": ((sigma.low <= truth) & (truth <= sigma.high))[INSIDE].mean(),
            }
        )
    found = {key: np.array([row[key] for row in rows], dtype=np.float32) for key in rows[0]}
    return found | {"complexity": complexity.astype(np.float32), "likelihood cost": misfit.astype(np.float32)}


def check():
    """Bound, noise and spread of one fit: here, and by the companion."""
    data, found = datasets.sinusoid(), {}
    ways = {"normal": (Gaussian(1.0), None), "trained means": (TrainedLocation(), None)}
    ways["last layer"] = Gaussian(1.0), ["4"]
    for name, (prior, layers) in ways.items():
        how = replace(GENTLE, prior=name) if layers is None else replace(GENTLE, last_layer=True)
        fits, x, y = fit_many(how, np.tile(data.y, (5, 1)))
        here = judged(fits, x, y, np.tile(TRUTH, (5, 1)), np.ones(5))
        model = Regression(to_bayesian(dense(1, 20, 20, 1), prior, layers))
        p = fit(
            model, data, 1500, learning_rate=0.03, estimator="local", start=Start(scale=0.02), elbo_draws=100,
            machine="cpu", progressbar=False,
        )  # fmt: skip
        draws = p.draw(DRAWS, 0)
        spread = p.predict(GRID, draws).std(axis=0)
        bounds = here["complexity"] + here["likelihood cost"]
        found[f"check, {name}"] = np.array(
            [
                [*bounds, -p.record.elbo],
                [*here["noise"], draws["noise"].mean()],
                [*here["epistemic inside"], spread[INSIDE].mean()],
                [*here["epistemic at the ends"], spread[ENDS].mean()],
            ],
            dtype=np.float32,
        )
        print(name, np.round(found[f"check, {name}"], 2), flush=True)
    for name, seeds in {"one start": [0] * FITS, "its own start": range(FITS)}.items():
        how = replace(GENTLE, last_layer=True)
        fits, x, y = fit_many(how, np.tile(data.y, (FITS, 1)), seeds=seeds, seed=1)
        here = judged(fits, x, y, np.tile(TRUTH, (FITS, 1)), np.ones(FITS))
        found[f"check, last layer, {name}"] = np.array([here["complexity"] + here["likelihood cost"], here["noise"]])
        print(name, np.round(found[f"check, last layer, {name}"], 2), flush=True)
    return found


def settings():
    """The post's data: its settings and gentler ones, four priors, five seeds; then one change at a time."""
    ways = {"trained means, to the letter": replace(POST, prior="trained means", zero_means=True, sampled=True)}
    for prior in ("trained means", "trained mixture", "mixture", "normal"):
        ways[f"{prior}, post"] = replace(POST, prior=prior)
        ways[f"{prior}, gentle"] = replace(GENTLE, prior=prior, steps=3000)
    means = ways["trained means, post"]
    ways["trained means, narrow start"] = replace(means, start_scale=0.02)
    ways["trained means, cosine"] = replace(means, schedule="cosine")
    ways["trained means, local"] = replace(means, estimator="local")
    ways["trained means, 3,000 steps"] = replace(means, steps=3000)
    y, found = np.tile(datasets.sinusoid().y, (5, 1)), {}
    for name, how in ways.items():
        fits, x, rows = fit_many(how, y, noise=1.0)
        scores = judged(fits, x, rows, np.tile(TRUTH, (5, 1)), np.ones(5))
        found |= {f"settings, {name}, {key}": a for key, a in scores.items()}
        wider = scores["epistemic at the ends"] / scores["epistemic inside"]
        print(f"{name}: error {scores['error inside']}, wider {wider}", flush=True)
    return found


def noise():
    """The best bound against the noise, held fixed: complexity and likelihood cost (noises, starts)."""
    data = datasets.sinusoid()
    trained, _, _ = fit_many(replace(GENTLE, steps=3000), np.tile(data.y, (WAVES, 1)), noise=0.5)
    usual = start_of((0, 1))
    starts = [torch.cat([u, t.detach()]) for u, t in zip(usual, trained.means, strict=True)]
    n = len(starts[0])
    means = [s.repeat(len(NOISES), *([1] * (s.dim() - 1))) for s in starts]
    each = np.repeat(NOISES, n)
    fits, x, y = fit_many(replace(GENTLE, steps=20_000), np.tile(data.y, (len(each), 1)), noise=each, means=means)
    scores = judged(fits, x, y, np.tile(TRUTH, (len(each), 1)), np.ones(len(each)))
    bound = (scores["complexity"] + scores["likelihood cost"]).reshape(-1, n)
    print("free energy:", np.round(bound, 1), flush=True)
    return {"noises": np.array(NOISES)} | {f"noise, {key}": a.reshape(-1, n) for key, a in scores.items()}


def points():
    """Spread of the curves for 32, 320 and 3,200 points, three seeds."""
    found = {}
    for n in POINTS:
        data = datasets.sinusoid(n)
        for name, known in (("known", 1.0), ("learned", None)):
            fits, *_ = fit_many(replace(GENTLE, steps=2000), np.tile(data.y, (3, 1)), noise=known)
            means, drawn = fits.draws(torch.tensor(GRID))
            found[f"points, {n}, {name}"] = means.std(axis=0).astype(np.float32)  # (seeds, points)
            found[f"points, {n}, {name}, noise"] = drawn.mean(axis=0).astype(np.float32)
            spread = means.std(axis=0)
            print(n, name, spread[:, INSIDE].mean(1), spread[:, ENDS].mean(1), drawn.mean(axis=0), flush=True)
    return found


WAYS = {
    "noise known": (GENTLE, True),
    "noise learned": (GENTLE, False),
    "trained means": (replace(GENTLE, prior="trained means"), False),
    "last layer": (replace(GENTLE, last_layer=True), False),
}


def sines():
    """Twenty data sets of the sine."""
    sets = [datasets.sinusoid(seed=seed) for seed in range(SINES)]
    y = np.stack([data.y for data in sets])
    found = {"sines, realised noise": np.std(y - datasets.sinusoid_truth(sets[0].x[:, 0]), axis=1).astype(np.float32)}
    for name, (how, known) in WAYS.items():
        fits, x, rows = fit_many(how, y, noise=1.0 if known else None)
        scores = judged(fits, x, rows, np.tile(TRUTH, (SINES, 1)), np.ones(SINES))
        found |= {f"sines, {name}, {key}": a for key, a in scores.items()}
        print(f"{name}: {scores['measurements held'].mean():.3f}", np.round(scores["noise"], 2), flush=True)
    return found


def prior():
    """Data sets whose true curves and noises are draws from the prior."""
    rng = np.random.default_rng(0)
    shapes = [(1, 20), (1, 20), (20, 20), (1, 20), (20, 1), (1, 1)]
    drawn = [torch.tensor(rng.normal(size=(TRUTHS, *shape)), dtype=torch.float32) for shape in shapes]
    true = Fits(GENTLE, drawn, torch.ones(TRUTHS, 1))
    x = torch.tensor(datasets.sinusoid().x)
    with torch.no_grad():
        at, truths = true.curve(x, drawn).numpy(), true.curve(torch.tensor(GRID), drawn).numpy()
    noises = np.abs(rng.normal(size=TRUTHS))
    y = at + noises[:, None] * rng.normal(size=at.shape)
    found = {"prior, true noise": noises.astype(np.float32), "prior, curves": truths[:40].astype(np.float32)}
    found["prior, spread"] = truths.std(axis=0).astype(np.float32)
    found["prior, range inside"] = np.ptp(truths[:, INSIDE], axis=1).astype(np.float32)
    for name in ("noise known", "noise learned", "last layer"):
        how, known = WAYS[name]
        fits, x, rows = fit_many(how, y, noise=noises if known else None)
        scores = judged(fits, x, rows, truths, noises)
        found |= {f"prior, {name}, {key}": a for key, a in scores.items()}
        shown = {k: round(float(a.mean()), 3) for k, a in scores.items() if "held" in k}
        print(f"{name}: {shown}; noise {scores['noise'].mean():.2f} of {noises.mean():.2f}", flush=True)
    return found


def exercises():
    """The fits of the chapter's exercises: trained means under three scales, and two families with correlations."""
    data, found = datasets.sinusoid(), {}
    for scale in (1, 0.3, 0.1):
        model = Regression(to_bayesian(dense(1, 20, 20, 1), TrainedLocation(float(scale))), noise="learned")
        p = fit(
            model, data, 1500, learning_rate=0.03, schedule="cosine", estimator="local", start=Start(scale=0.02),
            elbo_draws=20, seed=0, machine="cpu", progressbar=False,
        )  # fmt: skip
        draws = p.draw(DRAWS, 0)
        spread = p.predict(GRID, draws).std(axis=0)
        wider = spread[ENDS].mean() / spread[INSIDE].mean()
        found[f"exercises, scale {scale}"] = np.array([-p.record.elbo, draws["noise"].mean(), wider])
    with pm.Model() as correlated:
        inputs, noise = pm.Data("x", data.x), pm.HalfNormal("noise", 1.0)
        output = bayesian(dense(1, 20, 20, 1), Gaussian(1.0), inputs)
        pm.Normal("y", output[:, 0], noise, observed=data.y)
    for name, family in {"low rank": LowRank(20), "full rank": FullRank()}.items():
        p = inference.fit(
            correlated, steps=2000, family=family, learning_rate=0.01, schedule="cosine", progressbar=False
        )
        found[f"exercises, {name}"] = np.array([-p.record.elbo, p.draw(DRAWS, 0)["noise"].mean()])
    print({name: np.round(a, 2) for name, a in found.items()}, flush=True)
    return found


PARTS = {
    "exercises": exercises,
    "check": check,
    "noise": noise,
    "sines": sines,
    "prior": prior,
    "points": points,
    "settings": settings,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=list(PARTS))
    book.setup()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    path = shelf.FILES / "band.npz"
    arrays, said = runs.parts(path.stem)
    arrays = {"grid": GRID[:, 0]} | arrays
    for part in parser.parse_args().parts:
        begun = time.process_time()
        arrays = {k: a for k, a in arrays.items() if not k.startswith(f"{part},")} | PARTS[part]()
        said = said | {part: {"CPU seconds": round(time.process_time() - begun)}}
        print(part, said[part], flush=True)
        about = {"script": "studies/band.py", "parts": said, "seeds": list(range(5)), "draws": DRAWS}
        about |= {"gentle": runs.described(vars(GENTLE)), "post": runs.described(vars(POST))}
        shelf.write_result(path, arrays, about)


if __name__ == "__main__":
    main()
