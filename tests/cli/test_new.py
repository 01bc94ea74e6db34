"""``companion new``: from a reader's own table or images to a notebook that runs."""

import json
import os
import stat
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from companion.cli import main


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Two species of flowers, told apart by two of three numbers and a word."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["kind,petal length,petal width,soil"]
    for k, kind in enumerate(("setosa", "virginica")):
        for length, width in rng.normal([2 + 2 * k, 1 + k], 0.5, size=(80, 2)):
            lines.append(f"{kind},{length:.2f},{width:.2f},{('clay', 'sand')[int(rng.integers(2))]}")
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Bright discs and bright squares, in colour and of several sizes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for kind in ("disc", "square"):
        folder = tmp_path / "shapes" / kind
        folder.mkdir(parents=True)
        for k in range(40):
            side = int(rng.integers(30, 60))
            across = np.linspace(-1, 1, side)
            x, y = np.meshgrid(across, across)
            inside = (x**2 + y**2 < 0.5) if kind == "disc" else (np.maximum(abs(x), abs(y)) < 0.6)
            picture = np.uint8(np.clip(200 * inside[..., None] + rng.normal(30, 10, (side, side, 3)), 0, 255))
            Image.fromarray(picture).save(folder / f"{k}.{('png', 'jpg')[k % 2]}")
    return tmp_path / "shapes"


def execute(path):
    """Run a notebook as a reader would; return it with what it printed."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    printed = [o.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return notebook, "".join(printed)


def figure_of(printed, name):
    """The accuracy that a method's line states."""
    (line,) = [line for line in printed.splitlines() if line.startswith(name) and "accuracy" in line]
    return float(line.partition("accuracy")[2].partition("%")[0]) / 100


def test_a_table_becomes_a_notebook_that_runs_and_beats_guessing(table, capsys):
    assert main(["new", str(table), "--target", "kind"]) == 0
    out = capsys.readouterr().out
    assert "160 rows of 4 features; classes: setosa (80), virginica (80)" in out
    assert "jupyter lab flowers.ipynb" in out
    notebook, printed = execute(table.with_suffix(".ipynb"))
    assert figure_of(printed, "Bayesian network") > 0.9
    assert figure_of(printed, "Bayesian network") > figure_of(printed, "most frequent class")
    assert table.with_suffix(".safetensors").is_file()
    pictures = [
        o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})
    ]
    assert len(pictures) == 3


def test_a_folder_of_images_becomes_a_notebook_that_runs_and_beats_guessing(photos, capsys):
    (photos.parent / "work").mkdir()
    assert main(["new", "shapes", "--to", "work/mine.ipynb"]) == 0
    assert "80 images; classes: disc (40), square (40)" in capsys.readouterr().out
    _, printed = execute(photos.parent / "work" / "mine.ipynb")
    assert figure_of(printed, "Bayesian network") > 0.9
    assert (photos.parent / "work" / "mine.safetensors").is_file()


def test_names_that_markdown_or_python_would_misread_survive(table):
    odd = table.with_name('a *bold* "name".csv')
    text = table.read_text(encoding="utf-8").replace("kind,", '"the ""kind""",', 1)
    odd.write_text(text, encoding="utf-8")
    assert main(["new", str(odd), "--target", 'the "kind"', "--to", "odd.ipynb"]) == 0
    cells = nbformat.read("odd.ipynb", as_version=4).cells
    assert "a \\*bold\\*" in cells[0].source
    (load,) = [cell.source for cell in cells if "from_csv" in cell.source]
    call = load.splitlines()[0]
    assert json.dumps('a *bold* "name".csv') in call
    assert json.dumps('the "kind"') in call
    assert "{{" not in "".join(cell.source for cell in cells)


