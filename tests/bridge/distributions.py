"""Every distribution of PyMC, as a prior and as a likelihood: what the table of distributions is made with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

RNG = np.random.default_rng(0)
ROWS = 6
SPD = np.array([[2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0]])
ADJACENT = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]])
GRID = np.linspace(-6, 6, 40)
REALS = RNG.normal(size=ROWS)
POSITIVE = RNG.gamma(2.0, size=ROWS) + 0.2
SHARES = RNG.beta(2, 2, size=ROWS)
COUNTS = np.array([0, 1, 3, 2, 0, 5])
FEW = np.array([0, 1, 2, 3, 1, 2])
ABOVE = POSITIVE + 1.5
LABELS = np.array([0, 2, 1, 1, 0, 2])
SIMPLEX = RNG.dirichlet(np.ones(3), size=ROWS)
PATH = np.cumsum(0.3 * RNG.normal(size=ROWS))
TABLES = RNG.multinomial(5, np.ones(3) / 3, size=ROWS)
VECTORS = RNG.normal(size=(ROWS, 3))


@dataclass(frozen=True)
class Case:
    """A distribution with parameters that a model can have.

    Attributes
    ----------
    make
        Makes the variable, of a free location and a free positive number, and of more keywords.
    observed
        Values that it can be given; ``None`` where it makes no sense as a likelihood.
    shape
        Shape of one variable as a prior.
    """

    make: Callable[..., Any]
    observed: Any = None
    shape: tuple[int, ...] | None = ()


def named(kind: str, *parameters: Any, **more: Any) -> Callable[..., Any]:
    """Make a distribution of parameters, those of them that are functions being functions of the free variables."""

    def make(name: str, m: Any, s: Any, **keywords: Any) -> Any:
        given = [p(m, s) if callable(p) else p for p in parameters]
        named = {k: p(m, s) if callable(p) else p for k, p in more.items()}
        return getattr(pm, kind)(name, *given, **named, **keywords)

    return make


def M(m, s):
    return m


def S(m, s):
    return s


def P(m, s):
    return pm.math.sigmoid(m)


def logits(m, s):
    return pt.stack([m, 0 * m, s])


def probabilities(m, s):
    return pm.math.softmax(logits(m, s))


def walk(kind, **more):
    def make(name, m, s, **keywords):
        return getattr(pm, kind)(
            name, **{k: v(m, s) if callable(v) else v for k, v in more.items()}, **({"steps": ROWS - 1} | keywords)
        )

    return make


def wrapped(kind, *parts, **more):
    """Make a distribution of other distributions."""

    def make(name, m, s, **keywords):
        given = [p(m, s) if callable(p) else p for p in parts]
        return getattr(pm, kind)(name, *given, **{k: v(m, s) if callable(v) else v for k, v in more.items()}, **keywords)

    return make


CASES: dict[str, Case] = {
    "AR": Case(walk("AR", rho=lambda m, s: pt.stack([0.3 * m, 0.1 * s]), sigma=S, init_dist=pm.Normal.dist(0, 1, shape=2)), PATH, None),
    "AsymmetricLaplace": Case(named("AsymmetricLaplace", kappa=S, mu=M, b=1.0), REALS),
    "Bernoulli": Case(named("Bernoulli", logit_p=M), FEW > 1),
    "Beta": Case(named("Beta", S, 2.0), SHARES),
    "BetaBinomial": Case(named("BetaBinomial", S, 2.0, n=5), COUNTS),
    "Binomial": Case(named("Binomial", 5, logit_p=M), COUNTS),
    "CAR": Case(named("CAR", mu=lambda m, s: m * np.ones(4), W=ADJACENT, alpha=0.5, tau=S), RNG.normal(size=4), None),
    "Categorical": Case(named("Categorical", logit_p=logits), LABELS),
    "Cauchy": Case(named("Cauchy", M, S), REALS),
    "Censored": Case(wrapped("Censored", lambda m, s: pm.Normal.dist(m, s), lower=None, upper=1.0), np.minimum(REALS, 1.0)),
    "ChiSquared": Case(named("ChiSquared", S), POSITIVE),
    "CustomDist": Case(lambda name, m, s, **k: pm.CustomDist(name, m, s, logp=lambda v, m, s: -((v - m) / s) ** 2 / 2 - pt.log(s), **k), REALS),
    "DiracDelta": Case(named("DiracDelta", 2), 2 * np.ones(ROWS, int)),
    "Dirichlet": Case(named("Dirichlet", lambda m, s: pt.stack([s, 1 + 0 * s, 2 + 0 * s])), SIMPLEX, None),
    "DirichletMultinomial": Case(named("DirichletMultinomial", n=5, a=lambda m, s: pt.stack([s, 1 + 0 * s, 2 + 0 * s])), TABLES),
    "DiscreteUniform": Case(named("DiscreteUniform", 0, 5), COUNTS),
    "DiscreteWeibull": Case(named("DiscreteWeibull", P, S), COUNTS),
    "EulerMaruyama": Case(lambda name, m, s, **k: pm.EulerMaruyama(name, 0.1, lambda x, m, s: (-m * x, s), (m, s), init_dist=pm.Normal.dist(0, 1), **({"steps": ROWS - 1} | k)), PATH, None),
    "ExGaussian": Case(named("ExGaussian", M, S, nu=1.0), REALS),
    "Exponential": Case(named("Exponential", S), POSITIVE),
    "Flat": Case(named("Flat"), REALS),
    "GARCH11": Case(walk("GARCH11", omega=S, alpha_1=0.2, beta_1=0.3, initial_vol=1.0), PATH, None),
    "Gamma": Case(named("Gamma", S, 1.5), POSITIVE),
    "GaussianRandomWalk": Case(walk("GaussianRandomWalk", mu=M, sigma=S, init_dist=pm.Normal.dist(0, 1)), PATH, None),
    "Geometric": Case(named("Geometric", P), COUNTS + 1),
    "Gumbel": Case(named("Gumbel", M, S), REALS),
    "HalfCauchy": Case(named("HalfCauchy", S), POSITIVE),
    "HalfFlat": Case(named("HalfFlat"), POSITIVE),
    "HalfNormal": Case(named("HalfNormal", S), POSITIVE),
    "HalfStudentT": Case(named("HalfStudentT", 4, S), POSITIVE),
    "HurdleGamma": Case(named("HurdleGamma", P, S, 1.5), np.where(FEW > 1, POSITIVE, 0.0)),
    "HurdleLogNormal": Case(named("HurdleLogNormal", P, M, S), np.where(FEW > 1, POSITIVE, 0.0)),
    "HurdleNegativeBinomial": Case(named("HurdleNegativeBinomial", P, 2.0, S), COUNTS),
    "HurdlePoisson": Case(named("HurdlePoisson", P, S), COUNTS),
    "HyperGeometric": Case(named("HyperGeometric", 20, 8, 5), COUNTS),
    "ICAR": Case(named("ICAR", W=ADJACENT, sigma=S), RNG.normal(size=4), None),
    "Interpolated": Case(named("Interpolated", GRID, np.exp(-GRID**2 / 4)), REALS),
    "InverseGamma": Case(named("InverseGamma", S, 1.5), POSITIVE),
    "KroneckerNormal": Case(named("KroneckerNormal", mu=lambda m, s: m * np.ones(6), covs=[SPD, np.eye(2)], sigma=S), REALS, None),
    "Kumaraswamy": Case(named("Kumaraswamy", S, 2.0), SHARES),
    "LKJCholeskyCov": Case(lambda name, m, s, **k: pm.LKJCholeskyCov(name, n=3, eta=2.0, sd_dist=pm.Exponential.dist(s, size=3), compute_corr=False, **k), None, None),
    "LKJCorr": Case(lambda name, m, s, **k: pm.LKJCorr(name, n=3, eta=2.0, **k), None, None),
    "Laplace": Case(named("Laplace", M, S), REALS),
    "LogNormal": Case(named("LogNormal", M, S), POSITIVE),
    "Logistic": Case(named("Logistic", M, S), REALS),
    "LogitNormal": Case(named("LogitNormal", M, S), SHARES),
    "MatrixNormal": Case(named("MatrixNormal", mu=lambda m, s: m * np.ones((2, 3)), rowcov=np.eye(2), colcov=SPD), VECTORS[:2], None),
    "Mixture": Case(wrapped("Mixture", [0.3, 0.7], lambda m, s: [pm.Normal.dist(m, 1), pm.StudentT.dist(4, 0, sigma=s)]), REALS),
    "Moyal": Case(named("Moyal", M, S), REALS),
    "Multinomial": Case(named("Multinomial", 5, probabilities), TABLES),
    "MvGaussianRandomWalk": Case(walk("MvGaussianRandomWalk", mu=lambda m, s: m * np.ones(3), chol=np.linalg.cholesky(SPD), init_dist=pm.MvNormal.dist(np.zeros(3), np.eye(3))), VECTORS, None),
    "MvNormal": Case(named("MvNormal", lambda m, s: m * np.ones(3), lambda m, s: s * SPD), VECTORS, None),
    "MvStudentT": Case(named("MvStudentT", 4, mu=lambda m, s: m * np.ones(3), scale=lambda m, s: s * SPD), VECTORS, None),
    "MvStudentTRandomWalk": Case(walk("MvStudentTRandomWalk", nu=4, mu=lambda m, s: m * np.ones(3), scale=SPD, init_dist=pm.MvNormal.dist(np.zeros(3), np.eye(3))), VECTORS, None),
    "NegativeBinomial": Case(named("NegativeBinomial", 2.0, S), COUNTS),
    "Normal": Case(named("Normal", M, S), REALS),
    "NormalMixture": Case(named("NormalMixture", w=[0.4, 0.6], mu=lambda m, s: pt.stack([m, -m]), sigma=S), REALS),
    "OrderedLogistic": Case(named("OrderedLogistic", eta=M, cutpoints=[-1.0, 1.0], compute_p=False), LABELS),
    "OrderedMultinomial": Case(named("OrderedMultinomial", eta=M, cutpoints=[-1.0, 1.0], n=5, compute_p=False), TABLES),
    "OrderedProbit": Case(named("OrderedProbit", eta=M, cutpoints=[-1.0, 1.0], compute_p=False), LABELS),
    "Pareto": Case(named("Pareto", S, 1.0), ABOVE),
    "Poisson": Case(named("Poisson", S), COUNTS),
    "PolyaGamma": Case(named("PolyaGamma", 1.0, M), POSITIVE),
    "RandomWalk": Case(lambda name, m, s, **k: pm.RandomWalk(name, innovation_dist=pm.StudentT.dist(4, m, sigma=s), init_dist=pm.Normal.dist(0, 1), **({"steps": ROWS - 1} | k)), PATH, None),
    "Rice": Case(named("Rice", nu=S, sigma=1.0), POSITIVE),
    "SkewNormal": Case(named("SkewNormal", mu=M, sigma=S, alpha=1.5), REALS),
    "SkewStudentT": Case(named("SkewStudentT", a=2.0, b=3.0, mu=M, sigma=S), REALS),
    "StickBreakingWeights": Case(named("StickBreakingWeights", alpha=S, K=3), RNG.dirichlet(np.ones(4), size=ROWS), None),
    "StudentT": Case(named("StudentT", 4, M, sigma=S), REALS),
    "Triangular": Case(named("Triangular", lower=-4.0, c=P, upper=4.0), REALS),
    "Truncated": Case(wrapped("Truncated", lambda m, s: pm.StudentT.dist(4, m, sigma=s), lower=-3.0, upper=4.0), REALS),
    "TruncatedNormal": Case(named("TruncatedNormal", M, S, lower=-4.0, upper=4.0), REALS),
    "Uniform": Case(named("Uniform", -4.0, 4.0), REALS),
    "VonMises": Case(named("VonMises", M, S), REALS),
    "Wald": Case(named("Wald", S, 1.5), POSITIVE),
    "Weibull": Case(named("Weibull", 1.5, S), POSITIVE),
    "Wishart": Case(lambda name, m, s, **k: pm.Wishart(name, nu=5, V=SPD, **k), SPD, None),
    "ZeroInflatedBinomial": Case(named("ZeroInflatedBinomial", P, 5, 0.4), COUNTS),
    "ZeroInflatedNegativeBinomial": Case(named("ZeroInflatedNegativeBinomial", P, 2.0, S), COUNTS),
    "ZeroInflatedPoisson": Case(named("ZeroInflatedPoisson", P, S), COUNTS),
    "ZeroSumNormal": Case(named("ZeroSumNormal", S, shape=4), None, None),
}
