"""What tests of figures share."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from companion import plots


@pytest.fixture
def close_figures():
    """Draw in the book's style without a screen, and leave neither figures nor settings nor another language behind."""
    with mpl.rc_context():
        mpl.use("agg")
        plots.use_style()
        yield
        plots.use_style()
        plt.close("all")
