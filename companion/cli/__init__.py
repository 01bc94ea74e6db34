"""Run the command `companion`: lines for people, and a status for scripts.

Explained in the book's introduction (`book/intro`) and its data page (`book/reference/data`).
The status is 0 when all is well, 1 when something is bad or missing, and 2 when the command is not understood.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from companion import __version__, book
from companion.cli import doctor
from companion.cli.doctor import Finding, examine, report
from companion.errors import CompanionError, CompanionWarning, DataError

__all__ = ["Finding", "doctor", "examine", "main", "report"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `companion`.

    Parameters
    ----------
    argv
        Words after the program's name; those of the process by default.

    Returns
    -------
    int
        Exit status.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.run is None:
        print(options.help(), end="")
        return 2
    with warnings.catch_warnings():
        book.setup()  # whoever types a command did not ask for notices of other libraries
        warnings.simplefilter("always", CompanionWarning)
        warnings.showwarning = _one_message
        try:
            status: int = options.run(options)
        except CompanionError as error:
            print(f"companion: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("companion: stopped", file=sys.stderr)
            return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="companion", description="The companion of the book Bayesian Neural Networks, Reproduced."
    )
    parser.set_defaults(run=None, help=parser.format_help)
    parser.add_argument("--version", action="version", version=f"companion {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="")
    look = commands.add_parser("doctor", help="is this machine ready for the book?")
    look.set_defaults(run=_doctor)
    data = commands.add_parser("data", help="the data files: list, fetch, verify")
    data.set_defaults(help=data.format_help)
    actions = data.add_subparsers(title="commands", metavar="")
    new = commands.add_parser(
        "new",
        help="start a notebook on your own table or images",
        description="Write a notebook that fits a Bayesian neural network to your own data, and scores it.",
    )
    new.set_defaults(run=_new)
    new.add_argument("data", help="a CSV file with a header, or a folder with one subfolder of images for each class")
    new.add_argument(
        "--target", metavar="COLUMN", help="of a CSV file: the column that holds the classes or measurements"
    )
    new.add_argument(
        "--task",
        choices=("classes", "measurements"),
        help="of a CSV file: what the target is; by default, what it looks like",
    )
    new.add_argument(
        "--leave-out",
        metavar="COLUMN",
        action="append",
        default=[],
        help="of a CSV file: a column that is not learned from; may be given several times",
    )
    _table_options(new)
    new.add_argument("--to", metavar="NOTEBOOK", help="what to write; by default the data's name and .ipynb, here")
    speed = commands.add_parser(
        "bench",
        help="what do fits cost on this machine?",
        description="Measure steps, whole fits, predictions and memory, within eight minutes on a GPU.",
    )
    speed.set_defaults(run=_bench)
    speed.add_argument("--gpu", action="store_true", help="on the GPU; where there is none, the tiny form runs")
    speed.add_argument("--tiny", action="store_true", help="small networks and few steps, to see that it works")
    speed.add_argument("--seconds", type=float, default=480.0, help="time that all parts may take (default: 480)")
    speed.add_argument("--to", metavar="FILE", help="JSON file to write")
    for name, text in (
        ("list", "every file: size, licence, and where it was found"),
        ("fetch", "download the files that are not here yet"),
        ("verify", "hash each file that is here and compare"),
    ):
        action = actions.add_parser(name, help=text)
        action.set_defaults(run=_data, action=name)
        action.add_argument("names", nargs="*", metavar="name", help="a data set; all of them by default")
    return parser


def _table_options(new: argparse.ArgumentParser) -> None:
    """Add what `datasets.from_csv` may be told of a table."""
    new.add_argument(
        "--gaps",
        choices=("fill-in", "leave-out", "refuse"),
        help="of a CSV file: what becomes of empty entries; by default they are filled in and marked",
    )
    new.add_argument("--weights", metavar="COLUMN", help="of a CSV file: the column that says how often a row counts")
    new.add_argument(
        "--groups",
        metavar="COLUMN",
        help="of a CSV file: rows with the same entry here stay together, as those of a patient",
    )
    new.add_argument("--time", metavar="COLUMN", help="of a CSV file: the latest rows by this column are held out")
    new.add_argument(
        "--ordered",
        metavar="COLUMN=WORDS",
        action="append",
        default=[],
        help="of a CSV file: a column of words in an order, such as size=S,M,L; may be given several times",
    )
    new.add_argument(
        "--cyclic",
        metavar="COLUMN=PERIOD",
        action="append",
        default=[],
        help="of a CSV file: a column that goes round, such as hour=24 or wind=N,E,S,W; may be given several times",
    )


def _doctor(_options: argparse.Namespace) -> int:
    return report(examine())


def _data(options: argparse.Namespace) -> int:
    from companion.cli import data
    from companion.datasets import REGISTRY

    unknown = [name for name in options.names if name not in REGISTRY]
    if unknown:
        print(
            f"companion: no data set is called {', '.join(unknown)}; there are: {', '.join(REGISTRY)}",
            file=sys.stderr,
        )
        return 2
    actions = {"list": data.list_files, "fetch": data.fetch_files, "verify": data.verify_files}
    return actions[options.action](options.names)


def _new(options: argparse.Namespace) -> int:
    from companion.cli.new import start

    table = {
        "gaps": options.gaps and options.gaps.replace("-", " "),
        "ordered": dict(_named("--ordered", given) for given in options.ordered),
        "cyclic": {name: _period(words) for name, words in (_named("--cyclic", given) for given in options.cyclic)},
        "weights": options.weights,
        "groups": options.groups,
        "time": options.time,
    }
    return start(options.data, options.target, options.to, options.leave_out, options.task, table)


def _named(option: str, given: str) -> tuple[str, list[str]]:
    """Take a column and its words apart."""
    name, sign, words = given.partition("=")
    if not sign or not name.strip() or not words.strip():
        raise DataError(f"{option} {given}: expected a column, = and what stands there, such as size=S,M,L.")
    return name.strip(), [word.strip() for word in words.split(",")]


def _period(words: list[str]) -> float | list[str]:
    """Return a single number as such."""
    try:
        return float(words[0]) if len(words) == 1 else words
    except ValueError:
        return words


def _bench(options: argparse.Namespace) -> int:
    from companion.bench import bench

    return bench(gpu=options.gpu, tiny=options.tiny, seconds=options.seconds, to=options.to)


def _one_message(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning without the line of our source that gave it."""
    print(f"warning: {message}", file=sys.stderr)
