"""Import lines that readers knew: they work, and say what the new line is."""

import importlib
import subprocess
import sys

import pytest

import companion
from companion import moved

NAMES = [(room, name) for room, names in moved.MOVED_NAMES.items() for name in names]


@pytest.mark.parametrize(("room", "name"), NAMES)
def test_a_name_that_moved_is_the_same_thing_in_its_new_room(room, name):
    with pytest.warns(DeprecationWarning, match=f"from {moved.MOVED_NAMES[room][name]} import {name}"):
        old = getattr(importlib.import_module(room), name)
    assert old is getattr(importlib.import_module(moved.MOVED_NAMES[room][name]), name)


def test_modules_that_moved_offer_what_the_new_ones_do():
    code = (
        "import importlib, warnings\n"
        "from companion.moved import MOVED_MODULES\n"
        "for old, new in MOVED_MODULES.items():\n"
        "    with warnings.catch_warnings(record=True) as said:\n"
        "        warnings.simplefilter('always')\n"
        "        mine = importlib.import_module(old)\n"
        "    assert any(new in str(w.message) for w in said), (old, said)\n"
        "    now = importlib.import_module(new)\n"
        "    assert all(getattr(mine, name) is getattr(now, name) for name in now.__all__), old\n"
        "    print(old)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.split() == list(moved.MOVED_MODULES)


def test_results_load_as_they_did():
    sys.modules.pop("companion.results", None)
    with pytest.warns(DeprecationWarning, match="shelf"):
        results = importlib.import_module("companion.results")
    assert results.load("breast_cancer").arrays


def test_a_name_that_never_was_is_an_attribute_error():
    for module in (companion, companion.shelf, importlib.import_module("companion.inference")):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            module.nothing  # noqa: B018


@pytest.mark.parametrize("name", companion.__all__)
def test_the_front_door_opens(name):
    assert getattr(companion, name) is not None
    assert name in dir(companion)
