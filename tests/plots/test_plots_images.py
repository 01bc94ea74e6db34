"""Figures of images, filters, errors and distributions: checked on the artists, not on pixels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from companion import plots
from companion.errors import DataError, ModelError
from companion.plots.images import OTHER

pytestmark = pytest.mark.usefixtures("close_figures")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((5, 4, 3))


def drawn(axes):
    """Array of each image on some axes."""
    return [np.asarray(ax.images[0].get_array()) for ax in axes if ax.images]


def test_each_image_is_drawn_once_on_one_scale(images):
    figure = plots.image_grid(images, titles=np.arange(5), columns=2, title="five")
    np.testing.assert_array_equal(drawn(figure.axes), images)
    assert {ax.images[0].get_clim() for ax in figure.axes} == {(images.min(), images.max())}
    assert [ax.get_title() for ax in figure.axes] == ["0", "1", "2", "3", "4"]
    places = [ax.get_subplotspec() for ax in figure.axes]
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert figure.get_suptitle() == "five"
    assert to_hex(figure.get_facecolor(), keep_alpha=True) == "#ffffffff"
    assert figure.get_figwidth() == pytest.approx(7.2)


def test_a_grid_can_share_its_scale_with_another(images):
    figure = plots.image_grid(images, limits=(0, 2), cmap="viridis")
    assert figure.axes[0].images[0].get_clim() == (0, 2)
    assert figure.axes[0].images[0].get_cmap().name == "viridis"


def test_images_keep_their_proportions_and_stay_on_the_page(images):
    figure = plots.image_grid(images, columns=5)
    figure.canvas.draw()
    for ax in figure.axes:
        box = ax.get_window_extent()
        assert box.height / box.width == pytest.approx(4 / 3, rel=0.01)
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
    assert figure.axes[0].get_window_extent().width > 0.9 * figure.bbox.width / 5  # a tight page


def test_a_grid_refuses_what_it_cannot_draw(images):
    with pytest.raises(DataError, match=r"shape \(4, 3\).*One image is `image\[None\]`"):
        plots.image_grid(images[0])
    with pytest.raises(DataError, match=r"shape \(0, 4, 3\)"):
        plots.image_grid(images[:0])
    with pytest.raises(DataError, match="1 of 5 images hold NaN"):
        plots.image_grid(np.where(np.arange(5)[:, None, None] == 2, np.nan, images))
    with pytest.raises(ModelError, match="2 titles for 5 images"):
        plots.image_grid(images, titles=["a", "b"])
    with pytest.raises(ModelError, match="columns=0"):
        plots.image_grid(images, columns=0)
    with pytest.raises(ModelError, match=r"limits=\(1, 1\)"):
        plots.image_grid(images, limits=(1, 1))


@pytest.fixture
def probabilities():
    """Of 101 draws, 5 points and 3 classes; the most probable classes are 0, 0, 0, 1, 2."""
    mean = np.eye(3)[[0, 0, 0, 1, 2]] * 0.4 + 0.2
    ramp = np.linspace(-0.1, 0.1, 101)[:, None, None]
    return mean + ramp * [1, -1, 0]


def bars(figure):
    return [cell.axes[1] for cell in figure.subfigs if cell.axes]


def colors(ax):
    return [to_hex(bar.get_facecolor()) for bar in ax.patches]


def test_bars_are_means_over_the_draws_and_lines_nine_tenths_of_them(images, probabilities):
    figure = plots.image_predictions(images, probabilities, columns=2)
    np.testing.assert_array_equal(drawn([cell.axes[0] for cell in figure.subfigs if cell.axes]), images)
    for k, ax in enumerate(bars(figure)):
        np.testing.assert_allclose([bar.get_width() for bar in ax.patches], probabilities[:, k].mean(axis=0))
        ends = np.array(ax.collections[0].get_segments())[:, :, 0]
        np.testing.assert_allclose(ends, np.quantile(probabilities[:, k], [0.05, 0.95], axis=0).T)
        assert ax.get_ylim()[0] > ax.get_ylim()[1]  # class 0 is on top
    assert len(bars(figure)) == 5


def test_the_true_class_and_a_wrong_prediction_have_their_colours(images, probabilities):
    labels, (blue, red) = np.array([0, 1, 2, 1, 2]), plots.CLASS_COLORS
    figure = plots.image_predictions(images, probabilities, labels=labels)
    expected = [
        [blue, OTHER, OTHER],
        [red, blue, OTHER],
        [red, OTHER, blue],
        [OTHER, blue, OTHER],
        [OTHER, OTHER, blue],
    ]
    assert [colors(ax) for ax in bars(figure)] == expected
    legend = {t.get_text() for t in figure.legends[0].get_texts()}
    assert {"of the true class", "of a wrong prediction"} <= legend


def test_the_legend_has_no_colour_that_is_not_drawn(images, probabilities):
    figure = plots.image_predictions(images, probabilities, labels=np.array([0, 0, 0, 1, 2]))
    legend = {t.get_text() for t in figure.legends[0].get_texts()}
    assert "of the true class" in legend
    assert "of a wrong prediction" not in legend


def test_without_labels_the_prediction_has_a_colour_and_nothing_is_called_true(images, probabilities):
    figure = plots.image_predictions(images, probabilities, class_names=["cat", "dog", "cow"])
    red = plots.CLASS_COLORS[1]
    assert [colors(ax).index(red) for ax in bars(figure)] == [0, 0, 0, 1, 2]
    assert "true" not in " ".join(t.get_text() for t in figure.legends[0].get_texts())
    assert [t.get_text() for t in bars(figure)[0].get_yticklabels()] == ["cat", "dog", "cow"]


def test_images_have_titles_and_a_cut_off_is_a_line_across_the_bars(images, probabilities):
    figure = plots.image_predictions(images, probabilities, titles=list("vwxyz"), cut_off=0.2)
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == list("vwxyz")
    lines = [[line.get_xdata()[0] for line in ax.lines] for ax in bars(figure)]
    assert lines == [[0.2]] * 5
    assert "cut-off" in {t.get_text() for t in figure.legends[0].get_texts()}
    with pytest.raises(ModelError, match="2 titles for 5 images"):
        plots.image_predictions(images, probabilities, titles=["a", "b"])
    with pytest.raises(ModelError, match=r"cut_off=1\.5"):
        plots.image_predictions(images, probabilities, cut_off=1.5)


def test_predictions_that_do_not_fit_are_refused(images, probabilities):
    with pytest.raises(ModelError, match="of 4 points for 5 images"):
        plots.image_predictions(images, probabilities[:, :4])
    with pytest.raises(ModelError, match=r"expected \(draws, points, classes\)"):
        plots.image_predictions(images, probabilities[0])
    with pytest.raises(ModelError, match="2 class names for 3 classes"):
        plots.image_predictions(images, probabilities, class_names=["a", "b"])
    with pytest.raises(ModelError, match="columns=0"):
        plots.image_predictions(images, probabilities, columns=0)
    with pytest.raises(DataError, match=r"\(2,\) labels for 5 images"):
        plots.image_predictions(images, probabilities, labels=np.zeros(2, int))
    with pytest.raises(DataError, match="outside 0 to 2"):
        plots.image_predictions(images, probabilities, labels=np.full(5, 3))
    with pytest.raises(DataError, match=r"\(5, 12\)"):
        plots.image_predictions(images.reshape(5, 12), probabilities)


def test_filters_show_means_around_white_zero_and_how_well_they_are_known():
    rng = np.random.default_rng(0)
    means, scales = rng.normal(size=(6, 5, 5)), rng.gamma(2, size=(6, 5, 5)) + 0.1
    means[0, 0, 0] = 5  # the scale reaches as far below zero
    figure = plots.filters_with_uncertainty(means, scales, columns=4, title="filters")
    left, right = figure.subfigs
    np.testing.assert_array_equal(drawn(left.axes), means)
    np.testing.assert_allclose(drawn(right.axes), np.abs(means) / scales)
    largest = np.abs(means).max()
    assert {ax.images[0].get_clim() for ax in left.axes if ax.images} == {(-largest, largest)}
    assert {ax.images[0].get_clim() for ax in right.axes if ax.images} == {(0, (np.abs(means) / scales).max())}
    middle = left.axes[0].images[0].get_cmap()(0.5)
    assert min(middle[:3]) > 0.9
    assert [block.axes[-1].get_xlabel() for block in (left, right)] == [
        "mean of each weight",
        "signal-to-noise: |mean| / scale",
    ]


def test_filters_refuse_what_is_not_a_posterior():
    means = np.zeros((2, 5, 5))
    with pytest.raises(DataError, match=r"means have shape \(2, 1, 5, 5\).*filters\[:, 0\]"):
        plots.filters_with_uncertainty(means[:, None], means[:, None] + 1)
    with pytest.raises(DataError, match=r"means \(2, 5, 5\) and scales \(1, 5, 5\)"):
        plots.filters_with_uncertainty(means, means[:1] + 1)
    with pytest.raises(DataError, match="smallest scale is 0"):
        plots.filters_with_uncertainty(means, means)
    with pytest.raises(DataError, match="2 of 2 scales hold NaN"):
        plots.filters_with_uncertainty(means, means + np.inf)
    with pytest.raises(ModelError, match="columns=-1"):
        plots.filters_with_uncertainty(means, means + 1, columns=-1)


def test_confusions_are_counted_and_only_errors_coloured():
    y, predicted = np.array([0, 0, 0, 0, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 0, 0])
    ax = plots.confusion_matrix(y, predicted, class_names=["a", "b", "c"])
    shown = {(int(t.get_position()[1]), int(t.get_position()[0])): t for t in ax.texts}
    assert {place: t.get_text() for place, t in shown.items()} == {(0, 0): "3", (0, 1): "1", (1, 1): "1", (2, 0): "2"}
    image = ax.images[0].get_array()
    np.testing.assert_array_equal(image.mask, np.eye(3))
    np.testing.assert_array_equal(image.filled(0), [[0, 1, 0], [0, 0, 0], [2, 0, 0]])
    assert ax.images[0].get_clim() == (0, 2)  # the scale is that of errors
    assert shown[0, 0].get_color() == shown[1, 1].get_color() != shown[0, 1].get_color()
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true class", "predicted class")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]


def test_a_classifier_without_an_error_can_be_drawn():
    ax = plots.confusion_matrix(np.arange(3), np.arange(3), class_names=["a", "b", "c"])
    ax.figure.canvas.draw()
    assert [t.get_text() for t in ax.texts] == ["1", "1", "1"]


def test_long_class_names_do_not_run_into_each_other():
    y = np.arange(10)
    ax = plots.confusion_matrix(y, y, class_names=[f"a long name {k}" for k in range(10)])
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {45}


def test_confusions_refuse_labels_that_do_not_fit():
    y = np.array([0, 1])
    with pytest.raises(DataError, match=r"\(2,\) true labels and \(1,\) predicted"):
        plots.confusion_matrix(y, y[:1], class_names="ab")
    with pytest.raises(DataError, match=r"\(0,\) true labels"):
        plots.confusion_matrix(y[:0], y[:0], class_names="ab")
    with pytest.raises(DataError, match="outside 0 and 1 in y"):
        plots.confusion_matrix(y + 1, y, class_names="ab")
    with pytest.raises(DataError, match="outside 0 and 1 in predicted"):
        plots.confusion_matrix(y, y - 1, class_names="ab")


def steps(patch):
    """Edges and heights of a filled step histogram."""
    xy = patch.get_xy()
    return np.unique(xy[:, 0]), xy


def test_groups_share_their_bins_and_each_has_area_one():
    rng = np.random.default_rng(0)
    scores = {"right": rng.normal(0, 1, 1000), "wrong": rng.normal(3, 1, 50)}
    ax = plots.score_histograms(scores, xlabel="entropy (nats)", bins=20)
    (edges, first), (others, second) = map(steps, ax.patches)
    np.testing.assert_allclose(edges, others)
    assert len(edges) == 21
    together = np.concatenate(list(scores.values()))
    np.testing.assert_allclose([edges[0], edges[-1]], [together.min(), together.max()])
    for xy, group in ((first, scores["right"]), (second, scores["wrong"])):
        heights = np.histogram(group, edges, density=True)[0]
        assert xy[:, 1].max() == pytest.approx(heights.max())
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["right", "wrong"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("entropy (nats)", "density", "linear")


def test_points_can_be_counted_on_a_logarithmic_scale():
    ax = plots.score_histograms({"a": np.repeat([0.0, 1.0], [90, 10])}, xlabel="x", bins=2, density=False, log=True)
    assert ax.patches[0].get_xy()[:, 1].max() == 90
    assert (ax.get_ylabel(), ax.get_yscale()) == ("points", "log")


def test_histograms_refuse_what_they_would_hide():
    with pytest.raises(ModelError, match="1 of 2 scores of 'a' are NaN or infinite"):
        plots.score_histograms({"a": [0, np.nan]}, xlabel="x")
    with pytest.raises(ModelError, match="1 of 2 scores of 'b' are NaN or infinite"):
        plots.score_histograms({"a": [0], "b": [0, np.inf]}, xlabel="x")
    with pytest.raises(ModelError, match=r"'a': \(0,\)"):
        plots.score_histograms({"a": []}, xlabel="x")
    with pytest.raises(ModelError, match=r"shapes \{\}"):
        plots.score_histograms({}, xlabel="x")
    with pytest.raises(ModelError, match=r"'a': \(1, 2\)"):
        plots.score_histograms({"a": [[1, 2]]}, xlabel="x")
    with pytest.raises(ModelError, match="bins=0"):
        plots.score_histograms({"a": [1]}, xlabel="x", bins=0)


def test_signal_to_noise_is_drawn_in_powers_of_ten_and_cut_across_all_layers():
    layers = {"first": np.full((3, 5), 0.01), "second": np.full(85, 10.0)}
    ax = plots.snr_histogram(layers, pruned=0.1)
    edges, _ = steps(ax.patches[0])
    np.testing.assert_allclose([edges[0], edges[-1]], [-2, 1])
    assert ax.lines[0].get_xdata()[0] == pytest.approx(-2)  # the worst tenth lies in the first layer alone
    assert "10 % of the weights lie left" in [t.get_text() for t in ax.get_legend().get_texts()]
    assert not plots.snr_histogram(layers).lines


def test_weights_of_almost_no_signal_stand_in_the_first_bin():
    ax = plots.snr_histogram({"a": np.array([0.0, 1e-9, 0.01, 1.0])}, least=1e-3)
    edges, outline = steps(ax.patches[0])
    np.testing.assert_allclose([edges[0], edges[-1]], [-3, 0])
    first = outline[np.isclose(outline[:, 0], -3), 1].max()
    assert first == outline[:, 1].max() == pytest.approx(2 * np.unique(outline[:, 1])[1])


def test_signal_to_noise_refuses_what_is_not_a_ratio():
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(ModelError, match="1 of 2 ratios of 'a' are negative or not finite"):
            plots.snr_histogram({"a": np.array([1.0, value])})
    with pytest.raises(ModelError, match="least=0"):
        plots.snr_histogram({"a": np.ones(2)}, least=0)
    for pruned in (0, 1, 75):
        with pytest.raises(ModelError, match=f"pruned={pruned}; expected a share"):
            plots.snr_histogram({"a": np.ones(2)}, pruned=pruned)
    with pytest.raises(ModelError, match="expected a mapping"):
        plots.snr_histogram({})


def test_weights_are_drawn_layer_by_layer_on_the_same_axes_for_every_state():
    rng = np.random.default_rng(0)
    early = {"conv": (rng.normal(0, 1, (6, 5)), np.full((6, 5), 0.01)), "dense": (rng.normal(3, 1, 40), np.ones(40))}
    late = {name: (mean / 2, scale) for name, (mean, scale) in early.items()}
    figure = plots.weight_posteriors({"step 1": early, "step 9": late}, title="Weights")
    axes = np.array(figure.axes).reshape(2, 2)
    assert axes[0, 0].get_xlim() == axes[1, 0].get_xlim()
    assert [t.get_text() for t in axes[0, 0].get_legend().get_texts()] == ["conv", "dense"]
    assert axes[1, 1].get_title("left") == "step 9: standard deviations"
    heights, edges, _ = axes[0, 1].patches[0].get_data()
    highest = edges[np.argmax(heights) : np.argmax(heights) + 2]
    assert highest[0] <= 0.01 <= highest[1]  # the axis has the standard deviations themselves
    assert edges[0] < 0.01 < 1 < edges[-1]
    assert axes[0, 1].get_xscale() == "log"
    lines = [p for p in axes[0, 0].patches if p.get_label() in ("conv", "dense")]
    assert len({(p.get_edgecolor(), p.get_linestyle()) for p in lines}) == len({p.get_linestyle() for p in lines}) == 2
    figure.draw_without_rendering()
    labels = [t.get_text() for t in axes[1, 1].get_xticklabels()]
    assert "0.01" in labels
    assert not any("10^" in text for text in labels)


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        ({}, "one state or more"),
        ({"a": {}}, "one state or more"),
        ({"a": {"x": ([1.0], [1.0])}, "b": {"y": ([1.0], [1.0])}}, "all with the same layers"),
        ({"a": {"x": ([np.nan], [1.0])}}, "'x' in 'a': expected weights"),
        ({"a": {"x": ([1.0], [0.0])}}, "scales are positive"),
        ({"a": {"x": ([], [])}}, "'x' in 'a'"),
    ],
)
def test_what_are_not_moments_is_refused(moments, message):
    with pytest.raises(ModelError, match=message):
        plots.weight_posteriors(moments)
    with pytest.raises(ModelError, match="bins=0"):
        plots.weight_posteriors({"a": {"x": ([1.0], [1.0])}}, bins=0)
    with pytest.raises(ModelError, match="aren't grouped by state"):
        plots.weight_posteriors({"x": ([1.0], [1.0])})


def test_pruning_is_drawn_over_the_share_removed():
    share, scores = np.array([0, 0.5, 0.9]), {"by signal-to-noise": [0.98, 0.98, 0.9], "at random": [0.98, 0.6, 0.2]}
    ax = plots.pruning_curve(share, scores, ylabel="accuracy")
    for line, values in zip(ax.lines, scores.values(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.column_stack([share, values]))
    assert len({line.get_marker() for line in ax.lines}) == 2  # told apart without their colours
    assert ax.get_ylabel() == "accuracy"


def test_pruning_against_what_is_kept_is_even_in_factors():
    ax = plots.pruning_curve(np.array([0, 0.9, 0.99]), {"a": [1, 1, 0.5]}, ylabel="accuracy", log=True)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [100, 10, 1])
    assert ax.get_xscale() == "log"
    assert ax.get_xlim()[0] > ax.get_xlim()[1]  # from all weights to few
    assert "kept" in ax.get_xlabel()
    with pytest.raises(ModelError, match="ends at 1"):
        plots.pruning_curve(np.array([0, 1]), {"a": [1, 0]}, ylabel="y", log=True)


def test_pruning_refuses_what_is_not_a_curve():
    with pytest.raises(ModelError, match="no curve"):
        plots.pruning_curve(np.array([0, 1]), {}, ylabel="accuracy")
    for share in ([0, 50, 90], [0, 0.9, 0.5], [-0.1, 0.5], [], [[0, 1]], [0, np.nan]):
        with pytest.raises(ModelError, match=r"share=.*expected"):
            plots.pruning_curve(np.array(share), {"a": [1, 1]}, ylabel="accuracy")
    for scores in ([1], [1, np.nan]):
        with pytest.raises(ModelError, match=r"scores of 'a'.*expected 2 finite numbers"):
            plots.pruning_curve(np.array([0, 1]), {"a": scores}, ylabel="accuracy")


def test_every_axes_function_draws_on_the_axes_it_is_given():
    _, ax = plt.subplots()
    for draw in (
        lambda: plots.confusion_matrix(np.array([0, 1]), np.array([1, 1]), class_names="ab", ax=ax, title="t"),
        lambda: plots.score_histograms({"a": [0, 1]}, xlabel="x", ax=ax, title="t"),
        lambda: plots.snr_histogram({"a": np.ones(3)}, ax=ax, title="t"),
        lambda: plots.pruning_curve(np.array([0, 1]), {"a": [1, 0]}, ylabel="y", ax=ax, title="t"),
    ):
        ax.clear()
        assert draw() is ax
        assert ax.get_title("left") == "t"
