"""Messages of errors and warnings: one line of another library's error, and the reader's own line."""

import sys
import types
import warnings

import pytest

from companion.errors import CompanionWarning, class_and_line, first_line, notice


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("no such row"), "no such row"),
        (ValueError("There is no such row."), "There is no such row"),
        (ValueError("\n  no such row  \nand a page of detail"), "no such row"),
        (KeyError(), ""),
        (RuntimeError(""), ""),
        (RuntimeError(" \n\n"), ""),
        (RuntimeError("..."), ""),
    ],
)
def test_an_error_of_any_library_is_told_in_one_line_that_is_not_empty(error: Exception, line: str) -> None:
    kind = type(error).__name__
    assert first_line(error) == (line or kind)
    assert class_and_line(error) == (f"{kind}: {line}" if line else kind)


@pytest.mark.parametrize("depth", [1, 4])
def test_a_notice_points_at_the_line_outside_the_companion_however_deep_it_is_given(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = types.ModuleType("companion.room")
    room.notice = notice  # type: ignore[attr-defined]
    source = "def given(depth):\n    return notice('less was done') if depth == 1 else given(depth - 1)\n"
    exec(compile(source, "room.py", "exec"), room.__dict__)
    monkeypatch.setitem(sys.modules, "companion.room", room)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        room.given(depth)  # type: ignore[attr-defined]
        line = sys._getframe().f_lineno - 1
    assert [(w.category, w.filename, w.lineno) for w in told] == [(CompanionWarning, __file__, line)]
