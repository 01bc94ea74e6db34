"""Load data sets, the book's and the reader's own, checked, split and scaled.

Files are looked for in the folder of `COMPANION_DATA_DIR`, then in the cache (`COMPANION_CACHE_DIR`
chooses another), then on public mirrors, each verified by its SHA-256. `noise_images` and `rotated` make images that a
network of digits has never seen; `sinusoid` measures a curve; `uci` loads the
regression benchmark; `from_csv` and `from_folder` read data of your own.
Explained in the moons chapter (`book/pymc/moons`) and in the book's data page (`book/reference/data`).
"""

from companion.datasets.benchmark import UCI_SPLITS, UciTable, uci, uci_rows
from companion.datasets.csv_files import csv_columns
from companion.datasets.curves import Measurements, sinusoid, sinusoid_truth
from companion.datasets.downloads import MirrorError, download
from companion.datasets.encoding import Encoding
from companion.datasets.files import Copy, cache_dir, copies, data_dir, fetch, prepare
from companion.datasets.filling import Gaps
from companion.datasets.folders import from_folder
from companion.datasets.form import Form, TableForm
from companion.datasets.handwritten import digits
from companion.datasets.images import (
    FASHION_CLASSES,
    LATIN_LETTERS,
    fashion_mnist,
    fashion_mnist_dataset,
    mnist,
    omniglot,
)
from companion.datasets.measured import MeasuredTable, measured_table
from companion.datasets.notation import Notation
from companion.datasets.observations import Dataset, Observations, check_labels, whole_labels
from companion.datasets.registry import REGISTRY, Collection, DataFile, choose
from companion.datasets.scaling import Scaling
from companion.datasets.tables import TableOptions, from_csv
from companion.datasets.tabular import breast_cancer, moons, tabular
from companion.datasets.targets import Task
from companion.datasets.unfamiliar import KINDS, noise_images, rotated

__all__ = [
    "FASHION_CLASSES",
    "KINDS",
    "LATIN_LETTERS",
    "REGISTRY",
    "UCI_SPLITS",
    "Collection",
    "Copy",
    "DataFile",
    "Dataset",
    "Encoding",
    "Form",
    "Gaps",
    "MeasuredTable",
    "Measurements",
    "MirrorError",
    "Notation",
    "Observations",
    "Scaling",
    "TableForm",
    "TableOptions",
    "Task",
    "UciTable",
    "breast_cancer",
    "cache_dir",
    "check_labels",
    "choose",
    "copies",
    "csv_columns",
    "data_dir",
    "digits",
    "download",
    "fashion_mnist",
    "fashion_mnist_dataset",
    "fetch",
    "from_csv",
    "from_folder",
    "measured_table",
    "mnist",
    "moons",
    "noise_images",
    "omniglot",
    "prepare",
    "rotated",
    "sinusoid",
    "sinusoid_truth",
    "tabular",
    "uci",
    "uci_rows",
    "whole_labels",
]