def refused(capsys, *words):
    """What the command says to words that it can't follow; nothing is written."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(["new", *map(str, words)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("companion: ")
    assert "Traceback" not in err
    assert sorted(Path.cwd().rglob("*")) == before
    return err


def test_what_is_wrong_with_the_command_is_said(table, photos, capsys):
    assert "there is no nothing.csv" in refused(capsys, "nothing.csv", "--target", "kind")
    assert "with --target: kind, petal length, petal width, soil" in refused(capsys, table)
    assert "did you mean 'petal width'" in refused(capsys, table, "--target", "petal_width")
    assert "there are: kind" in refused(capsys, table, "--target", "zzz")
    assert "leave --target out" in refused(capsys, photos, "--target", "kind")
    assert "ends in .ipynb" in refused(capsys, table, "--target", "kind", "--to", "x.py")
    assert "make it first" in refused(capsys, table, "--target", "kind", "--to", "no/x.ipynb")


def test_a_notebook_that_exists_is_never_overwritten(table, capsys):
    table.with_suffix(".ipynb").write_text("my own work", encoding="utf-8")
    assert "exists already" in refused(capsys, table, "--target", "kind")
    assert table.with_suffix(".ipynb").read_text(encoding="utf-8") == "my own work"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(table, capsys):
    locked = table.parent / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "can't be written" in refused(capsys, table, "--target", "kind", "--to", "locked/x.ipynb")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "can't be read as a table"),
        ("kind,x\n", "no rows"),
        ("kind,x\na,1\na,2\na,3\n", "one class alone, 'a'"),
        ("kind,x\na,1\na,2\nb,3\n", "classes with a single row: b"),
        ("kind,x\na,\nb,\n", "every row of bad.csv has a gap"),
        ("kind\na\nb\na\nb\n", "no column besides the target"),
        ("kind,x\n" + "".join(f"{'ab'[k % 2]},word{k}\n" for k in range(60)), "no column besides the target"),
        ("kind,x\na,1\nb,1,2,3\na,1,2\n", "can't be read as a table"),
        ("kind,x\na,1,2\nb,1,3\na,1,2\n", "mend the header"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said(text, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text(text, encoding="utf-8")
    assert words in refused(capsys, "bad.csv", "--target", "kind")


def test_what_is_wrong_with_a_folder_is_said(photos, capsys):
    empty = photos / "triangle"
    empty.mkdir()
    assert "no images in triangle" in refused(capsys, photos)
    (empty / "1.png").write_bytes((photos / "disc" / "0.png").read_bytes())
    assert "a single image in triangle" in refused(capsys, photos)
    (empty / "2.png").write_bytes(b"no image")
    assert "2.png can't be read as an image" in refused(capsys, photos)
    assert "none in a subfolder" in refused(capsys, photos / "disc")
    bare = photos.parent / "bare"
    bare.mkdir()
    assert "no images in subfolders" in refused(capsys, bare)
    (bare / "only").mkdir()
    for name in ("1.png", "2.png"):
        (bare / "only" / name).write_bytes((photos / "disc" / "0.png").read_bytes())
    assert "one class alone, 'only'" in refused(capsys, bare)


def test_the_command_s_help_names_both_kinds_of_data(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["new", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "CSV" in out
    assert "subfolder" in out


def test_what_is_said_of_a_table_stands_in_the_notebook_and_what_was_done_is_printed(table, capsys):
    text = table.read_text(encoding="utf-8").splitlines()
    lines = [f"{line},p{k // 5},{1 + k % 2},{k % 24}" for k, line in enumerate(text[1:])]
    table.write_text("\n".join([f"{text[0]},plot,often,hour", *lines]), encoding="utf-8")
    said = ["--groups", "plot", "--weights", "often", "--ordered", "soil=sand, clay", "--cyclic", "hour=24"]
    assert main(["new", "flowers.csv", "--target", "kind", *said, "--gaps", "leave-out"]) == 0
    out = capsys.readouterr().out
    for step in (
        "soil: the place in the order sand < clay",
        "hour: sine and cosine on a circle of 24",
        "often: not learned from",
        "plot: not learned from",
        "kind: the target",
    ):
        assert f"\n  {step}" in out
    code = json.loads(table.with_suffix(".ipynb").read_text(encoding="utf-8"))["cells"]
    call = next(line for cell in code for line in cell["source"].splitlines() if "datasets.from_csv" in line)
    for part in (
        'gaps="leave out"',
        'ordered={"soil": ["sand", "clay"]}',
        'cyclic={"hour": 24.0}',
        'weights="often"',
        'groups="plot"',
    ):
        assert part in call


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["--ordered", "soil"], "--ordered soil: expected a column, = and what stands there"),
        (["--cyclic", "=24"], "--cyclic =24: expected a column"),
        (["--ordered", "soil=clay,loam"], "doesn't name 'sand'"),
        (["--groups", "sole"], "no column 'sole'; did you mean 'soil'"),
        (["--time", "soil"], "isn't one of numbers or dates"),
    ],
)
def test_what_is_said_wrongly_of_a_table_is_refused(said, words, table, capsys):
    assert words in refused(capsys, table, "--target", "kind", *said)


def test_what_is_for_tables_is_refused_for_a_folder(photos, capsys):
    for said in (["--groups", "a"], ["--leave-out", "a"], ["--task", "classes"], ["--cyclic", "a=3"]):
        assert f"leave {said[0]} out" in refused(capsys, photos, *said)
