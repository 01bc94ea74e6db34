"""The check of the rendered book's links: it finds what a reader would run into."""

import pytest
import yaml

from tools import ROOT
from tools.pages import links
from tools.pages.links import BRANCH, OWNER, REPOSITORY, WAYS, problems

CHAPTER = "pymc/moons"
LINKS = {
    "Binder": f"https://mybinder.org/v2/gh/{OWNER}/main?urlpath=lab/tree/book/pymc/moons.ipynb",
    "Colab": f"https://colab.research.google.com/github/{OWNER}/blob/main/book/pymc/moons.ipynb",
    "source": f"{REPOSITORY}/blob/main/book/pymc/moons.ipynb?plain=1",
    "download": "../_sources/pymc/moons.ipynb",
    "book": "#model",
}


def rendered(tmp_path, **others):
    """A book of one chapter, with these links in place of the right ones."""
    page = tmp_path / f"{CHAPTER}.html"
    page.parent.mkdir(exist_ok=True)
    body = "".join(f'<a href="{link}">{way}</a>' for way, link in (LINKS | others).items() if link)
    page.write_text(f'<html><body><h1 id="model">Model</h1>{body}</body></html>', encoding="utf-8")
    download = tmp_path / "_sources" / "pymc" / "moons.ipynb"
    download.parent.mkdir(parents=True, exist_ok=True)
    download.write_text("{}", encoding="utf-8")
    links._soup.cache_clear()
    return problems(tmp_path, CHAPTER)


def test_right_links_are_right(tmp_path):
    assert rendered(tmp_path) == []


@pytest.mark.parametrize(
    ("way", "link", "words"),
    [
        ("Binder", LINKS["Binder"].replace("/main?", "/master?"), "expected the repository and branch"),
        ("Binder", LINKS["Binder"].replace("book/pymc/", "pymc/"), "opens pymc/moons.ipynb"),
        ("Binder", LINKS["Binder"].replace("moons", "zh"), "opens book/pymc/zh.ipynb"),
        ("Colab", LINKS["Colab"].replace("/main/", "/master/"), "expected it to begin with"),
        ("Colab", LINKS["Colab"].replace(OWNER, "someone/else"), "expected it to begin with"),
        ("Colab", LINKS["Colab"].replace("moons", "zh"), "opens book/pymc/zh.ipynb"),
        ("source", f"{REPOSITORY}/blob/main/book/pymc/gone.ipynb", "the repository has no book/pymc/gone.ipynb"),
        ("source", f"{REPOSITORY}/edit/master/book/pymc/moons.ipynb", "expected it to begin with"),
        ("download", "../_sources/pymc/gone.ipynb", "no such file"),
        ("book", "zh.html", "no such file"),
        ("book", "#nowhere", "no place called #nowhere"),
    ],
)
def test_a_link_that_leads_nowhere_is_named(tmp_path, way, link, words):
    (problem,) = rendered(tmp_path, **{way: link})
    assert words in problem
    assert link in problem


@pytest.mark.parametrize("way", WAYS)
def test_a_chapter_without_a_way_in_is_named(tmp_path, way):
    assert rendered(tmp_path, **{way: ""}) == [f"{CHAPTER}: has no link to {way}"]


def test_a_page_that_was_not_rendered_is_named(tmp_path):
    assert problems(tmp_path, CHAPTER) == [f"{CHAPTER}: moons.html was not rendered"]


def test_the_branch_is_the_one_that_is_published():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    events = workflow[True]  # YAML 1.1 reads the word "on" as a truth value
    assert events["push"]["branches"] == [BRANCH] == ["main"]


def test_make_book_ends_with_the_check():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nbook:")[2].partition("\n\n")[0]
    assert (
        recipe.index("jupyter-book build") < recipe.index("$(TOOLS) rendered") < recipe.index("@touch _build/.finished")
    )
