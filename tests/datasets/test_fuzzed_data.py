"""Properties of loading that hold for any table and any image: nothing wrong in silence, no error but ours.

`make fuzz` tries many more examples.
"""

import csv
import io
import math
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from companion import datasets
from companion.errors import DataError

WORDS = st.sampled_from(
    ["red", "blue", "None", "NA", "Zürich", 'a "quoted" word', "a, b; c", "x\ty", "$5_a", "長い", "yes"]
)
NUMBERS = st.integers(-(10**8), 10**8).map(lambda v: repr(v / 4)) | st.integers(-500, 500).map(str)
KINDS = {"words": WORDS, "numbers": NUMBERS, "true or false": st.sampled_from(["True", "false", "TRUE"])}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], str]:
    """Draw the names of columns, the rows with the class last, and a separator; some entries are empty."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    rows = draw(
        st.lists(
            st.tuples(
                *(st.just("") | KINDS[k] if draw(st.booleans()) else KINDS[k] for k in kinds), st.sampled_from("ab")
            ),
            min_size=4,
            max_size=30,
        )
    )
    return (
        [f"column {k} of {kind}" for k, kind in enumerate(kinds)],
        [list(row) for row in rows],
        draw(st.sampled_from(",;\t|")),
    )


def load(folder: str, content: bytes, gaps: str = "fill in") -> datasets.Dataset | None:
    """Load a table whose classes are in the column "kind"; None where it is refused by us."""
    path = Path(folder) / "mine.csv"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return datasets.from_csv(path, "kind", gaps=gaps)
        except DataError:
            return None


def key(entries: list[object]) -> tuple[object, ...]:
    """Compare numbers as numbers and true and false in any spelling."""
    found: list[object] = []
    for entry in entries:
        text = str(entry).casefold()
        if text in ("true", "false"):
            found.append(text == "true")
            continue
        try:
            found.append(round(4 * float(text)))  # all numbers here are quarters
        except ValueError:
            found.append(str(entry).strip())
    return tuple(found)


@given(tables())
def test_every_row_without_a_gap_arrives_with_its_values_and_its_class(table: tuple) -> None:
    names, rows, separator = table
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows([[*names, "kind"], *rows])
    with tempfile.TemporaryDirectory() as folder:
        data = load(folder, text.getvalue().encode(), gaps="leave out")
    assume(data is not None)
    assert data is not None
    assert data.encoding is not None
    kept = [column.name for column in data.encoding.columns]
    columns = [names.index(name) for name in kept]
    gaps = {column.name: ("", *column.gaps) for column in data.encoding.columns}
    whole = [row for row in rows if all(row[names.index(name)].strip() not in gaps[name] for name in kept)]
    # what stands in held-out rows alone is not a word of the table
    words = {column.name: getattr(column, "words", None) for column in data.encoding.columns}
    known = [
        [
            row[k] if words[names[k]] in (None, ()) or row[k].strip() in words[names[k]] else "another word"
            for k in columns
        ]
        for row in whole
    ]
    expected = Counter(key([*own, row[-1]]) for own, row in zip(known, whole, strict=True))
    found: Counter[tuple[object, ...]] = Counter()
    for part in (data.train, data.test):
        decoded = data.decode(part.x).itertuples(index=False)
        found.update(key([*row, data.class_names[y]]) for row, y in zip(decoded, part.y, strict=True))
        np.testing.assert_allclose(data.encode(data.decode(part.x)), part.x, atol=1e-6)
        assert set(part.y) == set(range(len(data.class_names)))
    assert found == expected


SCRAPS = st.sampled_from(
    [
        *(
            "a",
            "b",
            "1",
            "2.5",
            "1,5",
            "1.234",
            "NA",
            "nan",
            "#N/A",
            "inf",
            "e",
            "kind",
            "Id",
            "kind,x\n",
            "\nkind;x;\n",
        ),
        *("%", "€", "(", ")", "-", "\N{MINUS SIGN}", "'", '"', '""', "é", "\ufeff", "\u00a0", "\x00"),
        *(" ", ",", ";", "\t", "|", "\n", "\r\n", "\r"),
    ]
)


@given(st.lists(SCRAPS, max_size=60).map("".join).map(str.encode) | st.binary(max_size=200))
def test_no_content_of_a_file_ends_in_an_error_that_is_not_ours(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for whole in (content, b"kind,x\n" + content, b"x;kind\n" + content):
            data = load(folder, whole)
            if data is not None:
                assert np.isfinite(data.train.x).all()
                assert set(data.train.y) == set(data.test.y) == set(range(len(data.class_names)))
            try:
                names = datasets.csv_columns(Path(folder) / "mine.csv")
            except DataError:
                assert data is None
            else:
                assert len(set(names)) == len(names)


@given(
    st.floats(-1e12, 1e12, allow_nan=False),
    st.sampled_from([".", ","]),
    st.sampled_from(["", "other", " ", "\u00a0", "'"]),
    st.sampled_from(["", "%", " cm", " m²", "€", "kg/m³"]),
    st.booleans(),
)
def test_a_number_is_read_as_it_was_written(value: float, decimal: str, by: str, unit: str, brackets: bool) -> None:
    value = round(value, 2)
    by = {".": ",", ",": "."}[decimal] if by == "other" else by
    signs = {",": by, ".": decimal}
    digits = "".join(signs.get(sign, sign) for sign in f"{abs(value):,.2f}")
    text = (
        f"({digits}{unit})" if brackets and value < 0 else ("-" if math.copysign(1, value) < 0 else "") + digits + unit
    )
    own = datasets.Notation(decimal, unit.strip().replace("²", "2").replace("³", "3"), grouped=True)
    assert own.read(text) == value
    assert datasets.Notation(decimal, "lb").read(text) is None


@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=6),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_a_split_keeps_each_row_once_and_each_class_on_both_sides(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    assume(len(labels) > 1)
    names = tuple(map(str, range(len(counts))))
    x = np.arange(len(labels), dtype=float)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = datasets.tabular(x, labels, name="mine", class_names=names, seed=seed, test_fraction=share)
        except DataError:
            return
    assert set(data.train.y) == set(data.test.y) == set(labels)
    rows = np.concatenate([data.decode(part.x)["x1"] for part in (data.train, data.test)]).round().astype(int)
    assert sorted(rows) == list(range(len(labels)))
    np.testing.assert_array_equal(labels[rows], np.concatenate([data.train.y, data.test.y]))


DEPTHS = {
    "L": (np.uint8, 255, "png"),
    "I;16": (np.uint16, 65535, "png"),
    "12 bits": (np.uint16, 4095, "tif"),
    "I": (np.int32, 70000, "tif"),
    "F": (np.float32, 1, "tif"),
}


def two_classes(folder: str, picture: Image.Image, ending: str) -> None:
    """Write two classes of two images each."""
    for name in "ab":
        (Path(folder) / name).mkdir()
        for k in range(2):
            picture.save(Path(folder) / name / f"{k}.{ending}")


def images(folder: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = datasets.from_folder(folder, side=8, test_fraction=0.5)
    return np.concatenate([data.train.x, data.test.x])


@given(st.sampled_from(sorted(DEPTHS)), st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
def test_an_image_looks_the_same_at_every_depth_and_size(depth: str, height: int, width: int, seed: int) -> None:
    kind, top, ending = DEPTHS[depth]
    levels = np.random.default_rng(seed).random((height, width))
    levels.flat[0] = 1
    with tempfile.TemporaryDirectory() as folder:
        two_classes(folder, Image.fromarray((levels * top).astype(kind)), ending)
        found = images(Path(folder))
    expected = np.asarray(ImageOps.fit(Image.fromarray(np.float32(levels)), (8, 8), Image.Resampling.BOX))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.01)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "tif", "bmp", "webp"])
@given(data=st.data())
def test_a_spoilt_file_is_read_or_refused_by_us(ending: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.uint8(np.add.outer(np.arange(16), np.arange(16)) * 8))
    picture.save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()))
    content = bytearray(buffer.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        two_classes(folder, picture, "png")
        (Path(folder) / "a" / f"spoilt.{ending}").write_bytes(content[:cut])
        found, refused = None, ""
        try:
            found = images(Path(folder))
        except DataError as error:
            refused = str(error)
        assert found is not None or f"spoilt.{ending}" in refused
        if found is not None:
            assert len(found) == 5
            assert np.isfinite(found).all()
            assert 0 <= found.min() <= found.max() <= 1
