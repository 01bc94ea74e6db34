"""Bands of measurements as they are drawn: checked on the artists, not on pixels."""

import numpy as np
import pytest

from companion import datasets, plots
from companion.errors import ModelError
from companion.uncertainty import Interval

pytestmark = pytest.mark.usefixtures("close_figures")


def test_a_band_is_drawn_with_its_curve_and_its_data():
    x, data = np.linspace(-1, 1, 11), datasets.sinusoid(8)
    wide, narrow = Interval(x - 2, x + 2), Interval(x - 1, x + 1)
    bands = {"measurements": wide, "curve": narrow}
    ax = plots.regression_band(x[:, None], x, bands, data=data, truth=x**2, title="A line", ylim=(-4, 4))
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["measurements", "curve", "truth", "mean of the draws", "data"]
    assert [line.get_linestyle() for line in ax.lines] == ["--", "-", ":", ":"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), x)
    first, second, points = ax.collections
    assert (first.get_paths()[0].vertices[:, 1].min(), second.get_paths()[0].vertices[:, 1].min()) == (-3, -2)
    assert first.get_alpha() < second.get_alpha()
    np.testing.assert_allclose(points.get_offsets()[:, 1], data.y)
    assert (ax.get_title(loc="left"), ax.get_ylim(), ax.get_xlim()) == ("A line", (-4, 4), (-1, 1))


def test_panels_of_one_figure_may_share_a_legend():
    x = np.linspace(-1, 1, 11)
    assert plots.regression_band(x, x, {}, legend=False).get_legend() is None


def test_a_band_of_another_length_is_refused():
    x = np.linspace(-1, 1, 11)
    with pytest.raises(ModelError, match=r"center has shape \(3,\); expected \(11,\)"):
        plots.regression_band(x, np.zeros(3), {})
    with pytest.raises(ModelError, match="the end of 'band' has shape"):
        plots.regression_band(x, x, {"band": Interval(np.zeros(3), np.ones(3))})
    with pytest.raises(ModelError, match="2 inputs each; expected one"):
        plots.regression_band(x, x, {}, data=datasets.Measurements(np.zeros((4, 2)), np.zeros(4)))


STEPS = np.linspace(0, 1, 5)
FLAT = Interval(np.zeros(5), np.ones(5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bands": FLAT}, "bands is a Interval; expected a mapping"),
        ({"bands": {"a": (np.zeros(5), np.ones(5))}}, "expected a mapping of names to intervals"),
        ({"data": (STEPS, STEPS)}, "data is a tuple; expected companion.datasets.Measurements"),
        ({"x": STEPS[::-1]}, "sorted to rise"),
        ({"x": STEPS * np.nan}, "holds NaN or infinity"),
        ({"center": STEPS + np.inf}, "center holds NaN or infinity"),
    ],
)
def test_bands_that_cannot_be_drawn_are_refused(settings, message):
    with pytest.raises(ModelError, match=message):
        plots.regression_band(**{"x": STEPS, "center": STEPS, "bands": {"a": FLAT}} | settings)
