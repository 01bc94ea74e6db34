"""The page that is printed holds the whole book, and its links lead within it."""

import os

import pytest
from browsing import without
from bs4 import BeautifulSoup

from tools.contents import first, pages
from tools.site import pdf


@pytest.fixture(scope="module")
def printed():
    if not (pdf.HTML / f"{first()}.html").is_file():
        (without if os.environ.get("BOOK_RENDERED") else pytest.skip)("the book has not been rendered: make site")
    return BeautifulSoup(pdf.joined(), "html.parser")


def test_every_page_is_in_it_once_and_in_order(printed):
    names = [section["id"] for section in printed.select("section.printed")]
    assert names == [page.replace("/", "-") for page in [first(), *pages()]]


def test_links_between_pages_lead_within_it(printed):
    places = {tag["id"] for tag in printed.select("[id]")}
    within = [a["href"] for a in printed.select("a[href^='#']")]
    assert len(within) > 500
    assert {a for a in within if a[1:] not in places} == set()
    own = {f"{page}.html" for page in [first(), *pages()]}
    assert not [a["href"] for a in printed.select("a[href]") if a["href"].partition("#")[0] in own]


def test_its_pictures_are_there_and_what_was_folded_is_open(printed):
    for image in printed.select("img[src]"):
        if "://" not in image["src"]:
            assert (pdf.HTML / image["src"].partition("?")[0]).is_file(), image["src"]
    assert printed.select("details")
    assert all(tag.has_attr("open") for tag in printed.select("details"))


def test_a_page_without_an_article_is_named(tmp_path):
    for page in [first(), *pages()]:
        file = tmp_path / f"{page}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("<p>nothing</p>")
    with pytest.raises(ValueError, match="has no article; render the book"):
        pdf.joined(tmp_path)
