"""scikit-learn's own checks of the two estimators, all of them, and what they add to scikit-learn's words."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from companion.errors import CompanionWarning, DataError, ModelError
from companion.estimators import BayesianClassifier, BayesianRegressor
from companion.posterior import Posterior
from companion.priors import Gaussian
from companion.uncertainty import Decisions, PredictiveDistribution

LITTLE = {"hidden": (6,), "steps": 40, "restarts": 2, "learning_rate": 0.1, "draws": 4}
EXPECTED_FAILURES: dict[str, str] = {}  # none


def checks():
    """Yield each check of scikit-learn's whole list, for both estimators, as a test with a name of its own."""
    for estimator in (BayesianClassifier(**LITTLE), BayesianRegressor(**LITTLE)):
        for own, check in estimator_checks_generator(estimator, expected_failed_checks=EXPECTED_FAILURES, mark="skip"):
            yield pytest.param(own, check, id=f"{type(estimator).__name__}-{getattr(check, 'func', check).__name__}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def blobs():
    X, y = make_blobs(120, centers=2, cluster_std=1.5, random_state=0)
    return X, np.array(["no", "yes"])[y]


@pytest.fixture(scope="module")
def classifier(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompanionWarning)
        return BayesianClassifier(**{**LITTLE, "steps": 150, "draws": 20}).fit(*blobs)


@pytest.fixture(scope="module")
def curve():
    """Two targets in units of their own, a line and one with noise that grows to the right."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (400, 1))
    return X, np.c_[X[:, 0], 1000 + 100 * np.exp(X[:, 0]) * rng.normal(size=400)]


@pytest.fixture(scope="module")
def regressor(curve):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompanionWarning)
        settings = {**LITTLE, "steps": 600, "draws": 20, "learning_rate": 0.03}
        return BayesianRegressor(**settings, noise="input").fit(*curve)


def test_a_classifier_speaks_in_the_words_of_its_labels(classifier, blobs):
    X, y = blobs
    assert classifier.score(X, y) > 0.85
    assert set(classifier.predict(X)) == {"no", "yes"}
    p = classifier.predict_draws(X[:5])
    assert p.shape == (20, 5, 2)
    np.testing.assert_allclose(classifier.predict_proba(X[:5]), p.mean(axis=0))
    assert isinstance(classifier.posterior_, Posterior)
    far = classifier.doubt(X).total.max()
    assert 0 < far <= np.log(2) + 1e-6


def test_a_classifier_decides_by_costs(classifier, blobs):
    found = classifier.decide(blobs[0], {"say no": [0, 1], "say yes": [100, 0], "ask": [0.3, 0.3]})
    assert isinstance(found, Decisions)
    assert found.share("say yes") < 0.6
    assert found.share("ask") > 0


def test_noise_follows_the_inputs_and_units_come_back(regressor):
    mean, std = regressor.predict([[-1.5], [1.5]], return_std=True)
    assert (mean.shape, std.shape) == ((2, 2), (2, 2))
    np.testing.assert_allclose(regressor.predict([[-1.5], [1.5]]), mean, rtol=1e-9)
    assert np.abs(mean[:, 0] - [-1.5, 1.5]).max() < 0.4
    assert std[1, 1] > 3 * std[0, 1], "exp(3) is 20"
    assert 150 < std[1, 1] < 1000


def test_intervals_quantiles_and_decisions_are_of_one_distribution(regressor):
    X = [[-1.0], [0.0], [1.0]]
    bands, quantiles = regressor.predict_interval(X, 0.8), regressor.predict_quantiles(X, [0.1, 0.5, 0.9])
    assert (bands.shape, quantiles.shape) == ((3, 2, 2), (3, 2, 3))
    np.testing.assert_allclose(bands, quantiles[..., [0, 2]])
    assert (np.diff(quantiles) > 0).all()
    assert isinstance(regressor.predict_distribution(X), PredictiveDistribution)
    chosen = regressor.decide(X, {"left": lambda y: y, "right": lambda y: -y})
    assert chosen[:, 0].tolist() == ["left", "right", "right"] or chosen[[0, 2], 0].tolist() == ["left", "right"]
    with pytest.raises(ModelError, match="no action"):
        regressor.decide(X, {})
    with pytest.raises(ModelError, match="costs of 'left' hold NaN"):
        regressor.decide(X, {"left": lambda y: y * np.nan})


def test_a_pickle_predicts_the_same(regressor):
    again = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(again.predict([[0.3]]), regressor.predict([[0.3]]))


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
def test_a_frame_with_words_goes_through_a_pipeline_a_score_and_a_search():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=60), "town": rng.choice(["Rome", "Oslo"], 60)})
    price = 3 * frame["size"] + 5 * (frame["town"] == "Rome")
    words = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough")
    line = make_pipeline(words, BayesianRegressor(**{**LITTLE, "restarts": 1}, method="map"))
    assert cross_val_score(line, frame, price, cv=2).min() > 0.5
    search = GridSearchCV(line, {"bayesianregressor__prior": [Gaussian(0.01), Gaussian(1.0)]}, cv=2)
    assert search.fit(frame, price).best_params_["bayesianregressor__prior"] == Gaussian(1.0)
    new = pd.DataFrame({"size": [0.0], "town": ["Paris"]})
    assert search.predict(new).shape == (1,), "a town that it has not seen is neither"


FRAMES = {"pandas": pd.DataFrame, "polars": polars.DataFrame}
SERIES = {"pandas": pd.Series, "polars": polars.Series}


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
@pytest.mark.parametrize("kind", [BayesianClassifier, BayesianRegressor])
def test_a_frame_of_polars_is_fitted_in_pipelines_and_scored_as_one_of_pandas(kind):
    """Numbers, words, and the target in a series: the same fits come out of both, to the last digit."""
    rng = np.random.default_rng(0)
    size, town = rng.normal(size=60), rng.choice(["Rome", "Oslo"], 60)
    price = 3 * size + 5 * (town == "Rome")
    target = np.where(price > 2, "dear", "cheap") if kind is BayesianClassifier else price
    words = make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough")
    line = make_pipeline(words, StandardScaler(), kind(**{**LITTLE, "restarts": 1}, method="map"))
    found = {}
    for library, frame in FRAMES.items():
        table, y = frame({"size": size, "town": town}), SERIES[library](target.tolist())
        fitted, numbers = clone(line).fit(table, y), table[["size"]]
        alone = kind(**{**LITTLE, "steps": 5}, method="map").fit(numbers, y)
        assert alone.feature_names_in_.tolist() == ["size"]
        found[library] = fitted.predict(table), alone.predict(numbers), cross_val_score(line, table, y, cv=2)
    for one, other in zip(*found.values(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert found["polars"][2].min() > (0.8 if kind is BayesianClassifier else 0.5)


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
def test_names_of_a_frame_s_columns_are_kept_and_asked_for():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    model = BayesianRegressor(**{**LITTLE, "steps": 2}, method="map").fit(frame, frame["a"])
    assert model.feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a"]])
    np.testing.assert_array_equal(model.predict(polars.DataFrame(frame.to_dict("list"))), model.predict(frame))


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
@pytest.mark.parametrize("method", ["laplace", "mean-field"])
def test_other_methods_give_posteriors_of_their_own(method):
    X = np.linspace(-1, 1, 40)[:, None]
    y = 2 * X[:, 0] + 1 + 0.2 * np.random.default_rng(0).normal(size=40)
    model = BayesianRegressor(**{**LITTLE, "steps": 300, "learning_rate": 0.05}, method=method).fit(X, y)
    assert method.split("-")[0] in model.posterior_.record.method.lower()
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"activation": "cube"}, ModelError, "activation='cube'; expected one of"),
        ({"hidden": (0,)}, ModelError, "one of hidden=0"),
        ({"prior": "normal"}, ModelError, "prior='normal'; expected one of companion.priors"),
        ({"draws": 0}, ModelError, "draws=0"),
        ({"method": "magic"}, ModelError, "magic"),
        ({"restarts": 0}, ModelError, "members=0"),
    ],
)
def test_settings_are_refused_at_the_fit(settings, error, message):
    X = np.linspace(-1, 1, 20)[:, None]
    with pytest.raises(error, match=message):
        BayesianRegressor(**{**LITTLE, "steps": 2, **settings}).fit(X, X[:, 0])


def test_one_class_is_refused_by_name():
    with pytest.raises(DataError, match="y holds one class alone, 'a'"):
        BayesianClassifier(**LITTLE).fit(np.zeros((4, 1)), ["a"] * 4)
