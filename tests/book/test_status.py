"""The page on what stands today names every page that there is."""

import re

from tools import ROOT
from tools.contents import pages

PAGE = "reference/status"


def test_every_page_of_the_contents_has_its_place():
    text = (ROOT / "book" / f"{PAGE}.md").read_text(encoding="utf-8")
    named = re.findall(r"\{doc}`[^`<]+ </([\w/]+)>`", text.partition("\n## ")[0])
    assert set(named) == set(pages()) - {PAGE}
    assert len(named) == len(set(named))
