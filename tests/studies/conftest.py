"""The scripts in `studies/` can be imported, as they import each other."""

import sys

import pytest

from tools import ROOT


@pytest.fixture(scope="package", autouse=True)
def studies():
    folder = str(ROOT / "studies")
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)
