"""The list of the studies: every script stands in it, and what it says is stored is there."""

import re

import pytest

from tools import ROOT

TEXT = (ROOT / "studies" / "README.md").read_text(encoding="utf-8")
FILES = ROOT / "companion" / "shelf" / "files"
ROWS = re.findall(r"^\| (`.*)\|$", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.findall(r"`(\w+)\.py", row)[0])
def test_a_study_has_written_its_files_or_says_that_it_was_not_run(row):
    written = row.split("|")[1]
    names = re.findall(r"`([\w<>]+\.npz)`", written)
    assert names
    for name in names:
        there = any(FILES.glob(re.sub("<.*>", "*", name)))
        assert there != (f"`{name}`, not run yet" in written), name


def test_every_script_is_in_the_list():
    scripts = {path.name for path in (ROOT / "studies").glob("*.py")}
    assert scripts == set(re.findall(r"`(\w+\.py)", TEXT))
