"""What a reader may count on in the tables, and what is said of observations that can't be used."""

import warnings

import numpy as np
import pytest
from numpy.typing import ArrayLike

from companion.datasets import Dataset, Observations, Scaling, breast_cancer, check_labels, moons, tabular
from companion.errors import DataError

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_numbers_are_counted_and_the_first_is_located(bad: float) -> None:
    x = X.copy()
    x[2, 1] = x[4, 0] = bad
    with pytest.raises(DataError, match=r"2 of 12 values of x .* first in row 2, column 1"):
        Observations(x, Y)


def test_a_nan_in_an_image_is_located_too() -> None:
    images = np.zeros((3, 4, 4), dtype=np.float32)
    images[1, 2, 3] = np.nan
    with pytest.raises(DataError, match=r"row 1, position \(2, 3\)"):
        Observations(images, Y[:3])


def test_a_nan_in_a_table_of_ones_own_is_found_before_it_spoils_the_scaling() -> None:
    x = X.copy()
    x[0, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="row 0, column 0"):
            tabular(x, Y, name="mine")


def test_mismatched_lengths_give_both() -> None:
    with pytest.raises(DataError, match=r"6 rows .* 5 labels"):
        Observations(X, Y[:5])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.empty((0, 2)), [], "no observations"),
        ([], [], "no observations"),
        (np.empty((6, 0)), Y, "without features"),
        (X[:, 0], Y, r"x\[:, None\]"),
        ([[1.0], [2.0, 3.0]], [0, 1], "different lengths"),
        ([["tall"], ["short"]], [0, 1], "numbers are expected"),
        (X, Y[:, None], r"y\.ravel\(\)"),
        (X, Y + 0.5, r"6 of 6 labels .* first is 0\.5 in row 0"),
        (X, [0, 1, np.nan, 1, 0, 1], "first is nan in row 2"),
        (X, [0, 1, 2**40, 1, 0, 1], "first is 1099511627776 in row 2"),
        (X, list("abcdef"), "such as 'a'"),
    ],
)
def test_what_cannot_be_observed_is_refused_in_words(x: ArrayLike, y: ArrayLike, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Observations(x, y)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8, np.float64, np.bool_])
def test_labels_of_any_kind_become_int32(kind: type) -> None:
    observations = Observations(X, Y.astype(kind))
    assert observations.y.dtype == np.int32
    np.testing.assert_array_equal(observations.y, Y)


def test_whole_numbers_become_floats_and_floats_keep_their_precision() -> None:
    assert Observations(X.astype(int), Y).x.dtype == np.float64
    assert Observations(X.astype(np.float32), Y).x.dtype == np.float32


def test_nobody_alters_observations_by_accident() -> None:
    mine = X.copy()
    observations = Observations(mine, Y)
    with pytest.raises(ValueError, match="read-only"):
        observations.x[0, 0] = 7
    mine[0, 0] = 7
    assert observations.x[0, 0] == 0, "the reader's array and ours are two"


@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_outside_the_classes_are_named(n_classes: int) -> None:
    names = tuple("abc")[:n_classes]
    with pytest.raises(DataError) as told:
        tabular(X, [0, 1, 7, 1, -1, 7], name="mine", class_names=names)
    expected = {2: "labels outside 0 and 1 in", 3: "labels outside 0 to 2 in"}[n_classes]
    assert expected in str(told.value)
    assert "-1 (1 of 6), 7 (2 of 6)" in str(told.value)


def test_a_data_set_says_which_part_holds_a_label_outside_its_classes() -> None:
    good, bad = Observations(X, Y), Observations(X, Y + 1)
    with pytest.raises(DataError, match="labels outside 0 and 1 in the test part of mine"):
        Dataset(name="mine", train=good, test=bad, class_names=("no", "yes"))
    check_labels(Y, 2)


