"""A Sphinx extension that tells readers, search engines and other programs what each page is about.

- ``book/_pages.yml`` says in a sentence what each page holds, and what a reader of it should have read. A page that it
  does not name is described by its first paragraph, and its prerequisite is the chapter before it in its part.
- Each page gets a description, a canonical address, a card for messengers and structured data. Where sections moved
  to another page, ``moved`` in ``_pages.yml`` keeps their old addresses alive.
- ``sitemap.xml`` and ``llms.txt`` list the pages.
- The directive ``{chapters}`` lists the chapters with the time that reading them takes and their prerequisites.
"""

import html
import json
import math
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

WORDS_A_MINUTE = 200
LINES_A_MINUTE = 25
LONGEST = 200
"""Number of characters of a description, of which search engines show about 160."""

CARD = {
    "file": "_static/card.png",
    "alt": "What a Bayesian network predicts for two moons, and how sure it is, side by side",
}
"""What messengers show of a page for which no card was drawn, and of the first one."""


class Chapters(nodes.General, nodes.Element):
    """The place of the list of chapters, which is made when every page has been read."""


class ListChapters(SphinxDirective):
    """Put the list of chapters here."""

    def run(self) -> list[nodes.Node]:
        """Mark the place."""
        return [Chapters()]


# --- what is known of the pages -------------------------------------------------------------------------


def _yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def parts(app: Sphinx) -> list[tuple[str, list[str]]]:
    """List the parts of the book with their pages, in the order of the contents."""
    toc = _yaml(Path(app.config.external_toc_path))
    return [(part["caption"], [page["file"] for page in part["chapters"]]) for part in toc.get("parts", [])]


def about(app: Sphinx) -> dict[str, dict[str, Any]]:
    """Read ``_pages.yml``, once."""
    known: dict[str, dict[str, Any]] | None = getattr(app.env, "page_about", None)
    if known is None:
        known = _yaml(Path(app.srcdir) / "_pages.yml")
        app.env.page_about = known
    return known


def description(app: Sphinx, page: str) -> str:
    """Say in a sentence what a page holds."""
    return str(about(app).get(page, {}).get("about") or _counted(app.env).get(page, {}).get("first", ""))


def needs(app: Sphinx, page: str) -> list[str]:
    """List what a reader of a chapter should have read."""
    if "needs" in about(app).get(page, {}):
        return [str(name) for name in about(app)[page]["needs"]]
    for _, pages in parts(app):
        if page in pages[1:]:
            return [pages[pages.index(page) - 1]]
    return []


def _counted(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] | None = getattr(env, "page_counts", None)
    if found is None:
        found = env.page_counts = {}
    return found


def _count(app: Sphinx, doctree: nodes.document) -> None:
    """Count the words and the lines of code of a page that has been read."""
    skipped = (nodes.literal_block, nodes.raw, nodes.comment, nodes.math_block)
    words = lines = 0
    for text in doctree.findall(nodes.Text):
        if not any(isinstance(above, skipped) for above in _above(text)):
            words += len(text.astext().split())
    for block in doctree.findall(nodes.literal_block):
        if "output" not in block.parent.get("classes", []):
            lines += block.astext().count("\n") + 1
    first = next((p.astext() for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)), "")
    _counted(app.env)[app.env.docname] = {
        "minutes": max(1, math.ceil(words / WORDS_A_MINUTE + lines / LINES_A_MINUTE)),
        "first": _shortened(" ".join(first.split())),
    }


def _above(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def _shortened(text: str) -> str:
    """Cut a text after a sentence that ends in time, or after a word."""
    if len(text) <= LONGEST:
        return text
    start = text[:LONGEST]
    end = max(start.rfind(mark) for mark in (". ", "? ", "! ", "。"))
    return start[: end + 1] if end > LONGEST // 3 else start[: start.rfind(" ")] + " …"


def _forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _counted(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    _counted(env).update({name: counts for name, counts in _counted(other).items() if name in docnames})


def _fresh(app: Sphinx, env: BuildEnvironment, *rest: Any) -> list[str]:
    """Read ``_pages.yml`` anew in each build, and render the first page anew, which tells of the others."""
    if hasattr(env, "page_about"):
        del env.page_about
    return [str(app.config.root_doc)] if app.config.root_doc in env.found_docs else []


# --- the list of chapters -------------------------------------------------------------------------------


def _fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for place in list(doctree.findall(Chapters)):
        place.replace_self(
            [_listed(app, docname, caption, pages) for caption, pages in parts(app) if _chapters(app, pages)]
        )


def _chapters(app: Sphinx, pages: list[str]) -> list[str]:
    """Choose the pages that are notebooks."""
    return [page for page in pages if page in app.env.all_docs and app.env.doc2path(page).endswith(".ipynb")]


def _listed(app: Sphinx, docname: str, caption: str, pages: list[str]) -> nodes.Node:
    """Make the table of one part."""
    rows = []
    for page in _chapters(app, pages):
        title = nodes.paragraph("", "", _link(app, docname, page))
        asked = nodes.paragraph("", description(app, page))
        minutes = nodes.paragraph("", f"{_counted(app.env)[page]['minutes']} min")
        before = nodes.paragraph()
        for i, name in enumerate(needs(app, page)):
            before += [nodes.Text(", ")] * (i > 0) + [_link(app, docname, name)]
        rows.append(nodes.row("", *(nodes.entry("", cell) for cell in (title, asked, minutes, before))))
    head = nodes.row(
        "",
        *(nodes.entry("", nodes.paragraph("", name)) for name in (caption, "what it asks", "to read", "read before")),
    )
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (25, 45, 10, 20)), cols=4)
    group += [nodes.thead("", head), nodes.tbody("", *rows)]
    return nodes.container("", nodes.table("", group, classes=["chapters"]), classes=["pst-scrollable-table-container"])


