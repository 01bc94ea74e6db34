"""The sketches that explain a network and the reparameterisation."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from companion import plots
from companion.errors import ModelError


def test_a_network_has_a_circle_for_each_unit_and_a_line_for_each_weight() -> None:
    ax = plots.network_sketch([2, 5, 5, 1], ["x", "first", "second", "p"])
    circles = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    assert [len(layer) for layer in circles] == [2, 5, 5, 1]
    assert len(ax.lines) == 2 * 5 + 5 * 5 + 5
    assert {layer[:, 1].mean() for layer in circles} == {2.0}, "every layer is centred"


@pytest.mark.parametrize(("widths", "names"), [([3], ["x"]), ([2, 0, 1], list("abc")), ([2, 1], ["x"])])
def test_a_network_needs_layers_of_units_with_names(widths: list[int], names: list[str]) -> None:
    with pytest.raises(ModelError, match="expected at least two layers"):
        plots.network_sketch(widths, names)


def test_draws_move_with_mean_and_scale_and_keep_their_noise() -> None:
    noise, laws = [-1.0, 0.5], {"before a step": (0.0, 2.0), "after it": (1.5, 0.5)}
    _, right = plots.reparameterisation_sketch(*laws.values(), noise=noise)
    drawn = np.array([line.get_xdata()[0] for line in right.lines if len(line.get_xdata()) == 1])
    assert np.allclose(drawn, [-2.0, 1.0, 1.0, 1.75])


def test_a_standard_deviation_is_positive() -> None:
    with pytest.raises(ModelError, match="expected positive"):
        plots.reparameterisation_sketch((0, 1), (0, 0))
