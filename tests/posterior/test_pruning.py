"""Pruning: the weights that are least surely different from zero go first."""

from functools import cache

import numpy as np
import pytest

from companion.datasets import moons
from companion.errors import ModelError
from companion.inference import fit
from companion.models import binary_classifier, torch_classifier
from companion.networks import dense
from companion.posterior import moments, prune
from companion.priors import LearnedScale

DATA = moons().train
NAMES = ["w_in_1", "w_1_2", "w_2_out"]


@cache
def fitted(family="mean-field", restarts=1, keep="best"):
    return fit(
        binary_classifier(DATA), 200, restarts=restarts, keep=keep, family=family, progressbar=False, elbo_draws=20
    )


def flat(of):
    return np.concatenate([of[name].ravel() for name in NAMES])


def test_moments_are_those_of_the_draws():
    found, draws = moments(fitted()), fitted().draw(4000, seed=0)
    for name in NAMES:
        np.testing.assert_allclose(draws[name].mean(axis=0), found[name].mean, atol=5 * found[name].scale.max() / 60)
        np.testing.assert_allclose(draws[name].std(axis=0), found[name].scale, rtol=0.08)
        np.testing.assert_allclose(found[name].signal_to_noise, np.abs(found[name].mean) / found[name].scale)


def test_moments_of_a_correlated_family_are_its_marginals():
    found, draws = moments(fitted("low-rank:2")), fitted("low-rank:2").draw(4000, seed=0)
    np.testing.assert_allclose(draws["w_in_1"].std(axis=0), found["w_in_1"].scale, rtol=0.08)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_least_sure_weights_become_zero(share):
    pruned = prune(fitted(), share, NAMES)
    gone = np.concatenate([(pruned.draw(3, seed=0)[name] == 0).all(axis=0).ravel() for name in NAMES])
    ratio = np.concatenate([moments(fitted())[name].signal_to_noise.ravel() for name in NAMES])
    assert gone.sum() == round(share * len(ratio))
    if 0 < share < 1:
        assert ratio[gone].max() <= ratio[~gone].min()


def test_what_is_not_pruned_stays_as_it_was():
    before, after = moments(fitted()), moments(prune(fitted(), 0.5, ["w_1_2"]))
    np.testing.assert_array_equal(before["w_in_1"].mean, after["w_in_1"].mean)
    np.testing.assert_array_equal(before["w_2_out"].scale, after["w_2_out"].scale)
    assert (after["w_1_2"].mean == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_without_weights_the_network_knows_nothing():
    np.testing.assert_allclose(prune(fitted(), 1.0, NAMES).predictive(DATA.x, 3, 0), 0.5)


def test_the_pruned_posteriors_elbo_is_unknown():
    assert np.isnan(prune(fitted(), 0.1, NAMES).record.elbo)


def test_what_cant_be_pruned_is_refused():
    with pytest.raises(ModelError, match=r"share=1.5; expected a share"):
        prune(fitted(), 1.5, NAMES)
    with pytest.raises(ModelError, match=r"names=\['w'\]; expected names of free variables .*'w_in_1'"):
        prune(fitted(), 0.5, ["w"])
    with pytest.raises(ModelError, match="mixture of 2 restarts"):
        prune(fitted(restarts=2, keep="mixture"), 0.5, NAMES)
    with pytest.raises(ModelError, match="mixture of 2 restarts"):
        moments(fitted(restarts=2, keep="mixture"))
    with pytest.raises(ModelError, match="full-rank"):
        prune(fitted("full-rank"), 0.5, NAMES)


@pytest.mark.parametrize("names", ["0.weight", ["0.scale_log__"], ["0.scale"], 3, [["0.weight"]], [np.zeros(2)]])
def test_what_has_no_zero_to_go_to_or_is_not_a_list_of_names_is_refused(names):
    """A value of 0 makes a scale 1, and not 0."""
    posterior = with_a_scale()
    with pytest.raises(ModelError, match=r"expected names of free variables without a transform") as told:
        prune(posterior, 1.0, names)
    assert "scale_log__" not in str(told.value).partition("some of")[2]
    assert (f"[{names!r}]" in str(told.value)) == isinstance(names, str)


def test_all_weights_are_pruned_together_where_none_are_named():
    weights = [name for name in with_a_scale().variables if not name.endswith("scale")]
    pruned, same = (prune(with_a_scale(), 0.5, *names).draw(3, seed=0) for names in ([], [weights]))
    for name, draws in pruned.items():
        np.testing.assert_array_equal(draws, same[name])
    gone = np.concatenate([(pruned[name] == 0).all(axis=0).ravel() for name in weights])
    assert gone.sum() == round(0.5 * len(gone))
    assert (pruned["0.scale"] > 0).all()


@cache
def with_a_scale():
    model = torch_classifier(DATA, dense(2, 4, 2), LearnedScale(1.0))
    return fit(model, 20, progressbar=False, elbo_draws=2)
