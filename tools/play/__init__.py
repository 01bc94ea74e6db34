"""Make what the pages' interactive pieces need, from the fits that the chapters use: ``python -m tools play [NAME]``.

The names are digits, moons, stills and speed; the last two take the still pictures in a browser, and measure in one how
long an answer takes.

The pieces themselves are plain JavaScript in ``book/_play``. What they compute with is committed as
``book/_static/play/NAME.js``, a script that a page loads, so that rendering the book needs neither torch nor PyMC.
"""

import sys

from tools.play.files import FILES, write

__all__ = ["FILES", "main"]


def main(arguments: list[str]) -> int:
    """Write the data of the pieces that are named, or of all; print their sizes and return the exit status."""
    from tools.play import digits, moons, speed, stills

    makers = {"digits": digits.make, "moons": moons.make}
    known = [*makers, "stills", "speed"]
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        print(f"nothing called {', '.join(unknown)} to make; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in arguments or known:
        if name == "stills":
            stills.draw()
        elif name == "speed":
            speed.measure()
        else:
            file = write(name, makers[name]())
            print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
    return 0
