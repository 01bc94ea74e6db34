"""Print the rendered book into one PDF with page numbers and bookmarks: ``make pdf``, after ``make book``.

The articles of all pages are joined into one page, in the order of the contents, which a Chromium prints. Links between
pages lead within the file, and links to elsewhere to the web.
"""

import re
import sys
from pathlib import Path
from urllib.parse import urljoin

from bs4 import BeautifulSoup, Tag

from tools import ROOT
from tools.contents import first, pages, settings
from tools.play.browser import opened, served

__all__ = ["joined", "main"]

HTML = ROOT / "_build" / "html"
PDF = ROOT / "_build" / "book.pdf"
PAGE = "book-to-print.html"

STYLE = """
body { font: 10pt/1.4 "DejaVu Sans", sans-serif; background: #fff; color: #22303c; }
section.printed { break-before: page; }
section.printed img { max-width: 100%; height: auto; break-inside: avoid; }
section.printed pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 7.5pt; }
section.printed table { font-size: 7.5pt; }
section.printed .headerlink, section.printed .copybtn, section.printed button { display: none; }
section.printed details > * { display: revert; }
"""
FOOT = '<p style="width: 100%; font-size: 8px; text-align: center; color: #5c6770"><span class="pageNumber"></span></p>'
FORMULAS = "() => !window.MathJax || MathJax.startup.promise.then(() => true)"


def _name(page: str, place: str = "") -> str:
    """Return the name of a place of a page in the joined page, where every page's own names begin with the page's."""
    return f"{page.replace('/', '-')}--{place}" if place else page.replace("/", "-")


def _article(page: str, known: set[str], folder: Path) -> Tag:
    """Return the article of a page with names and addresses that hold in the joined page."""
    soup = BeautifulSoup((folder / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article")
    if article is None:
        raise ValueError(f"{page}.html has no article; render the book with `make book`.")
    for tag in article.select("[id]"):
        tag["id"] = _name(page, str(tag["id"]))
    for tag in article.select("details"):
        tag["open"] = ""
    for tag in article.select("[src]"):
        tag["src"] = urljoin(f"{page}.html", str(tag["src"]))
    for tag in article.select("script, .play[data-piece] noscript"):
        tag.decompose()
    for tag in article.select("a[href]"):
        address = urljoin(f"{page}.html", str(tag["href"]))
        other, _, place = address.partition("#")
        if other.removesuffix(".html") in known:
            tag["href"] = "#" + _name(other.removesuffix(".html"), place)
    article.name = "section"
    article["class"] = "printed bd-article"
    article["id"] = _name(page)
    return article


def joined(folder: Path = HTML) -> str:
    """Join the articles of all pages into one page for print."""
    names = [first(), *pages()]
    articles = [str(_article(name, set(names), folder)) for name in names]
    head = (folder / f"{names[1]}.html").read_text(encoding="utf-8").partition("</head>")[0]
    macros = re.search(r"<script>window\.MathJax = .*?</script>", head, flags=re.DOTALL)
    scripts = macros[0] + '<script defer src="_static/mathjax/tex-chtml.js"></script>' if macros else ""
    return (
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{settings()['title']}</title><link rel='stylesheet' href='_static/joined.css'>"
        f"<style>{STYLE}</style>{scripts}</head><body>{''.join(articles)}</body></html>"
    )


def print_book(folder: Path = HTML, to: Path = PDF) -> None:
    """Print the book in a Chromium."""
    page_file = folder / PAGE
    page_file.write_text(joined(folder), encoding="utf-8")
    try:
        with served(folder) as address, opened() as browser:
            page = browser.new_page()
            page.goto(address + PAGE, wait_until="load", timeout=180_000)
            page.wait_for_function(FORMULAS, timeout=300_000)
            margin = dict.fromkeys(("top", "bottom", "left", "right"), "18mm")
            page.pdf(
                path=str(to), format="A4", margin=margin, print_background=True, outline=True, tagged=True,
                display_header_footer=True, header_template="<span></span>", footer_template=FOOT,
            )  # fmt: skip
    finally:
        page_file.unlink()


def main(arguments: list[str]) -> int:
    """Print the book, say where the file is, and return the exit status."""
    if not (HTML / f"{first()}.html").is_file():
        print("the book has not been rendered: make book", file=sys.stderr)
        return 1
    print_book()
    print(f"{PDF.relative_to(ROOT)}: {PDF.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