def test_parts_names_and_scaling_must_fit_together() -> None:
    good, wide = Observations(X, Y), Observations(np.c_[X, X], Y)
    with pytest.raises(DataError, match="rows of shape"):
        Dataset(name="mine", train=good, test=wide, class_names=("no", "yes"))
    with pytest.raises(DataError, match="3 feature names"):
        Dataset(name="mine", train=good, test=good, class_names=("no", "yes"), feature_names=("a", "b", "c"))
    with pytest.raises(DataError, match="scaling of 1 features"):
        Dataset(name="mine", train=good, test=good, class_names=("no", "yes"), scaling=Scaling([0.0], [1.0]))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [moons(), breast_cancer(), breast_cancer(features=None)])
def test_the_scaling_comes_from_the_training_half_alone(data: Dataset) -> None:
    np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.train.x.std(axis=0), 1, atol=1e-12)
    assert np.abs(data.test.x.mean(axis=0)).max() > 1e-3
    assert np.abs(data.test.x.std(axis=0) - 1).max() > 1e-3


def test_moons_are_those_of_the_post_up_to_the_scaling() -> None:
    from sklearn.datasets import make_moons

    data = moons()
    assert data.scaling is not None
    assert (len(data.train), len(data.test)) == (500, 500)
    assert data.train.x.dtype == np.float64
    x, y = make_moons(noise=0.2, random_state=0, n_samples=1000)
    ours = data.scaling.undo(np.concatenate([data.train.x, data.test.x]))
    labels = np.concatenate([data.train.y, data.test.y])
    order, theirs = np.lexsort(ours.T), np.lexsort(x.T)
    np.testing.assert_allclose(ours[order], x[theirs], atol=1e-12)
    np.testing.assert_array_equal(labels[order], y[theirs])
    np.testing.assert_allclose(data.scaling.apply(data.scaling.undo(data.test.x)), data.test.x)


def test_the_same_seed_gives_the_same_data_and_another_seed_others() -> None:
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    first = moons(seed=3)
    np.random.seed(2)  # noqa: NPY002
    same, other = moons(seed=3), moons(seed=4)
    np.testing.assert_array_equal(first.train.x, same.train.x)
    np.testing.assert_array_equal(first.test.y, same.test.y)
    assert not np.array_equal(first.train.x, other.train.x)


def test_malignant_is_class_0_as_in_scikit_learn() -> None:
    data = breast_cancer(("mean radius",))
    assert data.class_names == ("malignant", "benign")
    labels = np.concatenate([data.train.y, data.test.y])
    assert np.bincount(labels).tolist() == [212, 357]
    radius = data.train.x[:, 0]
    assert radius[data.train.y == 0].mean() > radius[data.train.y == 1].mean(), "malignant ones are larger"


def test_chosen_features_come_in_the_chosen_order() -> None:
    both, swapped = breast_cancer(), breast_cancer(features=("mean texture", "mean radius"))
    assert swapped.feature_names == ("mean texture", "mean radius")
    np.testing.assert_array_equal(both.train.x[:, ::-1], swapped.train.x)
    assert breast_cancer(features=None).train.x.shape[1] == 30


def test_a_misspelt_feature_is_answered_with_names_like_it() -> None:
    with pytest.raises(DataError, match="did you mean 'mean radius'"):
        breast_cancer(features=("mean_raduis",))
    with pytest.raises(DataError, match="features is empty"):
        breast_cancer(features=())


@pytest.mark.parametrize("settings", [{"test_fraction": 0}, {"test_fraction": 1.0}, {"n_samples": 1}, {"noise": -1}])
def test_settings_that_make_no_data_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(DataError):
        moons(**settings)  # type: ignore[arg-type]


def test_a_data_set_describes_itself_in_a_few_lines() -> None:
    assert "labels {0: 246, 1: 254}" in repr(moons().train)
    assert len(repr(moons())) < 1000


def test_either_class_may_be_called_1_and_the_split_stays():
    benign, malignant = breast_cancer(), breast_cancer(positive="malignant")
    assert benign.class_names == ("malignant", "benign")
    assert malignant.class_names == ("benign", "malignant")
    np.testing.assert_array_equal(malignant.test.y, 1 - benign.test.y)
    np.testing.assert_array_equal(malignant.train.x, benign.train.x)
    assert (malignant.train.y.sum() + malignant.test.y.sum()) == 212  # of the 569, as its description says
    with pytest.raises(DataError, match="expected 'malignant' or 'benign'"):
        breast_cancer(positive="cancer")
