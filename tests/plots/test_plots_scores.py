"""Figures of scores, and the language that figures speak: checked on the artists."""

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.ttLib import TTFont

from companion import plots
from companion.datasets import moons
from companion.errors import CompanionWarning, ModelError
from companion.plots import language
from companion.uncertainty import Estimate, Reliability, RiskCoverage

pytestmark = pytest.mark.usefixtures("close_figures")


def test_reliability_is_drawn_where_it_lies():
    curve = Reliability(
        np.array([0.1, 0.9]), np.array([0.0, 0.8]), np.array([5, 50]), np.array([0.0, 0.7]), np.array([0.4, 0.9])
    )
    ax = plots.reliability_diagram({"network": curve})
    drawn = ax.collections[-1]
    np.testing.assert_allclose(drawn.get_offsets(), [[0.1, 0.0], [0.9, 0.8]])
    assert drawn.get_sizes()[1] > drawn.get_sizes()[0]
    (bars,) = ax.collections[0].get_segments()[:1]
    np.testing.assert_allclose(bars[:, 1], [0, 0.4])
    bare = Reliability(curve.stated, curve.happened, curve.count)
    assert len(plots.reliability_diagram({"network": bare}).collections) == 1  # no interval, no bar
    with pytest.raises(ModelError, match="no curve"):
        plots.reliability_diagram({})


def test_reliability_in_log_odds_draws_certainty_on_the_frame():
    curve = Reliability(
        np.array([0.0, 0.02]), np.array([0.0, 0.01]), np.array([9, 9]), np.array([0.0, 0.0]), np.array([0.2, 0.1])
    )
    ax = plots.reliability_diagram({"network": curve}, logit=True)
    ax.figure.canvas.draw()
    low = ax.get_xlim()[0]
    assert ax.get_xscale() == ax.get_yscale() == "logit"
    np.testing.assert_allclose(ax.collections[-1].get_offsets(), [[low, low], [0.02, 0.01]])
    assert all((segment[:, 1] > 0).all() for segment in ax.collections[0].get_segments())
    said = [tick.get_text() for tick in ax.get_xticklabels()]
    assert said == [tick.get_text() for tick in ax.get_yticklabels()]
    assert [float(word) for word in said] == [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]  # numbers, and no powers of ten
    assert plots.reliability_diagram({"network": curve}, legend=False).get_legend() is None


def test_decision_curves_show_each_method_with_its_interval_and_the_price_used():
    curves = {
        name: Estimate(np.array([height, height]), np.array([height - 0.1] * 2), np.array([height + 0.1] * 2))
        for name, height in (("a", 0.3), ("b", 0.6))
    }
    ax = plots.decision_curves(curves, [5, 200], xlabel="price", ylabel="cost", mark=20, log=True)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[5, 0.3], [200, 0.3]])
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()  # two methods can be told apart without colour
    assert ax.collections[1].get_paths()[0].get_extents().y1 == pytest.approx(0.7)
    assert ax.lines[-1].get_xdata()[0] == 20
    with pytest.raises(ModelError, match="no curve"):
        plots.decision_curves({}, [1], xlabel="", ylabel="")
    with pytest.raises(ModelError, match=r"'a' has shape \(2,\); expected \(3,\)"):
        plots.decision_curves(curves, [1, 2, 3], xlabel="", ylabel="")
    with pytest.raises(ModelError, match=r"'all' has shape \(1,\); expected \(2,\)"):
        plots.decision_curves(curves, [1, 2], xlabel="", ylabel="", beside={"all": [0.1]})


def test_no_two_lines_of_one_figure_of_decisions_have_one_colour_and_one_dash():
    level = np.array([0.5, 0.5])
    curves = {f"method {k}": Estimate(level + k, level, level) for k in range(8)}
    ax = plots.decision_curves(curves, [0, 1], xlabel="price", ylabel="cost", beside={"everybody": level}, legend=False)
    drawn = [(mpl.colors.to_hex(line.get_color()), line._dash_pattern) for line in ax.lines]
    assert len(drawn) == len({(colour, repr(dash)) for colour, dash in drawn}) == 9
    assert len(ax.collections) == 8  # what no method does has no interval
    assert ax.get_legend() is None


