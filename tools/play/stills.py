"""Take the still pictures of the pieces, which are there where a page runs no scripts, and the card of the book."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tools import ROOT
from tools.play.alone import PIECES, write_page
from tools.play.browser import opened, served
from tools.play.files import FILES

__all__ = ["draw"]

MOONS_FRAME = "18"
"""Frame of the still picture of the moons: step 31,500, on the plateau."""

CARD = ROOT / "book" / "_static" / "card.png"


def draw() -> None:
    """Take a picture of each piece in the light theme, and the card that messengers show of the first page."""
    with TemporaryDirectory() as made, opened() as browser:
        name = write_page(Path(made))
        with served(Path(made)) as address:
            page = browser.new_page(viewport={"width": 780, "height": 900})
            page.goto(address + name)
            for piece in PIECES:
                place = page.locator(f".play[data-piece={piece}]")
                place.scroll_into_view_if_needed()
                page.wait_for_selector(f".play[data-piece={piece}][data-ready=yes]", timeout=120_000)
                if piece == "moons":
                    place.locator("input[type=range]").fill(MOONS_FRAME)
                _stored(place.screenshot(), FILES / f"{piece}.png")
        card = browser.new_page(viewport={"width": 1200, "height": 630})
        card.goto((ROOT / "tools" / "play" / "card.html").as_uri())
        _stored(card.screenshot(), CARD)


def _stored(picture: bytes, file: Path) -> None:
    """Store a picture in 128 colours, which takes a third of the room."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(128).save(file, optimize=True)
