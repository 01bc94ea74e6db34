"""Images of every mode and depth that Pillow opens keep what they show, and files left out are counted."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from messy import FOLDERS, shape, write_folder
from PIL import Image, ImageOps

from companion import datasets
from companion.errors import CompanionWarning, DataError

RAMP = np.linspace(0, 1, 64)[None].repeat(64, 0)
SMALL = RAMP[:28, :28] * 0 + np.linspace(0, 1, 64).reshape(-1)[np.arange(28) * 64 // 28]


def folder(root: Path, image: Image.Image, ending: str = "png", **options: object) -> Path:
    """Two classes of an image and of its negative, which lies beside it; two files each."""
    for name in "ab":
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(2):
            (image if name == "a" else ImageOps.mirror(image)).save(root / name / f"{k}.{ending}", **options)
    return root


def loaded(root: Path) -> tuple[np.ndarray, str]:
    """The image of the first class, and all that was said."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        data = datasets.from_folder(root, test_fraction=0.5)
    assert all(w.category is CompanionWarning and w.filename == __file__ for w in given)
    return data.train.x[data.train.y == 0][0], "\n".join(str(w.message) for w in given)


BYTES = np.uint8(255 * RAMP)
GREY = Image.fromarray(BYTES)
MODES: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "L": (lambda: GREY, "png"),
    "RGB": (lambda: GREY.convert("RGB"), "bmp"),
    "P": (lambda: GREY.convert("P"), "png"),
    "CMYK": (lambda: GREY.convert("RGB").convert("CMYK"), "tif"),
    "YCbCr": (lambda: GREY.convert("RGB").convert("YCbCr"), "tif"),
    "LAB": (lambda: GREY.convert("RGB").convert("LAB"), "tif"),
    "RGBA": (lambda: GREY.convert("RGBA"), "webp"),
    "LA": (lambda: GREY.convert("LA"), "png"),
    "I;16 png": (lambda: Image.fromarray(np.uint16(65535 * RAMP)), "png"),
    "I;16 of 12 bits": (lambda: Image.fromarray(np.uint16(4095 * RAMP)), "tif"),
    "I;16 of 10 bits": (lambda: Image.fromarray(np.uint16(1023 * RAMP)), "tif"),
    "I;16 of 8 bits": (lambda: Image.fromarray(np.uint16(255 * RAMP)), "tif"),
    "I": (lambda: Image.fromarray(np.int32(65535 * RAMP)), "tif"),
    "I below zero": (lambda: Image.fromarray(np.int32(3000 * RAMP - 1000)), "tif"),
    "F from 0 to 1": (lambda: Image.fromarray(np.float32(RAMP)), "tif"),
    "F from 0 to 255": (lambda: Image.fromarray(np.float32(255 * RAMP)), "tif"),
    "F anywhere": (lambda: Image.fromarray(np.float32(0.37 * RAMP - 0.2)), "tif"),
}


@pytest.mark.parametrize("name", MODES)
def test_an_image_of_any_mode_shows_what_it_shows(name: str, tmp_path: Path) -> None:
    make, ending = MODES[name]
    image, words = loaded(folder(tmp_path, make(), ending))
    expected = np.asarray(ImageOps.fit(GREY, (28, 28), Image.Resampling.BOX)) / 255
    np.testing.assert_allclose(image, expected, atol=0.02)
    assert ("more than 8 bits per pixel" in words) == name.startswith(("I", "F"))


def test_deep_images_of_a_folder_are_scaled_together(tmp_path: Path) -> None:
    root = folder(tmp_path, Image.fromarray(np.uint16(4000 * RAMP)), "tif")
    Image.fromarray(np.uint16(400 * RAMP)).save(root / "b" / "dark.tif")
    Image.fromarray(np.uint8(255 * RAMP)).save(root / "b" / "common.png")
    with pytest.warns(CompanionWarning, match="5 images of .* whole numbers from 0 to 4,095 become 0 to 1"):
        data = datasets.from_folder(root, test_fraction=0.5)
    brightest = sorted(np.concatenate([data.train.x, data.test.x]).max(axis=(1, 2)).round(2).tolist())
    assert brightest == pytest.approx([0.1, *[0.96] * 4, 0.98], abs=0.02)


def test_floats_and_whole_numbers_of_a_folder_do_not_spoil_each_other(tmp_path: Path) -> None:
    root = folder(tmp_path, Image.fromarray(np.uint16(65535 * RAMP)), "tif")
    Image.fromarray(np.float32(RAMP)).save(root / "b" / "float.tif")
    with pytest.warns(CompanionWarning, match="whole numbers from 0 to 65,535 become 0 to 1 and floats from 0 to 1"):
        data = datasets.from_folder(root, test_fraction=0.4)
    np.testing.assert_allclose(np.concatenate([data.train.x, data.test.x]).mean(axis=(1, 2)), 0.5, atol=0.02)


def test_a_deep_scan_whose_zero_is_white_is_not_a_negative(tmp_path: Path) -> None:
    root = folder(tmp_path, Image.fromarray(np.uint16(65535 * (1 - RAMP))), "tif", tiffinfo={262: 0})
    with Image.open(root / "a" / "0.tif") as image:
        assert image.tag_v2[262] == 0
    np.testing.assert_allclose(loaded(root)[0].mean(axis=0), SMALL[0], atol=0.05)


INK = np.zeros((64, 64), np.uint8)
INK[10:50, 10:20] = 255


