"""Results of runs that take longer than a chapter may.

A script in ``studies/`` makes each, with `write_result`, and says so in it; chapters load them with `load_result` and
compute every score and figure from them anew. Explained in the chapter `book/pymc/breast_cancer_decisions`,
section "Setting up".
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion.errors import DataError
from companion.versions import installed

__all__ = ["FILES", "Result", "load_result", "write_result"]

FILES = Path(__file__).parent / "files"
"""Folder of the stored results and posteriors, for the scripts that write them."""


@dataclass(frozen=True, eq=False)
class Result:
    """What a longer run found.

    Attributes
    ----------
    arrays
        Name to array; the chapter that uses it says what each holds.
    about
        How it came about: the script, its settings, seeds, seconds, versions, machine and date.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]

    def median(self) -> pd.DataFrame:
        """Return the median over the seeds of every score (columns), for every method (rows).

        Raises
        ------
        DataError
            If the run didn't compare methods: its `about` names none.
        """
        return self._by_method(lambda a: np.nanmedian(a, axis=1))

    def spread(self) -> pd.DataFrame:
        """Return best seed minus worst seed of every score, for every method; NaN where there was one seed.

        Raises
        ------
        DataError
            As `median`.
        """
        many = self.seeds() > 1
        return self._by_method(lambda a: np.nanmax(a, axis=1) - np.nanmin(a, axis=1)).where(many, axis=0)

    def grouped(self, score: str = "test accuracy") -> pd.DataFrame:
        """Return the median of every score, with methods grouped by how they weigh the divergence.

        Parameters
        ----------
        score
            Score by which the methods of a group are sorted, the highest first.

        Returns
        -------
        pandas.DataFrame
            Rows are named by group and method; the groups are "T = 1", "tempered" and "not variational", for methods
            without a temperature.

        Raises
        ------
        DataError
            As `median`, or if there is no such score, or no temperature.
        """
        median = self.median()
        missing = [name for name in ("temperature", score) if name not in median]
        if missing:
            raise DataError(f"no score {missing} in the result of {self.about.get('script')}; it has {list(median)}.")
        names = ["T = 1", "tempered", "not variational"]
        kind = np.select([median["temperature"].isna(), median["temperature"] < 1], names[:0:-1], names[0])
        group = pd.Categorical(kind, [name for name in names if name in kind], ordered=True)
        found = median.assign(group=group).sort_values(["group", score], ascending=[True, False])
        return found.set_index("group", append=True).swaplevel().rename_axis([None, None])

    def machines(self) -> list[str]:
        """Name the machines on which the runs were made, of which an added one may be another."""
        return list(self.about.get("machines", [self.about["versions"]["machine"]]))

    def by_seed(self, method: str) -> pd.DataFrame:
        """Return every score (columns) of each seed (rows) on which a method was run.

        Scores that the method doesn't have are left out.

        Raises
        ------
        DataError
            If there is no such method, or as `median`.
        """
        methods = self._methods()
        if method not in methods:
            raise DataError(
                f"no method {method!r} in the result of {self.about.get('script')}; it has {', '.join(methods)}."
            )
        of_method = {name: a[methods.index(method)] for name, a in self.arrays.items()}
        found = pd.DataFrame(of_method, index=pd.Index(self.about["seeds"], name="seed"))
        return found.dropna(how="all").dropna(axis=1, how="all")

    def seeds(self) -> pd.Series[int]:
        """Count the seeds on which each method was run."""
        runs = self._by_method(lambda a: (~np.isnan(a)).sum(axis=1))
        return runs.max(axis=1).astype(int)

    def _by_method(self, of: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
        """Summarise arrays (methods, seeds)."""
        methods = self._methods()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)  # a score that a method doesn't have
            return pd.DataFrame({name: of(a) for name, a in self.arrays.items()}, index=methods)

    def _methods(self) -> list[str]:
        methods = self.about.get("methods")
        if methods is None:
            raise DataError(
                f"the result of {self.about.get('script')} names no methods; expected one that compares some, such as "
                "shelf.load_result('mnist_dense'). Use its arrays."
            )
        return list(methods)


def load_result(name: str) -> Result:
    """Load a result that comes with the companion.

    Parameters
    ----------
    name
        Name of the run, such as "breast_cancer".

    Raises
    ------
    DataError
        If there is none of that name.
    """
    folder = files("companion.shelf") / "files"
    known = sorted(entry.name.removesuffix(".npz") for entry in folder.iterdir() if entry.name.endswith(".npz"))
    if name not in known:
        raise DataError(f"no result {name!r}; there are {', '.join(known) or 'none'}.")
    with as_file(folder / f"{name}.npz") as path, np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files if key != "about"}
        return Result(arrays, json.loads(str(stored["about"])))


def write_result(path: str | Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Store a result, with today's date, the versions and the machine.

    Parameters
    ----------
    path
        Path of the file, ``<name>.npz``.
    arrays
        Name to array, of the smallest dtype that will do.
    about
        How they came about: the script, settings, seeds and seconds, as JSON can hold them.

    Raises
    ------
    DataError
        If an array is called "about".
    """
    if "about" in arrays:
        raise DataError("an array is called 'about', the name of what says how it came about; give it another.")
    said = {
        **about,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "versions": installed(),
    }
    stored: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez_compressed(path, **stored, about=json.dumps(said))
