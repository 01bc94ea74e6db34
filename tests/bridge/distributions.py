"""Every distribution of PyMC, as a prior and as a likelihood: what the table of distributions is made with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

RNG = np.random.default_rng(0)
ROWS = 6
SPREAD = np.array([[2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0]])
NEIGHBOURS = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
GRID = np.linspace(-6, 6, 40)
REALS = RNG.normal(size=ROWS)
POSITIVE = RNG.gamma(2.0, size=ROWS) + 0.2
SHARES = RNG.beta(2, 2, size=ROWS)
COUNTS = np.array([0, 1, 3, 2, 0, 5])
LABELS = np.array([0, 2, 1, 1, 0, 2])
GAPPED = np.where(COUNTS > 1, POSITIVE, 0.0)
SIMPLEX = RNG.dirichlet(np.ones(3), size=ROWS)
TABLES = RNG.multinomial(5, np.ones(3) / 3, size=ROWS)
VECTORS = RNG.normal(size=(ROWS, 3))
PATH = np.cumsum(0.3 * RNG.normal(size=ROWS))

Make = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """A distribution with parameters as a model has them.

    Attributes
    ----------
    make
        Function that makes the variable, of its name, a real and a positive parameter, and keywords such as
        ``observed``.
    observed
        Values that it can be given.
    rows
        Whether each row is an observation of its own, whose parameters may be its own as well.
    """

    make: Make
    observed: Any
    rows: bool = True


def of(kind: str, *given: Any, **named: Any) -> Make:
    """Make a distribution by its name; a parameter that is a function is one of the two parameters of the model."""

    def make(name, m, s, **keywords):
        values = [p(m, s) if callable(p) else p for p in given]
        words = {k: p(m, s) if callable(p) else p for k, p in named.items()}
        return getattr(pm, kind)(name, *values, **words, **keywords)

    return make


def walk(kind: str, **named: Any) -> Make:
    """Make a series of `ROWS` steps."""

    def make(name, m, s, **keywords):
        length = {} if "observed" in keywords else {"shape": (ROWS, 3) if kind.startswith("Mv") else ROWS}
        return of(kind, **named)(name, m, s, **length, **keywords)

    return make


def real(m, s):
    return m


def positive(m, s):
    return s


def chance(m, s):
    return pm.math.sigmoid(m)


def three(m, s):
    return pt.stack([m, 0 * m, s], axis=-1)


def chances(m, s):
    return pm.math.softmax(three(m, s), axis=-1)


def weights(m, s):
    return pt.stack([s, 1 + 0 * s, 2 + 0 * s], axis=-1)


def vector(m, s):
    return pt.as_tensor(m)[..., None] * np.ones(3)


def covariance(m, s):
    return pt.as_tensor(s)[..., None, None] * SPREAD


def constant(size):
    return lambda m, s: m * np.ones(size)


def own_density(value, m, s):
    return -(((value - m) / s) ** 2) / 2 - pt.log(s)


def drift(x, m, s):
    return -m * x, s


def normal(m, s):
    return pm.Normal.dist(m, s)


START = pm.Normal.dist(0, 1)
STARTS = pm.MvNormal.dist(np.zeros(3), np.eye(3))

CASES: dict[str, Case] = {
    "AR": Case(
        walk(
            "AR",
            rho=lambda m, s: pt.stack([0.3 * m, 0.1 * s]),
            sigma=positive,
            init_dist=pm.Normal.dist(0, 1, shape=2),
        ),
        PATH,
        rows=False,
    ),
    "AsymmetricLaplace": Case(of("AsymmetricLaplace", kappa=positive, mu=real, b=2.0), REALS),
    "Bernoulli": Case(of("Bernoulli", logit_p=real), LABELS > 1),
    "Beta": Case(of("Beta", positive, 2.0), SHARES),
    "BetaBinomial": Case(of("BetaBinomial", positive, 2.0, n=5), COUNTS),
    "Binomial": Case(of("Binomial", 5, logit_p=real), COUNTS),
    "CAR": Case(of("CAR", mu=constant(4), W=NEIGHBOURS, alpha=0.5, tau=positive), REALS[:4], rows=False),
    "Categorical": Case(of("Categorical", logit_p=three), LABELS),
    "Cauchy": Case(of("Cauchy", real, positive), REALS),
    "Censored": Case(of("Censored", normal, lower=None, upper=1.0), np.minimum(REALS, 1.0)),
    "ChiSquared": Case(of("ChiSquared", positive), POSITIVE),
    "CustomDist": Case(lambda name, m, s, **k: pm.CustomDist(name, m, s, logp=own_density, **k), REALS),
    "DiracDelta": Case(of("DiracDelta", 2), np.full(ROWS, 2)),
    "Dirichlet": Case(of("Dirichlet", weights), SIMPLEX),
    "DirichletMultinomial": Case(of("DirichletMultinomial", n=5, a=weights), TABLES),
    "DiscreteUniform": Case(of("DiscreteUniform", 0, 5), COUNTS),
    "DiscreteWeibull": Case(of("DiscreteWeibull", chance, positive), COUNTS),
    "EulerMaruyama": Case(
        walk("EulerMaruyama", dt=0.1, sde_fn=lambda m, s: drift, sde_pars=lambda m, s: (m, s), init_dist=START),
        PATH,
        rows=False,
    ),
    "ExGaussian": Case(of("ExGaussian", real, positive, nu=1.0), REALS),
    "Exponential": Case(of("Exponential", positive), POSITIVE),
    "Flat": Case(of("Flat"), REALS),
    "GARCH11": Case(walk("GARCH11", omega=positive, alpha_1=0.2, beta_1=0.3, initial_vol=1.0), PATH, rows=False),
    "Gamma": Case(of("Gamma", positive, 1.5), POSITIVE),
    "GaussianRandomWalk": Case(walk("GaussianRandomWalk", mu=real, sigma=positive, init_dist=START), PATH, rows=False),
    "Geometric": Case(of("Geometric", chance), COUNTS + 1),
    "Gumbel": Case(of("Gumbel", real, positive), REALS),
    "HalfCauchy": Case(of("HalfCauchy", positive), POSITIVE),
    "HalfFlat": Case(of("HalfFlat"), POSITIVE),
    "HalfNormal": Case(of("HalfNormal", positive), POSITIVE),
    "HalfStudentT": Case(of("HalfStudentT", 4, positive), POSITIVE),
    "HurdleGamma": Case(of("HurdleGamma", chance, positive, 1.5), GAPPED),
    "HurdleLogNormal": Case(of("HurdleLogNormal", chance, real, positive), GAPPED),
    "HurdleNegativeBinomial": Case(of("HurdleNegativeBinomial", chance, 2.0, positive), COUNTS),
    "HurdlePoisson": Case(of("HurdlePoisson", chance, positive), COUNTS),
    "HyperGeometric": Case(of("HyperGeometric", 20, 8, 5), COUNTS),
    "ICAR": Case(of("ICAR", W=NEIGHBOURS, sigma=positive), REALS[:4], rows=False),
    "Interpolated": Case(of("Interpolated", GRID, np.exp(-(GRID**2) / 4)), REALS),
    "InverseGamma": Case(of("InverseGamma", lambda m, s: 2 + s, 1.5), POSITIVE),
    "KroneckerNormal": Case(
        of("KroneckerNormal", mu=constant(6), covs=[SPREAD, np.eye(2)], sigma=positive), REALS, rows=False
    ),
    "Kumaraswamy": Case(of("Kumaraswamy", positive, 2.0), SHARES),
    "LKJCholeskyCov": Case(
        of("LKJCholeskyCov", n=3, eta=2.0, sd_dist=lambda m, s: pm.Exponential.dist(s, size=3), compute_corr=False),
        np.linalg.cholesky(SPREAD)[np.tril_indices(3)],
        rows=False,
    ),
    "LKJCorr": Case(of("LKJCorr", n=3, eta=2.0), np.array([0.3, -0.2, 0.1]), rows=False),
    "Laplace": Case(of("Laplace", real, positive), REALS),
    "LogNormal": Case(of("LogNormal", real, positive), POSITIVE),
    "Logistic": Case(of("Logistic", real, positive), REALS),
    "LogitNormal": Case(of("LogitNormal", real, positive), SHARES),
    "MatrixNormal": Case(
        of("MatrixNormal", mu=constant((2, 3)), rowcov=np.eye(2), colcov=SPREAD), VECTORS[:2], rows=False
    ),
    "Mixture": Case(
        of("Mixture", [0.3, 0.7], lambda m, s: [pm.Normal.dist(m, 1), pm.StudentT.dist(4, 0, sigma=s)]), REALS
    ),
    "Moyal": Case(of("Moyal", real, positive), REALS),
    "Multinomial": Case(of("Multinomial", 5, chances), TABLES),
    "MvGaussianRandomWalk": Case(
        walk("MvGaussianRandomWalk", mu=constant(3), chol=np.linalg.cholesky(SPREAD), init_dist=STARTS),
        VECTORS,
        rows=False,
    ),
    "MvNormal": Case(of("MvNormal", vector, covariance), VECTORS),
    "MvStudentT": Case(of("MvStudentT", 4, mu=vector, scale=covariance), VECTORS),
    "MvStudentTRandomWalk": Case(
        walk("MvStudentTRandomWalk", nu=4, mu=constant(3), scale=SPREAD, init_dist=STARTS), VECTORS, rows=False
    ),
    "NegativeBinomial": Case(of("NegativeBinomial", positive, 2.0), COUNTS),
    "Normal": Case(of("Normal", real, positive), REALS),
    "NormalMixture": Case(
        of(
            "NormalMixture",
            w=[0.4, 0.6],
            mu=lambda m, s: pt.stack([m, 1 - m], axis=-1),
            sigma=lambda m, s: pt.as_tensor(s)[..., None],
        ),
        REALS,
    ),
    "OrderedLogistic": Case(of("OrderedLogistic", eta=real, cutpoints=[-1.0, 1.0], compute_p=False), LABELS),
    "OrderedMultinomial": Case(of("OrderedMultinomial", eta=real, cutpoints=[-1.0, 1.0], n=5, compute_p=False), TABLES),
    "OrderedProbit": Case(of("OrderedProbit", eta=real, cutpoints=[-1.0, 1.0], compute_p=False), LABELS),
    "Pareto": Case(of("Pareto", lambda m, s: 2 + s, 0.1), POSITIVE),
    "Poisson": Case(of("Poisson", positive), COUNTS),
    "PolyaGamma": Case(of("PolyaGamma", 1.0, real), POSITIVE),
    "RandomWalk": Case(
        walk("RandomWalk", innovation_dist=lambda m, s: pm.StudentT.dist(4, m, sigma=s), init_dist=START),
        PATH,
        rows=False,
    ),
    "Rice": Case(of("Rice", nu=positive, sigma=1.0), POSITIVE),
    "SkewNormal": Case(of("SkewNormal", mu=real, sigma=positive, alpha=1.5), REALS),
    "SkewStudentT": Case(of("SkewStudentT", a=2.0, b=3.0, mu=real, sigma=positive), REALS),
    "StickBreakingWeights": Case(of("StickBreakingWeights", alpha=positive, K=2), SIMPLEX),
    "StudentT": Case(of("StudentT", 4, real, sigma=positive), REALS),
    "Triangular": Case(of("Triangular", lower=-4.0, c=chance, upper=4.0), REALS),
    "Truncated": Case(of("Truncated", lambda m, s: pm.StudentT.dist(4, m, sigma=s), lower=-3.0, upper=4.0), REALS),
    "TruncatedNormal": Case(of("TruncatedNormal", real, positive, lower=-4.0, upper=4.0), REALS),
    "Uniform": Case(of("Uniform", -4.0, lambda m, s: 4.0 + s), REALS),
    "VonMises": Case(of("VonMises", real, positive), REALS),
    "Wald": Case(of("Wald", positive, 1.5, alpha=0.1), POSITIVE),
    "Weibull": Case(of("Weibull", 1.5, positive), POSITIVE),
    "Wishart": Case(of("Wishart", nu=5, V=SPREAD), SPREAD, rows=False),
    "ZeroInflatedBinomial": Case(of("ZeroInflatedBinomial", chance, 5, 0.4), COUNTS),
    "ZeroInflatedNegativeBinomial": Case(of("ZeroInflatedNegativeBinomial", chance, 2.0, positive), COUNTS),
    "ZeroInflatedPoisson": Case(of("ZeroInflatedPoisson", chance, positive), COUNTS),
    "ZeroSumNormal": Case(walk("ZeroSumNormal", sigma=positive), PATH - PATH.mean(), rows=False),
}

# What pymc.distributions offers beside them: bases, other names, and what builds several variables or has no density.
OTHERS = {
    "Continuous", "DensityDist", "Discrete", "Distribution", "Lognormal", "Simulator", "SymbolicRandomVariable",
    "WishartBartlett",
}  # fmt: skip
