"""A Sphinx extension for the pieces to play with: plain JavaScript in ``book/_play``, data in ``book/_static/play``.

- The directive ``{play} digits`` stands where a piece goes. Until its script has started, and where there are no
  scripts, a still picture is there, ``_static/play/digits.png``, with the words for it that the option ``alt`` gives.
- The modules of ``book/_play`` are bundled into one classic script, because a page that is opened from a disk may load
  no modules. Only pages with a piece load it, and a piece loads its own data when it comes near the reader's view.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

SOURCES = Path(__file__).resolve().parent.parent / "_play"
ENTRY = "play.js"
IMPORT = re.compile(r'^import \{ (.+?) \} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?:function\*?|const) (\w+)", re.MULTILINE)


def bundle(sources: Path = SOURCES) -> str:
    """Join the modules into one classic script: each becomes a function of its own that returns what it exports."""
    parts: dict[str, str] = {}
    _add(sources, ENTRY, parts)
    return '(() => {\n"use strict";\n' + "".join(parts.values()) + "})();\n"


def _add(sources: Path, file: str, parts: dict[str, str]) -> None:
    """Add a module behind those that it imports, each once."""
    text = (sources / file).read_text(encoding="utf-8")
    for _, imported in IMPORT.findall(text):
        if imported not in parts:
            _add(sources, imported, parts)
    exported = EXPORT.findall(text)
    body = re.sub(r"^export ", "", IMPORT.sub(_constants, text), flags=re.MULTILINE)
    body = re.sub(r"^\s*(//.*|/\*\*.*\*/)\n", "", body, flags=re.MULTILINE)  # comments stay in the sources
    parts[file] = f"const {_name(file)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();\n"


def _constants(found: re.Match[str]) -> str:
    return f"const {{ {found[1]} }} = {_name(found[2])};\n"


def _name(file: str) -> str:
    return "module_" + file.removesuffix(".js").replace("-", "_")


class Piece(nodes.General, nodes.Element):
    """The place of a piece, around its still picture."""


class Play(SphinxDirective):
    """Put a piece here."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required, "label": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        """Make the place with its still picture; what stands in the directive becomes the text below."""
        piece = self.arguments[0]
        for option in ("alt", "label"):
            if option not in self.options:
                raise self.error(f"the piece {piece!r} has no {option!r}; say in words what its picture shows.")
        place = Piece(piece=piece, label=self.options["label"])
        place += nodes.image(uri=f"/_static/play/{piece}.png", alt=self.options["alt"], classes=["play-still"])
        below = nodes.container(classes=["play-below"])
        self.state.nested_parse(self.content, self.content_offset, below)
        return [place, below]


def _begin(self: Any, node: Piece) -> None:
    piece, label = node["piece"], self.attval(node["label"])
    top = "../" * self.builder.current_docname.count("/")
    data = f' data-source="{top}_static/play/{piece}.js"' if _data(piece).exists() else ""
    self.body.append(f'<div class="play" data-piece="{piece}" data-label="{label}"{data}>\n')


def _end(self: Any, node: Piece) -> None:
    self.body.append("</div>\n")


def _nothing(self: Any, node: Piece) -> None:
    """Leave the picture alone, where there are no scripts."""


def _write(app: Sphinx) -> None:
    if app.builder.format == "html":
        folder = Path(app.outdir) / "_static"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "play.js").write_text(bundle(), encoding="utf-8")


def _data(piece: str) -> Path:
    return SOURCES.parent / "_static" / "play" / f"{piece}.js"


def _not_everywhere(app: Sphinx, config: Any) -> None:
    """Take the data of the pieces off the scripts of all pages: jupyter-book adds whatever lies in ``_static``."""
    config.html_js_files = [file for file in config.html_js_files if not str(file).startswith("play/")]


def _load(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the script of a page that has pieces."""
    if doctree and any(True for _ in doctree.findall(Piece)):
        app.add_js_file("play.js", loading_method="defer", priority=801)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    plain = (_nothing, _nothing)
    app.add_node(Piece, html=(_begin, _end), latex=plain, text=plain)
    app.add_directive("play", Play)
    app.connect("config-inited", _not_everywhere)
    app.connect("builder-inited", _write)
    app.connect("html-page-context", _load)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
