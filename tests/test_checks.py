"""Settings that are plain numbers are made Python's, or refused by name."""

from decimal import Decimal

import numpy as np
import pytest

from companion.checks import fraction, numbers, positive, whole
from companion.errors import DataError, ModelError
from companion.priors import Gaussian, SpikeAndSlab


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(2)])
def test_a_positive_number_becomes_a_float(value):
    assert positive("scale", value) == float(value)
    assert type(positive("scale", value)) is float


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, True, "1", None, 1j, np.ones(1)])
def test_anything_else_is_refused(value):
    with pytest.raises(ModelError, match=r"rate=.*; expected a positive, finite number, such as 0.01."):
        positive("rate", value, "such as 0.01")
    with pytest.raises(ModelError, match=r"scale=.* in Gaussian; expected a positive"):
        Gaussian(value)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5)])
def test_a_share_becomes_a_float(value):
    assert type(fraction("level", value)) is float


@pytest.mark.parametrize("value", [0, 1, -0.5, 95, np.nan, True, "half", None])
def test_what_is_not_a_share_is_refused(value):
    with pytest.raises(ModelError, match=r"level=.*; expected a share between 0 and 1, both excluded, such as 0.95."):
        fraction("level", value, "such as 0.95")
    with pytest.raises(ModelError, match=r"inclusion=.* in SpikeAndSlab; expected a share between 0 and 1"):
        SpikeAndSlab(inclusion=value)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_a_whole_number_becomes_an_int(value):
    assert type(whole("steps", value, 1)) is int


@pytest.mark.parametrize("value", [0, 2.0, True, "3", None, np.float64(3)])
def test_what_is_not_a_whole_number_is_refused(value):
    with pytest.raises(ModelError, match=r"steps=.*; expected a whole number, 1 or more."):
        whole("steps", value, 1)
    with pytest.raises(DataError, match="expected a whole number"):
        whole("n", value, 1, error=DataError)


@pytest.mark.parametrize("given", [1, 0.5, True, [1, 2.5], np.zeros((0, 2)), np.ones(2, dtype=np.float32)])
def test_real_numbers_become_an_array(given):
    np.testing.assert_array_equal(numbers("start", given), given)


def test_numbers_of_any_kind_become_an_array():
    for given in ([Decimal("1.5"), 2], np.array([1.5, 2], dtype=object), [1.5, np.float32(2)]):
        np.testing.assert_array_equal(numbers("start", given), [1.5, 2])
    with pytest.raises(ModelError, match="expected an array of real numbers"):
        numbers("start", [1.5, None])


@pytest.mark.parametrize("given", ["one", ["1"], None, 1j, np.ones(2, dtype=complex), [[1.0], [1.0, 2.0]], {"a": 1}])
def test_what_are_not_real_numbers_is_refused(given):
    with pytest.raises(ModelError, match=r"start .*; expected an array of real numbers\."):
        numbers("start", given)
