"""A Sphinx extension that takes from the theme's scripts what no page of the book uses.

The theme brings all 2,000 icons of Font Awesome in a script of 1.5 MB, which every page loads, for a dozen icons. After
the build, the icons that neither a page nor a script names are taken out of it, and the font of brands out of the style
sheet, since that script draws those, too. MathJax is loaded by notebooks, and by pages that have a formula.
"""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ICON = re.compile(
    r'(?P<before>[{,])"?(?P<name>[a-z0-9][\w-]*)"?:\[\d+,\d+,\[[^\]]*\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\]'
)
BRANDS = re.compile(r"@font-face *\{[^}]*fa-brands-400[^}]*\}")
NAMED = re.compile(r"\bfa-([a-z0-9][a-z0-9-]*)")


def subset(script: str, names: set[str]) -> str:
    """Take from the script of icons those that are not among the names, or known by one of them."""

    def kept(found: re.Match[str]) -> str:
        other = set(re.findall(r'"([a-z][\w-]*)"', found[0].partition(":")[2]))
        return found[0] if {found["name"]} & names or other & names else ("{" if found["before"] == "{" else "")

    return re.sub(r"\{,", "{", ICON.sub(kept, script))


def _names(folder: Path) -> set[str]:
    files = [*folder.rglob("*.html"), *(f for f in folder.glob("_static/**/*.js") if f.name != "fontawesome.js")]
    return {name for file in files for name in NAMED.findall(file.read_text(encoding="utf-8", errors="ignore"))}


def _lighten(app: Sphinx, exception: Exception | None) -> None:
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if exception is None and app.builder.format == "html" and script.exists():
        script.write_text(subset(script.read_text(encoding="utf-8"), _names(Path(app.outdir))), encoding="utf-8")

    styles = Path(app.outdir) / "_static" / "styles" / "pydata-sphinx-theme.css"
    if exception is None and app.builder.format == "html" and styles.exists():
        styles.write_text(BRANDS.sub("", styles.read_text(encoding="utf-8")), encoding="utf-8")


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
    app.connect("build-finished", _lighten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
