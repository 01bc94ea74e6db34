"""A Sphinx extension that takes from what the theme loads everything that no page of the book uses, and joins the rest.

- The theme brings all 2,000 icons of Font Awesome twice, as a script that draws them and as fonts with a rule of style
  for each, and uses a dozen. The script goes, and fonts and rules keep the icons that a page or a script names.
- A page asks for one style sheet in place of a dozen, which a phone would fetch one after the other.
- Scripts wait until the page is read, and the search index is loaded by the page that searches.
- MathJax is loaded by notebooks, and by pages that have a formula.
"""

import hashlib
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from fontTools import subset
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

NAMED = re.compile(r"\bfa-([a-z0-9][a-z0-9-]*)")
RULE = re.compile(r'((?:\.fa-[\w-]+::?before,?)+)\{content:"\\[0-9a-f]+"\}')
CODE = re.compile(r'content: *"\\([ef][0-9a-f]{3})"')
ICON = re.compile("[\ue000-\uf8ff]")  # written as itself, as the theme's notes have theirs
WOFF2 = re.compile(r'url\([^)]*/fa-[\w-]+\.woff2\) *format\("woff2"\), *')
LINK = re.compile(r'\s*<link (?=[^>]*\brel="stylesheet")[^>]*\bhref="(?P<file>[^"?]+\.css)[^"]*"[^>]*>')
IMPORT = re.compile(r'@import "([^"]+)";')
ADDRESS = re.compile(r"""url\(((?:"[^"]*"|'[^']*'|[^)"']*))\)""")
SCRIPT = re.compile(r'<script(?P<attributes>(?: data-[\w-]+="[^"]*")*) src="(?P<file>[^"]+)"></script>')
OPTIONS = re.compile(r'<script src="[^"]*documentation_options\.js[^"]*"></script>')
ICONS = re.compile(r'\s*<script defer src="[^"]*fontawesome\.js[^"]*"></script>')
SEARCH = re.compile(r'\s*<script (?:defer )?src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
JOINED = "_static/joined.css"

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of each table of a font


# --- icons ----------------------------------------------------------------------------------------------


def named_rules(style: str, names: set[str]) -> str:
    """Take from a style sheet the rules of icons that are not among the names."""
    return RULE.sub(lambda found: found[0] if set(NAMED.findall(found[1])) & names else "", style)


def _icons(folder: Path) -> None:
    """Leave in style sheets and fonts the icons that a page or a script names; the fonts that stay are a few kB."""
    files = [*folder.rglob("*.html"), *(f for f in folder.glob("_static/**/*.js") if f.name != "fontawesome.js")]
    names = {name for file in files for name in NAMED.findall(file.read_text(encoding="utf-8", errors="ignore"))}
    codes: set[int] = set()
    for file in folder.glob("_static/**/*.css"):
        style = WOFF2.sub("", named_rules(file.read_text(encoding="utf-8"), names))
        file.write_text(style, encoding="utf-8")
        codes |= {int(code, 16) for code in CODE.findall(style)} | {ord(icon) for icon in ICON.findall(style)}
    for file in folder.glob("_static/vendor/fontawesome/webfonts/*"):
        if file.suffix != ".ttf":
            file.unlink()
            continue
        font = TTFont(file)
        kept = subset.Subsetter(subset.Options(hinting=False, layout_features=[], notdef_outline=True))
        kept.populate(unicodes=codes)
        kept.subset(font)
        font.save(file)


# --- one style sheet ------------------------------------------------------------------------------------


def _local(address: str, page: Path, folder: Path) -> str | None:
    """Return the place of what a page links to within the book; None for what lies elsewhere."""
    if "://" in address:
        return None
    return posixpath.normpath(posixpath.join(page.parent.relative_to(folder).as_posix(), address))


def join_sheets(files: list[str], folder: Path) -> str:
    """Join style sheets, named from the top of the book, into one that lies at `JOINED`, with what they import."""
    return re.sub(r"\n\s*", "\n", "\n".join(_sheet(name, folder) for name in files))


def _sheet(name: str, folder: Path) -> str:
    at = posixpath.dirname(name)

    def imported(found: re.Match[str]) -> str:
        return _sheet(posixpath.normpath(posixpath.join(at, found[1])), folder)

    def moved(found: re.Match[str]) -> str:
        place = found[1].strip("\"'")
        if place.startswith(("data:", "#", "http")):
            return found[0]
        return f"url({posixpath.relpath(posixpath.join(at, place), posixpath.dirname(JOINED))})"

    style = re.sub(r"/\*.*?\*/", "", (folder / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    style = re.sub(r'^@charset "[^"]*";', "", style.strip())
    parts = re.split(r'(@import "[^"]+";)', style)
    return "".join(
        IMPORT.sub(imported, part) if part.startswith("@import") else ADDRESS.sub(moved, part) for part in parts
    )


def _sheets(app: Sphinx, folder: Path) -> str:
    """Write the joined style sheet from what the first page links to, which each build renders anew."""
    page = folder / f"{app.config.root_doc}.html"
    local = [_local(link, page, folder) for link in LINK.findall(page.read_text(encoding="utf-8"))]
    files = [name for name in dict.fromkeys(local) if name and name != JOINED]
    if files:
        (folder / JOINED).write_text(join_sheets(files, folder), encoding="utf-8")
    return hashlib.sha256((folder / JOINED).read_bytes()).hexdigest()[:8]


# --- the pages ------------------------------------------------------------------------------------------


def light_page(text: str, *, top: str, version: str, options: str, searches: bool) -> str:
    """Make a page load less, and later: the same again for a page that was made light before."""
    link = f'\n    <link rel="stylesheet" href="{top}{JOINED}?v={version}" />'
    head, body = text.split("</head>", 1)
    first = iter([link])
    head = LINK.sub(lambda found: next(first, ""), head)
    head = ICONS.sub("", head)
    if not searches:
        head = OPTIONS.sub(lambda found: f"<script>{options}</script>", SEARCH.sub("", head))
        head = SCRIPT.sub(r'<script defer\g<attributes> src="\g<file>"></script>', head)
    return f"{head}</head>{body}"


def _lighten(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html" or not (Path(app.outdir) / "_static/styles").is_dir():
        return
    folder = Path(app.outdir)
    _icons(folder)
    version = _sheets(app, folder)
    options = (folder / "_static" / "documentation_options.js").read_text(encoding="utf-8").strip()
    for file in folder.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        if "</head>" in text and "_static" not in file.relative_to(folder).parts:
            top = "../" * (len(file.relative_to(folder).parts) - 1)
            searches = file.name == "search.html"
            light = light_page(text, top=top, version=version, options=options, searches=searches)
            file.write_text(light, encoding="utf-8")


def _no_formulas(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Load no MathJax for a page of text that has no formula."""
    if doctree is None or app.env.doc2path(pagename).endswith(".ipynb"):
        return
    if not any(True for node in doctree.findall() if isinstance(node, nodes.math | nodes.math_block)):
        context["script_files"] = [file for file in context["script_files"] if "mathjax" not in str(_address(file))]


def _address(file: Any) -> Any:
    return getattr(file, "filename", file)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", _no_formulas, priority=900)
    app.connect("build-finished", _lighten, priority=900)  # after the theme's own last touches to its files
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
