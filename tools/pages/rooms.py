"""Draw the rooms of the companion and what flows between them, for the page "How a fit works": `make pages`.

The drawing is as wide as a phone and stands in the page itself, so that it takes the colours of the theme, light or
dark. A test holds it against the package: every room is in it, and an arrow stands only where one room asks the other.
"""

from dataclasses import dataclass
from html import escape

__all__ = ["ARROWS", "BOXES", "Arrow", "Box", "drawing"]

WIDTH, HEIGHT = 360, 592
NARROW, WIDE, LEFT, RIGHT = 112, 232, 0, 248


@dataclass(frozen=True)
class Box:
    """A room.

    Attributes
    ----------
    room
        Name of the room.
    says
        Lines under the name.
    x, y, width, height
        Place and size.
    """

    room: str
    says: tuple[str, ...]
    x: int
    y: int
    width: int = NARROW
    height: int = 46


@dataclass(frozen=True)
class Arrow:
    """Something that flows from one room to another.

    Attributes
    ----------
    start, end
        Names of the rooms.
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


BOXES = (
    Box("datasets", ("observations",), 0, 4),
    Box("networks", ("torch modules",), 124, 4),
    Box("priors", ("over weights",), 248, 4),
    Box("models", ("priors, network, likelihood",), LEFT, 86, WIDE),
    Box("bridge", ("the model in torch",), 12, 178, WIDE - 24),
    Box("variational", ("family, estimator, objective",), 12, 254, WIDE - 24),
    Box("training", ("rows, noise, steps, checkpoints",), 12, 330, WIDE - 24),
    Box("bayes_by_backprop", ("a Pyro model,", "its guide,", "its objective"), RIGHT, 86, NARROW, 82),
    Box("machine", ("devices, seeds,", "memory,", "compilation"), RIGHT, 208, NARROW, 82),
    Box("laplace", ("curvature", "around a mode"), RIGHT, 362, NARROW, 60),
    Box("posterior", ("draws, predictions, record",), LEFT, 432, WIDE),
    Box("shelf", ("fits and results", "on disk"), RIGHT, 432, NARROW, 60),
    Box("prediction", ("probabilities",), 0, 522),
    Box("uncertainty", ("scores, decisions",), 124, 522),
    Box("plots", ("figures",), 248, 522),
)
DOOR = Box("inference", (), LEFT, 152, WIDE, 236)
ARROWS = (
    Arrow("datasets", "models", "x, y", ((56, 50), (56, 84)), (62, 71)),
    Arrow("networks", "models", "a module", ((160, 50), (160, 84)), (166, 71)),
    Arrow("priors", "models", "", ((304, 50), (304, 60), (226, 60), (226, 84)), (0, 0)),
    Arrow("priors", "bayes_by_backprop", "", ((304, 50), (304, 84)), (0, 0)),
    Arrow("models", "bridge", "a pymc.Model", ((116, 132), (116, 176)), (122, 147)),
    Arrow("bridge", "variational", "log p(data, values)", ((116, 224), (116, 252)), (122, 242)),
    Arrow("variational", "training", "loss and gradients", ((116, 300), (116, 328)), (122, 318)),
    Arrow("bayes_by_backprop", "training", "", ((348, 168), (348, 188), (240, 188), (240, 353), (222, 353)), (0, 0)),
    Arrow("machine", "training", "", ((304, 290), (304, 364), (222, 364)), (0, 0)),
    Arrow("training", "laplace", "", ((222, 372), (236, 372), (236, 388), (246, 388)), (0, 0)),
    Arrow("laplace", "posterior", "", ((248, 412), (226, 412), (226, 430)), (0, 0)),
    Arrow("training", "posterior", "parameters", ((116, 376), (116, 430)), (122, 410)),
    Arrow("posterior", "shelf", "", ((232, 455), (246, 455)), (0, 0)),
    Arrow("posterior", "prediction", "draws: name to (draws, ...)", ((56, 478), (56, 520)), (62, 503)),
    Arrow("prediction", "uncertainty", "", ((112, 545), (122, 545)), (0, 0)),
    Arrow("uncertainty", "plots", "", ((236, 545), (246, 545)), (0, 0)),
)
BELOW = ("probabilities: (draws, points, classes)", 62, 584)

TITLE = "The rooms of the companion and what flows between them"
DESCRIPTION = (
    "From top to bottom. Observations from datasets, a module from networks and a prior from priors make a PyMC model "
    "in models. Behind the door inference, bridge turns the model into a log density in torch, variational turns that "
    "into a loss and its gradients, and training follows them step by step. Beside them, bayes_by_backprop hands a "
    "Pyro model's objective to the same training, and machine gives devices, seeds, memory and compilation. The fitted "
    "parameters, or the curvature that laplace finds around a mode, become a posterior, which can be kept on the "
    "shelf. Its draws go to prediction, the probabilities to uncertainty and plots."
)

STYLE = """
.rooms { display: block; width: 100%; max-width: 32rem; height: auto; margin: 1rem auto; font-family: inherit; }
.rooms rect { fill: var(--pst-color-surface, #f3f5f8); stroke: var(--pst-color-border, #8a949e); }
.rooms .door { fill: none; stroke: var(--pst-color-primary, #1f5f8b); stroke-dasharray: 5 4; }
.rooms text { fill: var(--pst-color-text-base, #22303c); font-size: 11.5px; }
.rooms .room { font-family: var(--pst-font-family-monospace, monospace); font-size: 12.5px; font-weight: 700; }
.rooms .door-name { fill: var(--pst-color-primary, #1f5f8b); }
.rooms .flow { font-style: italic; }
.rooms path { fill: none; stroke: var(--pst-color-text-base, #22303c); }
.rooms marker path { fill: var(--pst-color-text-base, #22303c); stroke: none; }
"""


def drawing() -> str:
    """Write the drawing as SVG, to stand in a page of HTML."""
    parts = [
        f'<svg class="rooms" xmlns="http://www.w3.org/2000/svg" viewBox="-1 0 {WIDTH + 2} {HEIGHT}" role="img"',
        '  aria-labelledby="rooms-title rooms-description">',
        f'<title id="rooms-title">{TITLE}</title>',
        f'<desc id="rooms-description">{DESCRIPTION}</desc>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="rooms-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"',
        '  orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'<rect class="door" x="{DOOR.x}" y="{DOOR.y}" width="{DOOR.width}" height="{DOOR.height}" rx="8"/>',
        _text("room door-name", DOOR.x + 12, DOOR.y + 18, DOOR.room),
    ]
    parts += [line for arrow in ARROWS for line in _arrow(arrow)]
    parts += [line for box in BOXES for line in _box(box)]
    words, x, y = BELOW
    return "\n".join([*parts, _text("flow", x, y, words), "</svg>"]) + "\n"


def _box(box: Box) -> list[str]:
    middle = box.x + box.width // 2
    name = _text("room", middle, box.y + 19, box.room, "middle")
    if len(box.room) > 14:  # too long for a narrow box
        name = name.replace('class="room"', 'class="room" textLength="100" lengthAdjust="spacingAndGlyphs"')
    says = [_text("", middle, box.y + 36 + 15 * k, line, "middle") for k, line in enumerate(box.says)]
    return [f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>', name, *says]


def _arrow(arrow: Arrow) -> list[str]:
    line = "M" + " L".join(f"{x} {y}" for x, y in arrow.points)
    says = [_text("flow", *arrow.at, arrow.says)] if arrow.says else []
    return [f'<path d="{line}" marker-end="url(#rooms-head)"/>', *says]


def _text(kind: str, x: int, y: int, words: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
