"""The table of distributions in the reference says how each does as a prior, as a likelihood and in a prediction.

The stored page is held against PyMC's own log density and its gradient, and against means of PyMC's own draws;
`make pages` writes it.
"""

import sys
import warnings
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import torch
from distributions import CASES, OTHERS, ROWS
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.bridge import Response, torch_log_density
from companion.bridge.graph import a_distribution, kind_of
from companion.errors import ModelError

PAGE = Path(__file__).resolve().parents[2] / "book" / "reference" / "distributions.md"
POINTS = 4
X = np.random.default_rng(1).normal(size=(ROWS, 2))
NEW = np.random.default_rng(2).normal(size=(POINTS, 2))
PLAIN = "FAST_COMPILE"


def parameters(x, m, s):
    """The real and the positive parameter of each row."""
    return m * x[:, 0], s * pm.math.exp(0.2 * x[:, 1])


def prior(title):
    with pm.Model() as model:
        v = CASES[title].make("v", pm.Normal("m"), pm.HalfNormal("s"))
    return model if v.type.numpy_dtype.kind == "f" else None


def likelihood(title):
    case = CASES[title]
    with pm.Model() as model:
        m, s, x = pm.Normal("m"), pm.HalfNormal("s"), pm.Data("x", X)
        case.make("v", *(parameters(x, m, s) if case.rows else (m, s)), observed=case.observed)
    return model


def compared(title, model):
    """Say whether the lowered density and its gradient are PyMC's, at and beside the start.

    It is "refused" if the error names the variable and the distribution, and otherwise whatever the error says.
    """
    start = model.initial_point()
    rng = np.random.default_rng(3)
    points = [{n: a + far * rng.normal(size=a.shape) for n, a in start.items()} for far in (0, 0.3, 0.3)]
    try:
        density = torch_log_density(model)
    except ModelError as error:
        return "refused" if f"log density of 'v', {a_distribution(title)}: " in str(error) else str(error)
    both = torch.vmap(torch.func.grad_and_value(density))
    slopes, values = both(density.tensors({n: np.stack([p[n] for p in points]) for n in start}))
    logp, dlogp = model.compile_logp(mode=PLAIN), model.compile_dlogp(mode=PLAIN)
    expected = np.array([logp(p) for p in points])
    np.testing.assert_allclose(values, expected, rtol=1e-8)
    assert np.isfinite(expected).any()
    for i in np.flatnonzero(np.isfinite(expected)):
        found = np.concatenate([slopes[n][i].numpy().ravel() for n in start])
        np.testing.assert_allclose(found, dlogp(points[i]), rtol=1e-6, atol=1e-8)
    return "yes"


def predicted(title):
    """What a prediction gives, held against the mean of draws from the same distribution."""
    case, model = CASES[title], likelihood(title)
    try:
        response = Response(model, torch.float64, torch.device("cpu"))
    except ModelError as error:
        if kind_of(model["v"]) not in str(error):
            return str(error)
        return "no mean" if "no mean" in str(error) else "no formula"
    values = {"m": np.array(0.7), "s": np.array(0.8)}
    inputs = {name: torch.tensor(NEW) for name in response.inputs}
    found = response({n: torch.tensor(a) for n, a in values.items()}, inputs).numpy()
    with pm.Model() as new:
        given = parameters(NEW, **values) if inputs else values.values()
        variable = case.make("v", *given)
    draws = pm.draw(variable, 4000, random_seed=1, mode=PLAIN).astype(float)
    classes = {"Bernoulli": 2, "Categorical": 3}.get(kind_of(new["v"]))
    if classes:
        draws = np.stack([draws == k for k in range(classes)], axis=-1).astype(float)
    if title == "VonMises":  # a direction, whose draws go round
        found, draws = (np.stack([np.cos(a), np.sin(a)], axis=-1) for a in (found, draws))
        draws /= np.linalg.norm(draws.mean(axis=0), axis=-1, keepdims=True)
    found = found if inputs else found.reshape(draws.shape[1:])
    assert found.shape == draws.shape[1:], title
    error = draws.std(axis=0) / np.sqrt(len(draws))
    np.testing.assert_allclose(found, draws.mean(axis=0), atol=5 * error.max() + 1e-9)
    return "probabilities" if classes else "mean"


