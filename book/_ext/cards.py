"""A Sphinx extension that draws for each page the card that messengers show: its title, what it asks, and a figure.

A chapter shows the figure whose description begins as ``card`` says in ``book/_pages.yml``, or else its first one; a
page without figures shows the moons of the first page. The cards lie in ``_static/cards``.
"""

from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from PIL import Image, ImageDraw, ImageFont
from sphinx.application import Sphinx

SIZE = (1200, 630)
INK, PAPER, BLUE, GREY = "#22303c", "#ffffff", "#1f5f8b", "#5c6770"
LEFT, WIDE = 60, 560
COLOURS = 64
CHINESE = Path(__file__).resolve().parents[2] / "companion" / "plots" / "fonts" / "NotoSansCJKsc-subset.otf"


def draw(book: str, title: str, said: str, figure: Path) -> Image.Image:
    """Draw a card: words at the left, a figure at the right."""
    card = Image.new("RGB", SIZE, PAPER)
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, 16, SIZE[1]), fill=BLUE)
    pen.text((LEFT, 56), book, font=_font(book, 24), fill=GREY)
    y = 112
    for text, size, colour, most in ((title, 46, INK, 5), (said, 27, GREY, 6)):
        font = _font(text, size)
        for line in wrapped(text, font, WIDE)[:most]:
            pen.text((LEFT, y), line, font=font, fill=colour)
            y += round(1.28 * size)
        y += 22
    picture = Image.open(figure).convert("RGBA")
    scale = min(500 / picture.width, 520 / picture.height)
    picture = picture.resize((round(scale * picture.width), round(scale * picture.height)), Image.Resampling.LANCZOS)
    card.paste(picture, (1170 - picture.width, (SIZE[1] - picture.height) // 2), picture)
    return card.quantize(COLOURS)


def wrapped(text: str, font: Any, width: float) -> list[str]:
    """Cut a text into lines that are at most so wide: between words, and between Chinese characters."""
    lines, line = [], ""
    for part in _parts(text):
        if line and font.getlength((line + part).rstrip()) > width:
            lines.append(line.rstrip())
            line = part.lstrip()
        else:
            line += part
    return [*lines, line.rstrip()]


def _parts(text: str) -> list[str]:
    found = [""]
    for letter in text:
        if letter >= "\u2e80" or found[-1].endswith(" "):
            found.append("")
        found[-1] += letter
    return found


def _font(text: str, size: int) -> Any:
    if any(letter >= "\u2e80" for letter in text) and CHINESE.is_file():
        return ImageFont.truetype(str(CHINESE), size)
    return ImageFont.load_default(size)


# --- in the book ----------------------------------------------------------------------------------------


def _figure(app: Sphinx, page: str, doctree: nodes.document, about: dict[str, Any]) -> Path:
    """Choose the figure of a page; a figure of a notebook lies where its outputs were written."""
    found = []
    for image in doctree.findall(nodes.image):
        file = Path(app.srcdir) / str(image["uri"]).lstrip("/")
        if file.suffix == ".png" and file.is_file() and "play-still" not in image.get("classes", []):
            found.append((str(image.get("alt", "")), file))
    begins = str(about.get(page, {}).get("card", ""))
    chosen = [file for alt, file in found if alt.startswith(begins)] or [file for _, file in found]
    return chosen[0] if chosen else Path(app.srcdir) / "_static" / "moons.png"


def _card(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Draw the card of a page when it is written."""
    if doctree is None or app.builder.format != "html":
        return
    about = yaml.safe_load((Path(app.srcdir) / "_pages.yml").read_text(encoding="utf-8"))
    title = str(about.get(pagename, {}).get("short") or app.env.titles[pagename].astext())
    said = str(about.get(pagename, {}).get("about", ""))
    file = Path(app.outdir) / "_static" / "cards" / f"{pagename.replace('/', '-')}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    draw(app.config.html_title, title, said, _figure(app, pagename, doctree, about)).save(file, optimize=True)
    context["card"] = {
        "file": file.relative_to(app.outdir).as_posix(),
        "alt": f"{title}. {said} Beside it, a figure of the page.",
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", _card, priority=400)  # before the page's head is written
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
