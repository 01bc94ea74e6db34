"""A real browser for the tests of the pages, and a page with nothing but the pieces to play with.

Without a browser these tests are skipped, but never in continuous integration, where the variable CI is set.
"""

import importlib.util

import pytest
from browsing import started, without

from tools.play.alone import write_page
from tools.play.browser import chromium, opened, served


@pytest.fixture(scope="session")
def browser():
    if importlib.util.find_spec("playwright") is None:
        without("no playwright here: pip install --group test")
    if chromium() is None:
        without("no Chromium here; on Debian and Ubuntu: apt install chromium")
    with opened() as started:
        yield started


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a page of the three pieces, as the book has them, and their scripts."""
    made = tmp_path_factory.mktemp("pieces")
    write_page(made)
    return made


@pytest.fixture(scope="session")
def address(folder):
    with served(folder) as found:
        yield found + "pieces.html"


@pytest.fixture(scope="module")
def page(browser, address):
    """The pieces, all started, with a list of what the browser complained of."""
    yield from started(browser, address)