def test_risk_is_drawn_over_coverage():
    curve = RiskCoverage(np.array([0.5, 1.0]), np.array([0.0, 0.2]))
    ax = plots.risk_coverage({"network": curve})
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.5, 0], [1, 0.2]])
    with pytest.raises(ModelError, match="no curve"):
        plots.risk_coverage({})


def test_risk_can_begin_where_a_single_error_no_longer_makes_it_jump():
    curve = RiskCoverage(np.array([0.1, 0.5, 1.0]), np.array([1.0, 0.1, 0.2]))
    ax = plots.risk_coverage({"network": curve}, least=0.2, mark=0.8)
    assert ax.get_xlim() == (0.2, 1)
    assert ax.get_ylim() == pytest.approx((0, 0.21))  # of what is drawn
    assert ax.lines[-1].get_xdata()[0] == 0.8
    with pytest.raises(ModelError, match="least=1; expected a coverage from 0 to below 1"):
        plots.risk_coverage({"network": curve}, least=1)


def test_intervals_show_every_result_the_median_and_nine_tenths():
    results = np.linspace(0, 1, 21)
    ax = plots.interval_plot({"a": results, "b": [0.5]}, xlabel="accuracy", mark=0.9)
    bar, median = ax.lines[0], ax.lines[1]
    np.testing.assert_allclose(bar.get_xdata(), [0.05, 0.95])
    np.testing.assert_allclose(median.get_xdata(), [0.5, 0.5])
    np.testing.assert_allclose(np.sort(ax.collections[0].get_offsets()[:, 0]), results)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert ax.lines[-1].get_xdata()[0] == 0.9
    with pytest.raises(ModelError, match="no results"):
        plots.interval_plot({"a": []}, xlabel="accuracy")
    with pytest.raises(ModelError, match="'a' hold NaN"):
        plots.interval_plot({"a": [1, np.nan]}, xlabel="accuracy")


def figure_of_moons():
    ax = plots.data_scatter(moons(n_samples=50).train, title=plots.words(en="Two moons", zh="双月数据"))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ax.figure.canvas.draw()
    missing = [str(w.message) for w in seen if "missing from" in str(w.message)]
    return [t.get_text() for t in ax.get_legend().get_texts()], ax.get_title("left"), missing


def test_figures_speak_chinese_without_a_box():
    plots.use_style(language="zh")
    assert figure_of_moons() == (["类别 0", "类别 1"], "双月数据", [])


def test_every_phrase_can_be_written_with_the_companions_font():
    characters = set("".join(language.CHINESE.values())) - {" "}
    with language.as_file(language.files("companion.plots") / "fonts" / language.OURS) as path:
        assert not {c for c in characters if ord(c) not in TTFont(path).getBestCmap()}


def test_without_any_chinese_font_figures_speak_english(monkeypatch):
    monkeypatch.setattr(language, "OURS", "no-such-file.otf")
    monkeypatch.setattr(language.font_manager, "get_font_names", lambda: ["DejaVu Sans"])
    with pytest.warns(CompanionWarning, match="no font with Chinese characters") as said:
        plots.use_style(language="zh")
    assert [warning.filename for warning in said] == [__file__]  # the reader's own line, not one of the companion
    assert figure_of_moons() == (["class 0", "class 1"], "Two moons", [])


def test_a_font_of_the_machine_serves_where_ours_is_gone(monkeypatch):
    monkeypatch.setattr(language, "OURS", "no-such-file.otf")
    monkeypatch.setattr(language.font_manager, "get_font_names", lambda: ["Noto Sans CJK SC"])
    plots.use_style(language="zh")
    assert mpl.rcParams["font.family"][-1] == "Noto Sans CJK SC"


def test_the_next_chapter_speaks_english_again():
    plots.use_style(language="zh")
    plots.use_style()
    assert figure_of_moons()[0] == ["class 0", "class 1"]
    with pytest.raises(ModelError, match="'fr'; figures speak 'en' or 'zh'"):
        plots.use_style(language="fr")