def _link(app: Sphinx, docname: str, page: str) -> nodes.Node:
    title = str(about(app).get(page, {}).get("short") or app.env.titles[page].astext())
    return nodes.reference("", title, refuri=app.builder.get_relative_uri(docname, page), internal=True)


# --- the head of a page ---------------------------------------------------------------------------------


def _head(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is None or pagename not in app.env.all_docs:
        return
    said, title = description(app, pagename), app.env.titles[pagename].astext()
    card = CARD if pagename == app.config.root_doc else context.get("card", CARD)
    address, picture = f"{app.config.html_baseurl}{pagename}.html", f"{app.config.html_baseurl}{card['file']}"
    names = {"description": said, "twitter:card": "summary_large_image"}
    properties = {
        "og:title": title,
        "og:description": said,
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:url": address,
        "og:site_name": app.config.html_title,
        "og:image": picture,
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": card["alt"],
        "og:locale": str(context.get("language") or "en").replace("-", "_"),
    }
    tags = [f'<meta name="{k}" content="{html.escape(v)}">' for k, v in names.items()]
    tags += [f'<meta property="{k}" content="{html.escape(v)}">' for k, v in properties.items()]
    data = _structured(app, pagename, title, said, address, picture)
    said_by_data = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    tags.append(f'<script type="application/ld+json">{said_by_data}</script>')
    tags += _moved(app, pagename)
    if pagename == app.config.root_doc:
        context["docstitle"] = ""  # its title is the book's: once is enough
    context["metatags"] = context.get("metatags", "") + "\n".join(tags) + "\n"


def _moved(app: Sphinx, page: str) -> list[str]:
    """Send readers of a place that has moved to another page there: an address with a # reaches no server."""
    moved = about(app).get(page, {}).get("moved", {})
    places = {place: app.builder.get_relative_uri(page, other) for other, listed in moved.items() for place in listed}
    if not places:
        return []
    goes = f"const to = {json.dumps(places)}[location.hash.slice(1)]; if (to) location.replace(to + location.hash);"
    return [f"<script>{{ {goes} }}</script>"]


def _structured(app: Sphinx, page: str, title: str, said: str, address: str, card: str) -> dict[str, Any]:
    """Describe a page in the words of schema.org."""
    book = {
        "@type": "Book",
        "name": app.config.html_title,
        "url": f"{app.config.html_baseurl}{app.config.root_doc}.html",
    }
    found = {
        "@context": "https://schema.org",
        "@type": "LearningResource",
        "name": title,
        "description": said,
        "url": address,
        "image": card,
        "inLanguage": app.config.page_languages.get(page, app.config.language),
        "isAccessibleForFree": True,
        "author": {"@type": "Organization", "name": app.config.author},
        "timeRequired": f"PT{_counted(app.env)[page]['minutes']}M",
    }
    return {**found, **({**book, "@type": "Book"} if page == app.config.root_doc else {"isPartOf": book})}


# --- the lists of pages ---------------------------------------------------------------------------------


def _lists(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    pages = [app.config.root_doc, *(page for _, listed in parts(app) for page in listed)]
    address = "".join(f"<url><loc>{app.config.html_baseurl}{page}.html</loc></url>\n" for page in pages)
    (Path(app.outdir) / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        f"{address}</urlset>\n",
        encoding="utf-8",
    )
    lines = [f"# {app.config.html_title}", "", f"> {description(app, app.config.root_doc)}"]
    for caption, listed in parts(app):
        lines += ["", f"## {caption}", ""]
        for page in listed:
            link = f"[{app.env.titles[page].astext()}]({app.config.html_baseurl}{page}.html)"
            lines.append(f"- {link}: {description(app, page)}")
    (Path(app.outdir) / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_node(Chapters)
    app.add_directive("chapters", ListChapters)
    app.connect("doctree-read", _count)
    app.connect("env-purge-doc", _forget)
    app.connect("env-merge-info", _merge)
    app.connect("env-before-read-docs", _fresh)
    app.connect("env-updated", _fresh)
    app.connect("doctree-resolved", _fill)
    app.connect("html-page-context", _head)
    app.connect("build-finished", _lists)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
