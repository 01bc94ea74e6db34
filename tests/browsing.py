"""What the tests of the pages share: a page with its pieces started, and what to do without a browser."""

import os

import pytest

from tools.play.alone import PIECES


def without(what):
    """Skip, or fail where nothing may be skipped."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


def started(browser, address, **settings):
    """Open the page of the pieces and wait until all have started."""
    context = browser.new_context(**settings)
    found = context.new_page()
    found.complaints = []
    found.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.on("console", lambda said: found.complaints.append(said.text) if said.type == "error" else None)
    found.goto(address)
    for piece in PIECES:
        found.locator(f".play[data-piece={piece}]").scroll_into_view_if_needed()
        found.wait_for_selector(f".play[data-piece={piece}][data-ready=yes]", timeout=60_000)
    yield found
    context.close()