@dataclass(frozen=True)
class Found:
    """What was seen of one distribution."""

    prior: str
    likelihood: str
    prediction: str

    def cells(self):
        return [self.prior, self.likelihood, self.prediction]


@cache
def found(title):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        as_prior, as_likelihood = prior(title), likelihood(title)
        observed = compared(title, as_likelihood)
        return Found(
            "discrete" if as_prior is None else compared(title, as_prior),
            observed,
            predicted(title) if observed == "yes" else "",
        )


HEAD = """# Distributions

A PyMC model is lowered to torch term by term: each prior with its transform, and each likelihood. What stands behind
a distribution's density may be anything that PyMC builds, scans, splines and incomplete beta functions among it. Where
something has no counterpart in torch, the error names the distribution, the variable and the operation.

The table is what a test finds for each of PyMC's {count} distributions, with PyMC {pymc}:

- **prior** and **likelihood**: "yes" if the lowered log density and its gradient are those of `model.compile_logp` and
  `model.compile_dlogp`, in float64, at the start and at points beside it. A discrete variable can't be inferred by a
  gradient; sum it out, for example with `pm.Mixture`.
- **prediction**: what `predict` gives for a model with this likelihood, for each draw and point. Probabilities are
  those of each class. A mean is held against draws of PyMC. Where the distribution has no mean, or none that a formula
  gives, `predict` says so; `draw` the variables and compute from them what you need.

A scan becomes a loop over its steps, so that the time of a step of the fit grows with the length of the series. One
that goes on until a condition holds is refused: how far it goes can't depend on the weights.
"""


def rows() -> list[list[str]]:
    return [[f"`{title}`", *found(title).cells()] for title in CASES]


def page() -> str:
    """The page as it should be."""
    heads = ["distribution", "prior", "likelihood", "prediction"]
    table = ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows())]
    version = pm.__version__.split(".")[0]
    return HEAD.format(count=len(CASES), pymc=version) + "\n" + "\n".join(table) + "\n"


def stored() -> dict[str, list[str]]:
    """The table of the stored page: distribution to the other cells."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {title.strip("`"): rest for title, *rest in cells}


# Those that are lowered, or whose mean is taken, by something of ours; and what is refused.
OURS = [
    "ExGaussian", "GARCH11", "HalfCauchy", "Interpolated", "InverseGamma", "LKJCorr", "LogitNormal",
    "Pareto", "PolyaGamma", "SkewStudentT", "StickBreakingWeights", "TruncatedNormal", "Wald",
]  # fmt: skip


@pytest.mark.parametrize("title", OURS)
def test_the_stored_row_is_what_is_found(title):
    assert stored()[title] == found(title).cells(), "run: make pages"


OTHER = [title for title in CASES if title not in OURS]
A_WEEK = 3


def of_week(week: int) -> list[str]:
    """Take some of the other distributions; all of them have had their turn after half a year."""
    return [OTHER[(A_WEEK * week + k) % len(OTHER)] for k in range(A_WEEK)]


THIS_WEEK = (date.today().toordinal() - 1) // 7  # a week begins on a Monday


# Each takes seconds. What failed in another week fails in `make fuzz`, which tries all of them.
@given(st.sampled_from(of_week(THIS_WEEK) if settings.default.derandomize else OTHER))
def test_so_is_any_other(title):
    assert stored()[title] == found(title).cells(), "run: make pages"


def test_each_of_the_others_has_its_week():
    for begun in (THIS_WEEK, 0):
        weeks = range(begun, begun + -(-len(OTHER) // A_WEEK))
        assert {title for week in weeks for title in of_week(week)} == set(OTHER)


def test_only_those_are_refused_that_are_tried_every_time():
    assert {title for title, cells in stored().items() if "refused" in cells} <= set(OURS)


def test_the_page_has_a_row_for_each_of_pymcs_distributions_and_no_other():
    assert list(stored()) == list(CASES)
    assert set(pm.distributions.__all__) - set(CASES) <= OTHERS


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {len(CASES)} distributions")
    sys.exit(0)
