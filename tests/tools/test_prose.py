"""Numbers of the prose are traced to what the cells printed, to settings or to the originals, or named."""

import nbformat
import pytest

from tools.notebooks import prose, write
from tools.notebooks.prose import figures


def words(text):
    return [figure.words for figure in figures(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The accuracy is 86.2 %, of 500 points.", ["86.2 %", "500"]),
        ("It took 30,000 steps, or 2.5 million evaluations.", ["30,000", "2.5 million"]),
        ("最后停在 $-225.56$。平均为 $-195$。", ["-225.56", "-195"]),
        ("In 2016 $W_1$ had `n=5` and {term}`a 7`, see [8](https://x.org/9).", []),
        ("## 3 headings\n(label-4)=\n```python\n5\n```\n$$ 6 $$ (eq-7)\n**1.** Ask.", []),
        ("- 60 steps a second\n- w_1 and PyMC3", ["60"]),
    ],
)
def test_numbers_of_the_prose_are_found(text, found):
    assert words(text) == found


def chapter(tmp_path, monkeypatch, text):
    code = nbformat.v4.new_code_cell("fit(12_000)", execution_count=1)
    code.outputs = [nbformat.v4.new_output("stream", text="accuracy 86.24%\nloss 181.6 nats\n")]
    path = tmp_path / "book" / "pymc" / "page.ipynb"
    write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), code]), path)
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    monkeypatch.setattr(prose, "page_of", lambda path: "pymc/page")
    monkeypatch.setattr(prose, "HELD", ("pymc/page",))
    monkeypatch.setattr(prose, "FIGURES", {"pymc/page": ("post", ("Wall time: 37.2 s",))})
    return path


def test_each_number_stands_beside_its_source(tmp_path, monkeypatch, capsys):
    path = chapter(tmp_path, monkeypatch, "It reached 86 % and 182 nats in 12,000 steps; the post took 37.2 s.")
    assert prose.main([str(path)]) == 0
    said = capsys.readouterr().out
    for source in ("cell 2: accuracy 86.24%", "cell 2: loss 181.6 nats", "code of cell 2", "the original: Wall time"):
        assert source in said


def test_a_number_without_a_source_is_named_and_fails(tmp_path, monkeypatch, capsys):
    path = chapter(tmp_path, monkeypatch, "It reached 86.2 %, and once 87 %. 181.5 is not what was printed.")
    assert prose.main(["--check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "87 %: NO SOURCE" in said
    assert "181.5: NO SOURCE" in said
    assert "86.2 %: NO SOURCE" not in said
