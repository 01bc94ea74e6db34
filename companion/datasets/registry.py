"""List the public data files that the book uses: size, SHA-256, licence and mirrors of each.

Explained in the book's data page (`book/reference/data`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from companion.errors import DataError

__all__ = ["REGISTRY", "Collection", "DataFile", "choose"]


@dataclass(frozen=True)
class DataFile:
    """One file that can be verified.

    Attributes
    ----------
    folder, name
        Place under a data folder, `folder/name`.
    size
        Length in bytes.
    sha256
        SHA-256, in hexadecimal.
    """

    folder: str
    name: str
    size: int
    sha256: str

    @property
    def relative(self) -> str:
        """Path under a data folder, `folder/name`."""
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class Collection:
    """The files of one data set.

    Attributes
    ----------
    name
        Name on the command line.
    title, source, licence
        Common name, who made it and where, and the terms of use.
    files
        Files, in the order in which they are fetched.
    mirrors
        Addresses of folders that hold these files, in the order in which they are tried.
    stand_in
        Sentence on what to use where the files can't be had; may be empty.
    """

    name: str
    title: str
    source: str
    licence: str
    files: tuple[DataFile, ...]
    mirrors: tuple[str, ...]
    stand_in: str = ""


_MNIST = Collection(
    name="mnist",
    title="MNIST",
    source="Yann LeCun and Corinna Cortes, http://yann.lecun.com/exdb/mnist/",
    licence="CC BY-SA 3.0",
    files=(
        DataFile(
            "mnist",
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        DataFile(
            "mnist",
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        DataFile(
            "mnist",
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        DataFile(
            "mnist",
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    stand_in="datasets.digits() stands in with the digits that scikit-learn embeds, when MNIST can't be had",
)

_FASHION = Collection(
    name="fashion-mnist",
    title="Fashion-MNIST (test images)",
    source="Zalando SE, https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    files=(
        DataFile(
            "fashion-mnist",
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        DataFile(
            "fashion-mnist",
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
)

_OMNIGLOT = Collection(
    name="omniglot",
    title="Omniglot (Latin letters)",
    source="Brenden Lake, https://github.com/brendenlake/omniglot",
    licence="MIT",
    files=(
        DataFile(
            "omniglot",
            "images_background_small1.zip",
            1_319_022,
            "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
        ),
        DataFile(
            "omniglot",
            "images_background_small2.zip",
            1_580_917,
            "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
        ),
    ),
    mirrors=("https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",),
)

REGISTRY: Mapping[str, Collection] = MappingProxyType({c.name: c for c in (_MNIST, _FASHION, _OMNIGLOT)})
"""Every collection of files, by name."""


def choose(names: Iterable[str]) -> list[Collection]:
    """Look up collections by name, each once; all of them when no name is given.

    Parameters
    ----------
    names
        Keys of `REGISTRY`.

    Returns
    -------
    list of Collection
        Collections in the order of their names here.

    Raises
    ------
    DataError
        If a name is not in the registry; the message lists those that are.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in REGISTRY]
    if unknown:
        raise DataError(f"no data set is called {', '.join(unknown)}; there are: {', '.join(REGISTRY)}.")
    return [REGISTRY[name] for name in wanted or REGISTRY]
