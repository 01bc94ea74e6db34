"""Runs that may be stopped: methods and seeds in, one small file for each run, and one result file of all of them.

A run is kept in the folder of ``--work`` as soon as it is done, so that a stopped script goes on where it was. Runs
that the stored result file holds are taken from there, so that one more method or seed costs no more than itself;
``--anew`` runs them all.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from companion import shelf
from companion.machine import denormals_flushed
from companion.versions import machine

SEEDS = 3

Row = dict[str, float]


def parser(about: str, work: str, tiny: str | None = None) -> argparse.ArgumentParser:
    """Make the command line that every such script has; with ``--tiny`` where its help is given."""
    made = argparse.ArgumentParser(description=about)
    made.add_argument("--work", type=Path, default=Path("_runs") / work, help="folder of the runs that are done")
    made.add_argument("--anew", action="store_true", help="run again what the stored result file holds")
    # Not "--only": torch.compile takes the word behind that one for a name in the code that it writes.
    made.add_argument("--methods", nargs="*", help="all by default")
    made.add_argument("--seeds", type=int, default=SEEDS, help="at most so many")
    made.add_argument("--collect", action="store_true", help="write the file from the runs that are done")
    if tiny is not None:
        made.add_argument("--tiny", action="store_true", help=tiny)
    return made


def begin(given: argparse.Namespace, file: str, *, name: Callable[[str], str] = str) -> None:
    """Take up the stored result file; a tiny run has one seed and a folder of its own instead."""
    if given.tiny:
        given.work, given.seeds = given.work.with_name(given.work.name + "_tiny"), 1
    else:
        restore(given, file, name=name)


def complete(
    given: argparse.Namespace,
    methods: Iterable[str],
    run: Callable[[str, int], Row],
    *,
    limits: Mapping[str, int] | None = None,
    name: Callable[[str], str] = str,
) -> None:
    """Run each method on each seed that it was not run on yet.

    ``limits`` holds methods that take fewer seeds than the command line says; ``name`` gives the name under which a
    method's runs are kept. A script may call it several times, each time for a part of its methods.
    """
    given.work.mkdir(parents=True, exist_ok=True)
    wanted = [method for method in methods if not given.methods or method in given.methods]
    if not wanted:
        print(f"none of {given.methods} is among {list(methods)}", flush=True)
    for seed in range(given.seeds):
        for method in [] if given.collect else wanted:
            kept = _place(given.work, name(method), seed)
            if kept.exists() or seed >= (limits or {}).get(method, given.seeds):
                continue
            with denormals_flushed():
                row = {key: float(value) for key, value in run(method, seed).items()}
            kept.write_text(json.dumps(row, indent=1))
            print(f"{method}, seed {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)


def restore(given: argparse.Namespace, file: str, *, name: Callable[[str], str] = str) -> None:
    """Unpack a stored result file into the runs that it was made of, unless they are there or not wanted."""
    if given.anew or not (shelf.FILES / f"{file}.npz").is_file():
        return
    given.work.mkdir(parents=True, exist_ok=True)
    stored = shelf.load_result(file)
    for k, method in enumerate(stored.about["methods"]):
        for seed in stored.about["seeds"]:
            row = {key: float(a[k, seed]) for key, a in stored.arrays.items() if not np.isnan(a[k, seed])}
            kept = _place(given.work, name(method), seed)
            if row and not kept.exists():
                kept.write_text(json.dumps(row, indent=1))


def collect(
    given: argparse.Namespace, methods: Iterable[str], file: str, about: dict, *, name: Callable[[str], str] = str
) -> None:
    """Write companion/shelf/files/<file>.npz: for each score an array (methods, seeds), NaN where there is none.

    Methods that were not run on the first seed are left out; so is the file, if the command line names single methods.
    Every machine that runs were made on is named: those of the stored file, from which they may come, and this one.
    """
    if given.methods:
        return
    rows = {m: [_read(_place(given.work, name(m), seed)) for seed in range(given.seeds)] for m in methods}
    rows = {m: of_method for m, of_method in rows.items() if of_method[0]}
    keys = sorted({key for of_method in rows.values() for row in of_method for key in row})
    arrays = {k: np.array([[row.get(k, np.nan) for row in of] for of in rows.values()], np.float32) for k in keys}
    about = about | {"methods": list(rows), "seeds": list(range(given.seeds))}
    path = shelf.FILES / f"{file}.npz"
    earlier = shelf.load_result(file).machines() if path.is_file() and not given.anew else []
    shelf.write_result(path, arrays, about | {"machines": list(dict.fromkeys([*earlier, machine()]))})


def parts(file: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Give the arrays of a stored result file, and what it tells of each part: those not run again stay as they are."""
    if not (shelf.FILES / f"{file}.npz").is_file():
        return {}, {}
    stored = shelf.load_result(file)
    return dict(stored.arrays), dict(stored.about["parts"])


def lowest(given: argparse.Namespace, methods: Iterable[str], score: str, seed: int = 0) -> str:
    """Name the method with the lowest score among the runs of a seed, such as a log score on validation data."""
    rows = {method: _read(_place(given.work, method, seed)) for method in methods}
    missing = [method for method, row in rows.items() if score not in row]
    if missing:
        raise SystemExit(
            f"no {score!r} of {missing} on seed {seed} yet: run them first, without --methods or --collect"
        )
    return min(rows, key=lambda method: rows[method][score])


def kept(given: argparse.Namespace, method: str, seed: int) -> Row:
    """Read the row of a run that is done; an empty one where it isn't."""
    return _read(_place(given.work, method, seed))


def described(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings as JSON holds them: functions by name, and whatever isn't a number or a word by its repr."""
    plain = lambda own: own if isinstance(own, str | int | float) else getattr(own, "__name__", repr(own))  # noqa: E731
    return {name: plain(own) for name, own in settings.items()}


def _place(work: Path, name: str, seed: int) -> Path:
    return work / f"{name.replace(' ', '_').replace(',', '').replace(':', '')}-{seed}.json"


def _read(kept: Path) -> Row:
    return json.loads(kept.read_text()) if kept.exists() else {}
