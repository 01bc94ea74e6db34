"""What a chapter prints and nbval compares comes from random numbers with a seed."""

import nbformat
import pytest

from tools.contents import chapters, notebook_of
from tools.notebooks import read
from tools.notebooks.seeds import unseeded_calls


@pytest.mark.parametrize("page", chapters())
def test_every_compared_output_has_a_seed(page):
    assert list(unseeded_calls(read(notebook_of(page)))) == []


def found(code, tags=()):
    cell = nbformat.v4.new_code_cell(code, metadata={"tags": list(tags)})
    return [call for _, call in unseeded_calls(nbformat.v4.new_notebook(cells=[cell]))]


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("with model:\n    inference = pm.ADVI()", "pm.ADVI()"),
        ("approx = pm.fit(300, method=pm.FullRankADVI())", "pm.FullRankADVI()"),
        ("approx = pm.fit(300, method='advi')", "pm.fit(300, method='advi')"),
        ("pm.fit(300)", "pm.fit(300)"),
        ("x, y = pm.draw([a, b], draws=3)", "pm.draw([a, b], draws=3)"),
        ("with model:\n    pm.sample_prior_predictive()", "pm.sample_prior_predictive()"),
        ("rng = np.random.default_rng()", "np.random.default_rng()"),
    ],
)
def test_a_call_without_a_seed_is_found(code, call):
    assert found(code) == [call]
    assert found(code, tags=["nbval-ignore-output"]) == []


@pytest.mark.parametrize(
    "code",
    [
        "inference = pm.ADVI(random_seed=SEED)\napprox = pm.fit(200, method=inference)",
        "pm.fit(200, method='advi', random_seed=SEED)",
        "pm.draw(a, random_seed=SEED)",
        "rng = np.random.default_rng(SEED)",
        "pm.set_data({'x': x})\nfit(model, 300)",
        "%%bash\npm.fit(300)",
    ],
)
def test_a_call_with_a_seed_is_let_through(code):
    assert found(code) == []