def icon(ink: int, mode: str) -> Image.Image:
    """A bar of one colour on a transparent ground."""
    grey = np.full_like(INK, ink)
    if mode == "LA":
        return Image.fromarray(np.dstack([grey, INK]))
    if mode == "RGBA":
        return Image.fromarray(np.dstack([grey, grey, grey, INK]))
    bar = Image.fromarray(np.uint8(INK > 0), mode="P")
    bar.putpalette([ink, ink, ink] * 2)
    bar.info["transparency"] = 0
    return bar if mode == "P" else bar.convert("RGBA").convert("PA")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("mode", "ending"), [("LA", "png"), ("RGBA", "png"), ("RGBA", "tif"), ("P", "png"), ("P", "gif")]
)
@pytest.mark.parametrize("ink", [0, 255])
def test_what_is_drawn_on_a_transparent_ground_is_seen(ink: int, mode: str, ending: str, tmp_path: Path) -> None:
    image, words = loaded(folder(tmp_path, icon(ink, mode), ending))
    assert np.ptp(image) > 0.9
    ground = image[-1, -1]
    assert ground == (1 if ink == 0 else 0), "white paper, or black where the ink is white"
    assert ("laid on black" in words) == (ink == 255)


def test_a_transparent_colour_of_a_grey_image_is_not_ink(tmp_path: Path) -> None:
    bar = Image.fromarray(np.uint8(255 - INK) // 2 + 60)
    image, _ = loaded(folder(tmp_path, bar, "png", transparency=187))
    assert image[-1, -1] == 1
    assert image.min() < 0.3


def test_images_that_are_all_the_same_are_told(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for k in range(2):
            GREY.save(tmp_path / name / f"{k}.png")
    assert "are the same once they are small and grey" in loaded(tmp_path)[1]


def test_files_that_are_left_out_are_counted_by_what_they_are(tmp_path: Path) -> None:
    root = folder(tmp_path / "phone", GREY)
    for k in range(5):
        (root / "a" / f"{k}.HEIC").write_bytes(b"\0" * 99)
    (root / "b" / "notes").write_text("no ending", encoding="utf-8")
    (root / "b" / "more" / "deep").mkdir(parents=True)
    for k in range(3):
        GREY.save(root / "b" / "more" / "deep" / f"{k}.jpg")
    GREY.save(root / "cover.jpg")
    for hidden in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini"):
        (root / "a" / hidden).write_bytes(b"hidden")
    _, words = loaded(root)
    assert words.startswith(
        "left out of phone: 5 files with the ending .heic, 1 file without an ending, 3 images in deeper folders such "
        "as b/more, 1 image beside the subfolders."
    )


@pytest.mark.parametrize("ending", ["jfif", "JPG", "jpe", "tga", "ppm", "jp2", "avif", "ico"])
def test_whatever_pillow_opens_is_read(ending: str, tmp_path: Path) -> None:
    if not Image.registered_extensions().get(f".{ending.lower()}"):
        pytest.skip(f"this Pillow has no {ending}")
    format_of = {"jfif": "JPEG", "JPG": "JPEG", "jpe": "JPEG"}.get(ending)
    image, _ = loaded(folder(tmp_path, GREY, ending, **({"format": format_of} if format_of else {})))
    np.testing.assert_allclose(image.mean(axis=0), SMALL[0], atol=0.06)


def test_a_folder_of_what_cannot_be_read_says_what_it_holds(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.HEIC").write_bytes(b"\0" * 99)
    with pytest.raises(DataError, match=r"no images in subfolders; .* 2 files with the ending \.heic.* convert"):
        datasets.from_folder(tmp_path)


def test_further_images_in_a_file_are_told(tmp_path: Path) -> None:
    root = folder(tmp_path, GREY, "tif", save_all=True, append_images=[ImageOps.mirror(GREY)])
    image, words = loaded(root)
    np.testing.assert_allclose(image.mean(axis=0), SMALL[0], atol=0.05)
    assert "4 files of" in words
    assert "hold more than one image" in words


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "not an image": lambda content: b"GIF89a" + content[:20],
    "text": lambda content: b"<html>",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    root = folder(tmp_path, GREY)
    bad = root / "a" / "0.png"
    bad.write_bytes(DAMAGE[name](bad.read_bytes()))
    with pytest.raises(DataError, match=r"a/0\.png can't be read as an image .*: replace it or remove it"):
        datasets.from_folder(root)


def test_levels_that_are_not_numbers_are_refused_by_file(tmp_path: Path) -> None:
    values = np.float32(RAMP)
    values[3, 4] = np.nan
    with pytest.raises(DataError, match=r"0\.tif can't be read .*NaN or infinite"):
        datasets.from_folder(folder(tmp_path, Image.fromarray(values), "tif"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such folders")
def test_a_link_that_leads_nowhere_is_left_out_and_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, GREY)
    (root / "a" / "gone.png").symlink_to(root / "nowhere.png")
    assert "1 file with the ending .png" in loaded(root)[1]


@pytest.mark.filterwarnings("ignore::companion.errors.CompanionWarning")
@pytest.mark.parametrize("name", FOLDERS)
def test_the_shapes_in_a_messy_folder_can_be_told_apart(name: str, tmp_path: Path) -> None:
    data = datasets.from_folder(write_folder(tmp_path, name))
    wanted = np.stack([np.asarray(Image.fromarray(shape(kind, 0)).resize((28, 28))) for kind in (0, 1)]).reshape(2, -1)
    images = data.train.x.reshape(len(data.train), -1)
    alike = np.array([[np.corrcoef(image, model)[0, 1] for model in wanted] for image in images])
    best = np.abs(alike).argmax(axis=1)
    assert (best == np.where(data.train.y == data.class_names.index("$disc^$"), 0, 1)).mean() > 0.8
