"""The bound holds where its promise can be simulated, and is the closed form where there is one."""

import numpy as np
import pytest

from companion.errors import ModelError
from companion.uncertainty import certificate


def test_without_errors_it_is_the_closed_form():
    # kl(0 || p) = -log(1 - p); all draws agree, and there are so many that they cost nothing
    n, divergence, delta = 1000, 20.0, 0.1
    nats = (divergence + np.log(4 * np.sqrt(n) / delta)) / n
    found = certificate(divergence, np.zeros(10**7), n, delta=delta)
    assert found == pytest.approx(1 - np.exp(-nats), abs=1e-5)


def test_it_grows_with_errors_and_divergence_and_shrinks_with_rows_and_draws():
    base = certificate(100.0, np.full(1000, 0.1), 5000)
    assert 0.1 < base < 1
    assert certificate(100.0, np.full(1000, 0.12), 5000) > base
    assert certificate(200.0, np.full(1000, 0.1), 5000) > base
    assert certificate(100.0, np.full(1000, 0.1), 10_000) < base
    assert certificate(100.0, np.full(4000, 0.1), 5000) < base
    assert certificate(1e9, np.full(10, 0.5), 100) == pytest.approx(1)
    assert certificate(0.0, [1.0], 100) == 1


def test_its_promise_holds_for_a_posterior_whose_error_is_known():
    """Two rules, one of which errs on 30 % of all rows: choosing by the training rows costs what the bound says."""
    rng, rows, true, failed = np.random.default_rng(0), 60, np.array([0.3, 0.5]), 0
    for _ in range(400):
        seen = (rng.random((rows, 2)) < true).mean(0)
        q = np.exp(-rows * seen) / np.exp(-rows * seen).sum()
        divergence = float((q * np.log(2 * q)).sum())
        chosen = rng.choice(2, size=200, p=q)
        failed += certificate(divergence, seen[chosen], rows, delta=0.1) < q @ true
    assert failed <= 0.1 * 400  # the bound is loose: far fewer fail
    # and it is not empty: it stays under the error of guessing when there are more rows
    assert certificate(np.log(2), np.full(1000, 0.3), 2000, delta=0.1) < 0.42


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"divergence": -1.0}, "0 or more"),
        ({"divergence": float("nan")}, "0 or more"),
        ({"divergence": "a"}, r"divergence has the dtype <U1 \('a'\); expected one number of nats, 0 or more"),
        ({"divergence": np.ones(2)}, "expected one number of nats"),
        ({"divergence": (3.0, 0.1)}, "expected one number of nats"),
        ({"errors": ["x"]}, r"errors has the dtype <U1 \(\['x'\]\); expected shares"),
        ({"errors": [[0.1], [0.1, 0.2]]}, "errors can't become an array .*; expected shares"),
        ({"delta": "a"}, "delta='a'; expected a share between 0 and 1"),
        ({"errors": [0.2, 1.2]}, "between 0 and 1"),
        ({"errors": []}, "between 0 and 1"),
        ({"errors": [[0.1], [0.2]]}, "shape"),
        ({"errors": [np.nan]}, "between 0 and 1"),
        ({"delta": 0.0}, "probability"),
        ({"rows": 0}, "rows=0"),
    ],
)
def test_bad_input_is_named(wrong, words):
    good = {"divergence": 1.0, "errors": [0.1, 0.2], "rows": 100, "delta": 0.05} | wrong
    with pytest.raises(ModelError, match=words):
        certificate(good["divergence"], good["errors"], good["rows"], delta=good["delta"])
