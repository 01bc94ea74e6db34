"""A Sphinx extension that writes the pages on the companion's public functions and classes, from its source as text.

- ``{room} companion.datasets`` in a page documents everything that the room offers (its ``__all__``), in that order:
  functions before classes, data last. The source is parsed, never imported: rendering needs neither torch nor PyMC.
- Every entry says in which chapter it is explained. Docstrings name chapters by their path, as ``book/pymc/moons``;
  where the page exists, the path becomes a link with the chapter's title. An entry whose own docstring names none
  takes them from the module that it is written in.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = re.compile(r"`{1,2}book/((?:[a-z_]+/)*[a-z_]+)`{1,2}|\bbook/((?:[a-z_]+/)*[a-z_]+)\b")
DIRECTIVES = {"function": "autoapifunction", "class": "autoapiclass", "exception": "autoapiexception"}
ORDER = ("function", "class", "exception", "data")


def chapters(text: str) -> list[str]:
    """Every chapter that a docstring names, once, without "book/"."""
    return list(dict.fromkeys(one or other for one, other in CHAPTER.findall(text)))


class Room(SphinxDirective):
    """Document what a room of the companion offers."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Hand an autoapi directive for each public name to the parser."""
        objects = self.env.autoapi_all_objects
        name = self.arguments[0]
        if name not in objects:
            raise self.error(f"there is no module {name}")
        room = objects[name]
        source = Path(room.obj["file_path"])
        for file in [Path(__file__), *(source.parent.rglob("*.py") if source.stem == "__init__" else [source])]:
            self.env.note_dependency(str(file.resolve()))  # a docstring that changed makes this page anew
        offered = set(room.all or ())
        public = [child for child in room.children if child.short_name in offered and child.type in ORDER]
        missing = offered - {child.short_name for child in public}
        if missing:
            raise self.error(f"{name} offers {sorted(missing)}, of which the source says nothing")
        lines = ["````{eval-rst}"]  # pages are MyST, docstrings are not
        for child in public:
            self._explain(child)
        for child in sorted(public, key=lambda child: (ORDER.index(child.type), child.short_name.lower())):
            lines += [f".. {DIRECTIVES.get(child.type, 'autoapidata')}:: {child.id}"]
            # Attributes stand in the class's own text, and what is inherited in that of the base.
            # Of an enumeration they are the choices, each with what it means.
            kinds = ("method", "property", *(["attribute"] if _is_enumeration(child) else []))
            own = [m for m in child.children if m.type in kinds and not m.obj.get("inherited")]
            methods = [m.short_name for m in own if m.docstring and not m.short_name.startswith("_")]
            lines += [f"   :members: {', '.join(methods)}"] if methods else []
            lines += [""]
        parsed = nodes.section()
        self.state.nested_parse(StringList([*lines, "````"], source=self.get_source_info()[0]), 0, parsed)
        return list(parsed.children)

    def _explain(self, child: Any) -> None:
        """Say in an entry's text which chapter explains it; a second time changes nothing."""
        pages = self.env.found_docs
        own = chapters(str(child.obj["doc"]))
        text = _with_links(child.docstring, pages)
        if not own and "Explained in" not in text:
            found = [f":doc:`/{page}`" for page in chapters(_module_text(child)) if page in pages]
            text += f"\n\nExplained in {' and '.join(found)}.\n" if found else ""
        child.docstring = _one_by_one(text) if child.type != "data" else _in_sentences(text)
        for member in child.children:
            linked = _with_links(member.docstring, pages)
            member.docstring = _in_sentences(linked) if member.type in ("property", "attribute") else linked


def _is_enumeration(child: Any) -> bool:
    return any(base.rpartition(".")[2] == "StrEnum" for base in child.obj.get("bases") or ())


GROUPED = re.compile(r"^( *)(\w+(?:, \w+)+)\n((?:\1 +.*\n|\n(?=\1 ))*)", re.MULTILINE)
ATTRIBUTES = re.compile(r"^( *)Attributes\n\1-+\n(?:(?!\n *\w+\n *---).|\n(?! *\w+\n *---))*", re.MULTILINE)


def _one_by_one(text: str) -> str:
    """Give attributes that share a line one entry each: of several names, Sphinx takes all but the last for a type."""

    def apart(found: re.Match[str]) -> str:
        margin, names, said = found.groups()
        return "".join(f"{margin}{name}\n{said}" for name in names.split(", "))

    return ATTRIBUTES.sub(lambda section: GROUPED.sub(apart, section.group() + "\n").removesuffix("\n"), text)


def _in_sentences(text: str) -> str:
    """Begin a sentence where the first line has a colon: what stands before it would be taken for a type."""
    return re.sub(r"\A([^\n:`]+): (\w)", lambda found: f"{found.group(1)}. {found.group(2).upper()}", text)


def _with_links(text: str, pages: Iterable[str]) -> str:
    """Make links of the chapters that a docstring names; one that is not a page stays as it is, in code."""

    def linked(found: re.Match[str]) -> str:
        page = found.group(1) or found.group(2)
        return f":doc:`/{page}`" if page in pages else f"``book/{page}``"

    return CHAPTER.sub(linked, text)


def _module_text(child: Any) -> str:
    """Return the docstring of the module that an object is written in.

    From the file: a function that is offered under its module's name (`trend`, `tabular`) hides the module in autoapi.
    """
    origin = (child.obj.get("original_path") or child.id).split(".")[:-1]
    for file in (ROOT.joinpath(*origin).with_suffix(".py"), ROOT.joinpath(*origin, "__init__.py")):
        if file.is_file():
            return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    for extension in ("sphinx.ext.autodoc", "sphinx.ext.napoleon", "autoapi.extension"):
        app.setup_extension(extension)
    app.add_directive("room", Room)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
