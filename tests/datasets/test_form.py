"""The form of a table is kept with a posterior: new rows go through the same steps after loading."""

import warnings

import numpy as np
import pandas as pd
import pytest
from messy import quietly

from companion import datasets, predict, save_posterior
from companion.errors import CompanionWarning, DataError
from companion.inference import fit
from companion.models import torch_regression
from companion.networks import dense
from companion.posterior import load_form, load_posterior
from companion.priors import Gaussian


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Prices with a decimal comma, a unit, thousands, true and false, and words."""
    rng = np.random.default_rng(0)
    lines = ["price;size;plot;new;town"]
    for k in range(40):
        size, plot = f"{rng.uniform(1, 9):.2f}".replace(".", ","), f"1.{rng.integers(100, 999)}"
        lines.append(f"{k}5,5;{size} m;{plot};{('true', 'false')[k % 2]};{('Rome', 'Oslo')[k // 2 % 2]}")
    path = tmp_path_factory.mktemp("table") / "homes.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return quietly(path, "price", task="measurements")


NEW = pd.DataFrame(
    {"size": ["2,5 m", "7,25 m"], "plot": ["1.500", "1.250"], "new": [True, "false"], "town": ["Oslo", "Rome"]}
)


def test_new_rows_go_through_the_same_steps_after_loading(table, tmp_path):
    model = torch_regression(table.train, dense(len(table.feature_names), 1), Gaussian(1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompanionWarning)
        posterior = fit(model, 5, family="map", progressbar=False)
    path = save_posterior(posterior, tmp_path / "homes.safetensors", half=False, table=table)
    form, again = load_form(path), load_posterior(path, model)
    np.testing.assert_array_equal(form.encode(NEW), table.encode(NEW))
    np.testing.assert_array_equal(predict(again, form.encode(NEW), 2), predict(posterior, table.encode(NEW), 2))
    pd.testing.assert_frame_equal(form.decode(table.test.x), table.decode(table.test.x))
    assert form.steps == table.steps
    with pytest.warns(CompanionWarning, match="had no 'Paris' in column 'town'"):
        form.encode(NEW.assign(town="Paris"))
    bare = save_posterior(posterior, tmp_path / "bare.safetensors")
    with pytest.raises(DataError, match=r"holds no table; save the posterior with one"):
        load_form(bare)


def test_images_have_no_form():
    images = datasets.Observations(np.zeros((4, 2, 2)), [0, 1, 0, 1])
    data = datasets.Dataset(name="images", train=images, test=images, class_names=("a", "b"))
    with pytest.raises(DataError, match="images is not a table"):
        _ = data.form
