"""What differs between the generations of ArviZ gives the same answers in each."""

import numpy as np
import pytest
from scipy import stats

from companion import compat
from companion.errors import ModelError


def mean_of_a_normal(draws):
    """Draw the posterior of a mean whose prior is N(0, 3), from 12 rows with noise 1: rows, and a container."""
    rng = np.random.default_rng(0)
    rows = rng.normal(1.0, 1.0, 12)
    precision = 1 / 9 + len(rows)
    theta = rng.normal(rows.sum() / precision, precision**-0.5, (4, draws))
    return rows, compat.from_dict({"theta": theta}, log_likelihood={"y": stats.norm.logpdf(rows, theta[..., None])})


def test_rows_left_out_are_predicted_as_by_the_formula():
    rows, container = mean_of_a_normal(5000)
    left_out, k_hat = compat.leave_one_out(container)
    precision = 1 / 9 + len(rows) - 1
    exact = stats.norm.logpdf(rows, (rows.sum() - rows) / precision, np.sqrt(1 + 1 / precision))
    np.testing.assert_allclose(left_out, exact, atol=0.02)
    assert left_out.shape == k_hat.shape == (12,)
    assert k_hat.max() < 0.7


def test_without_a_log_likelihood_it_says_what_to_do():
    with pytest.raises(ModelError, match="to_arviz"):
        compat.leave_one_out(compat.from_dict({"theta": np.zeros((2, 10))}))
