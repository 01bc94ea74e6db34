"""Data of the reader's own: what is read, what is left out, and what is said of it."""

import numpy as np
import pytest
from PIL import Image

from companion import datasets
from companion.errors import CompanionWarning, DataError


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding=encoding)
    return path


ROWS = [("a", 1.0, "red"), ("b", 2.0, "blue"), ("a", 3.0, "red"), ("b", 4.0, "blue")] * 5


def text_of(separator):
    return "\n".join(separator.join(map(str, row)) for row in [("kind", "size", "colour"), *ROWS])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_usual_separator_gives_the_same_table(separator, tmp_path):
    data = datasets.from_csv(written(tmp_path, text_of(separator)), "kind")
    assert data.class_names == ("a", "b")
    assert data.feature_names == ("size", "colour = blue", "colour = red")
    assert len(data.train) + len(data.test) == 20


def test_a_mark_at_the_files_start_is_not_a_part_of_the_first_name(tmp_path):
    data = datasets.from_csv(written(tmp_path, text_of(","), encoding="utf-8-sig"), "kind")
    assert data.class_names == ("a", "b")


def test_inputs_and_labels_belong_together(tmp_path):
    data = datasets.from_csv(written(tmp_path, text_of(",")), "kind")
    for part in (data.train, data.test):
        original = data.scaling.undo(part.x)
        kind = {1.0: 0, 3.0: 0, 2.0: 1, 4.0: 1}
        assert [kind[size] for size in original[:, 0].round(6)] == part.y.tolist()
        np.testing.assert_allclose(original[:, 1], part.y, atol=1e-9)


def test_numeric_classes_keep_the_order_of_numbers(tmp_path):
    text = "kind,x\n" + "".join(f"{(2, 10, 1)[k % 3]},{k}\n" for k in range(30))
    assert datasets.from_csv(written(tmp_path, text), "kind").class_names == ("1", "2", "10")


@pytest.mark.parametrize("gaps", ["fill in", "leave out"])
def test_gaps_and_remarks_are_filled_or_left_out_with_a_word(gaps, tmp_path):
    lines = ["kind,size,remark"] + [f"{'ab'[k % 2]},{'' if k == 3 else k},remark {k}" for k in range(30)]
    path = written(tmp_path, "\n".join(lines))
    with pytest.warns(CompanionWarning) as said:
        data = datasets.from_csv(path, "kind", gaps=gaps)
    words = " ".join(str(warning.message) for warning in said)
    assert "1 of 30 rows of mine.csv have gaps" in words
    assert "'remark'" in words
    filled = gaps == "fill in"
    assert data.feature_names == (("size", "size is missing") if filled else ("size",))
    assert len(data.train) + len(data.test) == 29 + filled


def test_the_split_follows_the_seed(tmp_path):
    path = written(tmp_path, text_of(","))
    one, same, other = (datasets.from_csv(path, "kind", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.test.y, same.test.y)
    np.testing.assert_array_equal(one.train.x, same.train.x)
    assert one.train.x.tolist() != other.train.x.tolist()


@pytest.fixture
def folder(tmp_path):
    """Black and white images, with a coloured and a wide one among them."""
    for kind, level in (("black", 0), ("white", 255)):
        (tmp_path / "tiles" / kind).mkdir(parents=True)
        for k in range(8):
            Image.new("RGB", (20 + 10 * (k % 2), 20), (level,) * 3).save(tmp_path / "tiles" / kind / f"{k}.png")
    (tmp_path / "tiles" / "black" / "notes.txt").write_text("not an image", encoding="utf-8")
    (tmp_path / "tiles" / ".cache").mkdir()
    return tmp_path / "tiles"


def test_images_are_small_grey_squares_with_the_right_labels(folder):
    data = datasets.from_folder(folder, side=12)
    assert data.name == "tiles"
    assert data.class_names == ("black", "white")
    assert data.train.x.shape == (12, 12, 12)
    assert data.train.x.dtype == np.float32
    for part in (data.train, data.test):
        np.testing.assert_array_equal(part.x.mean(axis=(1, 2)), part.y)
    assert np.bincount(data.test.y).tolist() == [2, 2], "the same share of each class is held out"


def test_a_photograph_taken_sideways_is_turned_upright(folder):
    """The top half is white; the camera's note says that what is stored must be turned by a quarter."""
    picture = Image.new("L", (30, 30), 0)
    picture.paste(255, (0, 0, 30, 15))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    for k in range(8):
        picture.rotate(90).save(folder / "white" / f"{k}.png", exif=exif)
    data = datasets.from_folder(folder, side=10)
    white = data.train.x[data.train.y == 1]
    assert white[:, :4].mean() > 0.99
    assert white[:, 6:].mean() < 0.01


@pytest.mark.parametrize(
    ("settings", "words"), [({"side": 3}, "side=3"), ({"test_fraction": 0.01}, "test_fraction=0.01")]
)
def test_settings_that_cannot_be_are_refused(folder, settings, words):
    with pytest.raises(DataError, match=words):
        datasets.from_folder(folder, **settings)
