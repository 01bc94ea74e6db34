"""Settings of the fits of `mnist.py`, and those around them: what validation images say of each.

The rates, the width of the start and, for the convolutional network, the scale of the prior were chosen in runs that
nobody kept. Here each of them is varied alone, on seed 0, with everything else as in `mnist_methods.py`: rates and
starts for the mean field and for the tempered fit of both networks, the prior's scale for the convolutional mean field,
and the rate of plain networks, with the decay of `mnist.py`. The tempered convolutional fits have 5,000 steps, as in
`mnist_sweeps.py`, where the temperatures stand.

`python studies/mnist_choice.py` writes companion/shelf/files/mnist_choice.npz, with the score that chooses and with
those on test images. It may be stopped; see `runs`. ``--tiny`` does some of it with few images and steps, to see that
it runs, and writes no file.
"""

from functools import partial

import runs
from fits import scored, setting
from mnist_methods import COMMON, CONVOLUTION, DRAWS, LOCAL, TEMPERED, convolutional_network, dense_network

from companion import book
from companion.inference import Rates, Start, ensemble
from companion.priors import FanIn, Gaussian

STARTS = (0.003, 0.01, 0.03, 0.1)
PLAIN = {"by": partial(ensemble, members=1), "learning_rate": 0.001, "steps": 5000}
BASES = {  # network, prior, draws and settings as they are
    "dense, mean-field": (dense_network, Gaussian(0.1), DRAWS, LOCAL),
    "dense, tempered": (dense_network, Gaussian(0.1), DRAWS, COMMON | {"temperature": 0.05}),
    "convolutional, mean-field": (convolutional_network, FanIn(1.5), 30, CONVOLUTION),
    "convolutional, tempered": (convolutional_network, FanIn(1.5), 30, TEMPERED | {"steps": 5000}),
    "dense, plain": (dense_network, Gaussian(10**-0.5), 1, PLAIN | {"batch_size": 500}),
    "convolutional, plain": (convolutional_network, Gaussian(1.0), 1, PLAIN | {"batch_size": 250}),
}
RATES = {
    "dense, mean-field": (0.002, 0.005, 0.01, 0.02),
    "dense, tempered": (0.001, 0.003, 0.01),
    "convolutional, tempered": (0.001, 0.003, 0.01),
    "dense, plain": (0.0003, 0.001, 0.003),
    "convolutional, plain": (0.0003, 0.001, 0.003),
}
OF_MEANS_AND_SCALES = ((0.002, 0.02), (0.005, 0.005), (0.005, 0.02), (0.01, 0.02), (0.005, 0.05))
SCALES = (0.75, 1.0, 1.5, 2.0, 3.0)


def varied(name, what, values, change):
    """One setting for each value, all else as it is; name to a setting."""
    network, prior, draws, settings = BASES[name]
    made = {}
    for value, told in values.items():
        own = {"prior": prior} | settings | change(value)
        made[f"{name}: {what} {told}"] = setting(network, draws=draws, **own)
    return made


def by_number(values):
    return {value: f"{value:g}" for value in values}


METHODS = {}
for kind, rates in RATES.items():
    METHODS |= varied(kind, "rate", by_number(rates), lambda rate: {"learning_rate": rate})
METHODS |= varied(
    "convolutional, mean-field", "rates of means and deviations",
    {pair: f"{pair[0]:g} and {pair[1]:g}" for pair in OF_MEANS_AND_SCALES},
    lambda pair: {"learning_rate": Rates(*pair)},
)  # fmt: skip
METHODS |= varied("convolutional, mean-field", "prior's scale", by_number(SCALES), lambda s: {"prior": FanIn(s)})
for kind in (kind for kind in BASES if not kind.endswith("plain")):
    METHODS |= varied(kind, "start", by_number(STARTS), lambda width: {"start": Start(scale=width)})


def as_it_is(name):
    """Name of the setting under which a run is kept: those that are as they were are one run, whatever was varied."""
    kind = name.split(":")[0]
    if name not in METHODS:  # a run of the stored file that is no longer asked for
        return name
    network, prior, draws, settings = BASES[kind]
    return f"{kind}: as it is" if METHODS[name] == setting(network, prior, draws, **settings) else name


def main():
    given = runs.parser(__doc__, "mnist_choice", tiny="some of it, to see that it runs").parse_args()
    given.seeds = 1
    book.setup()
    runs.begin(given, "mnist_choice", name=as_it_is)
    methods = [m for m in METHODS if not given.tiny or m.startswith(("dense, tempered: rate", "dense, plain"))]
    runs.complete(given, methods, lambda m, seed: scored(METHODS[m], seed, tiny=given.tiny), name=as_it_is)
    if not given.tiny:
        settings = {
            m: runs.described({k: own[k] for k in ("prior", "by", "draws")} | own["settings"])
            for m, own in METHODS.items()
        }
        about = {"script": "studies/mnist_choice.py", "settings": settings}
        about |= {"as it is": [m for m in METHODS if as_it_is(m) != m]}
        runs.collect(given, METHODS, "mnist_choice", about, name=as_it_is)


if __name__ == "__main__":
    main()
