"""Draw boxes and arrows as SVG that stands in a page of HTML, for `tools.pages.rooms` and `tools.pages.bridges`.

A drawing is as wide as a phone, takes the colours of the theme, light or dark, and has words for people who don't see
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["NARROW", "WIDTH", "Arrow", "Box", "svg", "words"]

WIDTH, NARROW = 360, 112


@dataclass(frozen=True)
class Box:
    """A box with a name.

    Attributes
    ----------
    name
        Name of what the box stands for.
    says
        Lines under the name.
    x, y, width, height
        Place and size.
    """

    name: str
    says: tuple[str, ...]
    x: int
    y: int
    width: int = NARROW
    height: int = 46


@dataclass(frozen=True)
class Arrow:
    """Something that flows from one box to another.

    Attributes
    ----------
    start, end
        Names of the boxes.
    says
        Words beside the arrow.
    points
        Corners of the line, the arrow's head at the last one.
    at
        Place where the words begin.
    """

    start: str
    end: str
    says: str
    points: tuple[tuple[int, int], ...]
    at: tuple[int, int]


STYLE = """
.{mark} {{ display: block; width: 100%; max-width: 32rem; height: auto; margin: 1rem auto; font-family: inherit; }}
.{mark} rect {{ fill: var(--pst-color-surface, #f3f5f8); stroke: var(--pst-color-border, #8a949e); }}
.{mark} .door {{ fill: none; stroke: var(--pst-color-primary, #1f5f8b); stroke-dasharray: 5 4; }}
.{mark} text {{ fill: var(--pst-color-text-base, #22303c); font-size: 11.5px; }}
.{mark} .room {{ font-family: var(--pst-font-family-monospace, monospace); font-size: 12.5px; font-weight: 700; }}
.{mark} .door-name {{ fill: var(--pst-color-primary, #1f5f8b); }}
.{mark} .flow {{ font-style: italic; }}
.{mark} path {{ fill: none; stroke: var(--pst-color-text-base, #22303c); }}
.{mark} marker path {{ fill: var(--pst-color-text-base, #22303c); stroke: none; }}
"""


def svg(
    mark: str,
    title: str,
    description: str,
    height: int,
    frame: Box,
    boxes: Sequence[Box],
    arrows: Sequence[Arrow],
    *more: str,
) -> str:
    """Write a drawing.

    Parameters
    ----------
    mark
        Class of the drawing and beginning of its identifiers.
    title, description
        What is read to people who don't see it.
    height
        Height of the drawing.
    frame
        Dashed frame around some of the boxes.
    boxes, arrows
        Boxes and arrows.
    more
        Further elements.
    """
    parts = [
        f'<svg class="{mark}" xmlns="http://www.w3.org/2000/svg" viewBox="-1 0 {WIDTH + 2} {height}" role="img"',
        f'  aria-labelledby="{mark}-title {mark}-description">',
        f'<title id="{mark}-title">{title}</title>',
        f'<desc id="{mark}-description">{description}</desc>',
        f"<style>{STYLE.format(mark=mark)}</style>",
        f'<defs><marker id="{mark}-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"',
        '  orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'<rect class="door" x="{frame.x}" y="{frame.y}" width="{frame.width}" height="{frame.height}" rx="8"/>',
        words("room door-name", frame.x + 12, frame.y + 18, frame.name),
    ]
    parts += [line for arrow in arrows for line in _arrow(mark, arrow)]
    parts += [line for box in boxes for line in _box(box)]
    return "\n".join([*parts, *more, "</svg>"]) + "\n"


def words(kind: str, x: int, y: int, said: str, anchor: str = "start") -> str:
    """Write words at a place."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(said)}</text>'


def _box(box: Box) -> list[str]:
    middle = box.x + box.width // 2
    name = words("room", middle, box.y + 19, box.name, "middle")
    if box.width == NARROW and len(box.name) > 14:  # too long for a narrow box
        name = name.replace('class="room"', 'class="room" textLength="100" lengthAdjust="spacingAndGlyphs"')
    says = [words("", middle, box.y + 36 + 15 * k, line, "middle") for k, line in enumerate(box.says)]
    return [f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>', name, *says]


def _arrow(mark: str, arrow: Arrow) -> list[str]:
    line = "M" + " L".join(f"{x} {y}" for x, y in arrow.points)
    says = [words("flow", *arrow.at, arrow.says)] if arrow.says else []
    return [f'<path d="{line}" marker-end="url(#{mark}-head)"/>', *says]
