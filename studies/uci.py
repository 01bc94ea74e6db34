"""Run the methods of the chapter on the field's table, on the benchmark's own splits of six UCI tables.

`python studies/uci.py` runs block after block of five splits, and may be stopped; see `runs`. It writes
companion/shelf/files/uci.npz, of which the chapter `book/beyond/uci` makes its tables: for each score and each place in
a block an array (methods, blocks), with a method's name preceded by that of its table.

What is chosen is chosen for each split by itself, by the mean log density of a fifth of its training rows: the prior's
width and the kind of noise by a small ensemble, for the sampler by short chains; dropout's rate and noise; the trees.
"""

import time
from functools import cached_property, lru_cache, partial

import numpy as np
import runs
import torch
import uci_networks as networks
import uci_rivals as rivals
from uci_networks import CANDIDATES

from companion import book, uncertainty
from companion.inference import Machine, Rates, Start, ensemble, fit, laplace, sample
from companion.uncertainty import predictive_distribution

BLOCK, BLOCKS = 5, 4  # splits that are run side by side, and blocks of them
TABLES = ("yacht", "energy", "concrete", "kin8nm", "power-plant", "wine-quality-red")
KINDS = {"yacht": "yacht", "kin8nm": "large", "power-plant": "large"}  # the others are small
LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
MEMBERS, FIELDS = 5, 3  # of an ensemble, and of a mixture of mean fields
TRIAL = {"draws": 10, "chains": 2}  # of chains by which the sampler's candidate is chosen
SETTINGS = {
    "yacht": {"steps": 1500, "batch": None, "choice": 1000, "fields": 2000, "trial": 300, "warmup": 700, "draws": 30},
    "small": {"steps": 2500, "batch": 128, "choice": 2000, "fields": 2000, "trial": 100, "warmup": 500, "draws": 25},
    "large": {"steps": 3000, "batch": 256, "choice": 1000, "fields": 2000, "trial": 0, "warmup": 0, "draws": 0},
    "tiny": {"steps": 30, "batch": None, "choice": 20, "fields": 30, "trial": 20, "warmup": 40, "draws": 4},
}
MACHINE = Machine("cpu", "float32", compile=False, threads=1)
COMMON = {"machine": MACHINE, "progressbar": False}
DRAWS = 100  # of a variational posterior's member


SHOWN = ("log density", "rmse", "crps", "inside 50 %", "inside 95 %")


@lru_cache(maxsize=len(TABLES))  # the rounds come back to a block
class Block:
    """Five splits of a table: their rows, what is chosen for each, and the fits that several methods start from."""

    def __init__(self, table, block, tiny):
        self.splits = list(range(BLOCK * block, BLOCK * (block + 1)))[: 2 if tiny else None]
        self.own = SETTINGS["tiny" if tiny else KINDS.get(table, "small")]
        self.train, self.test = networks.parts(table, self.splits)
        self.inner, self.judge = networks.parts(table, self.splits, inner=True)
        self.seed = block
        self.candidates, self.of_sampler = [], []

    def choose(self, kept):
        """Take the candidate with the highest score for each split, from the row of the choice."""
        places = range(len(self.splits))
        scores = np.array([[kept[f"candidate {c}, {k}"] for k in places] for c in range(len(CANDIDATES))])
        return [CANDIDATES[c] for c in scores.argmax(axis=0)]

    @cached_property
    def members(self):
        return ensemble(
            networks.network(self.train, self.candidates), self.own["steps"], members=MEMBERS, start="prior",
            batch_size=self.own["batch"], seed=self.seed, **COMMON
        )  # fmt: skip

    @cached_property
    def mean_fields(self):
        return fit(
            networks.network(self.train, self.candidates), self.own["fields"], restarts=FIELDS, keep="mixture",
            batch_size=self.own["batch"], start=Start("prior", scale=0.02), learning_rate=Rates(0.01, 0.02),
            elbo_draws=4, seed=self.seed, **COMMON
        )  # fmt: skip

    def alone(self, k):
        """One split's rows, and its network by itself."""
        rows = self.train.of([k])
        return networks.network(rows, [self.candidates[k]])

    def of_draws(self, posterior, draws):
        """Each split's own predictive distribution under a posterior of all."""
        found = predictive_distribution(posterior, self.test.x, draws, self.seed)
        return [found.of_target(k) for k in range(len(self.splits))]


def judged(predictive, y):
    """Scores of one split, in the units of the target; the log density is a mean per row.

    A central interval holds a measurement if the probability of a smaller one is neither too low nor too high. The root
    mean squared error is that of the mean; where noise multiplies, of the median: the mean is that of a few wild draws.
    """
    below = predictive.below(y)
    point = predictive.quantiles(0.5) if predictive.kind == "LogNormalRV" else predictive.mean
    return {
        "log density": predictive.log_density(y).mean(),
        "rmse": np.sqrt(np.mean((point - y) ** 2)),
        "crps": uncertainty.crps(predictive, y),
        "inside 50 %": (np.abs(below - 0.5) <= 0.25).mean(),
        "inside 95 %": (np.abs(below - 0.5) <= 0.475).mean(),
    } | {f"below {level:g}": (below <= level).mean() for level in LEVELS}


def tried(block):
    """Every candidate of every split side by side, and the ensemble of two that tries them."""
    splits = len(block.splits)
    spread = np.repeat(np.arange(splits), len(CANDIDATES))
    model = networks.network(block.inner.of(spread), list(CANDIDATES) * splits)
    found = ensemble(
        model, block.own["choice"], members=TRIAL["chains"], start="prior", batch_size=block.own["batch"],
        seed=block.seed, **COMMON
    )  # fmt: skip
    return model, found, block.judge.of(spread)


def candidates_scored(block, posterior, judge, draws):
    """Mean log density of the rows that judge, (candidates, splits)."""
    found = predictive_distribution(posterior, judge.x, draws, block.seed).log_density(judge.y)
    return found.mean(axis=0).reshape(-1, len(CANDIDATES)).T


def choice(block):
    """Score each candidate by an ensemble of two."""
    _, found, judge = tried(block)
    return candidates_scored(block, found, judge, TRIAL["chains"])


def choice_of_chains(block):
    """Score each candidate by short chains that start at an ensemble's members."""
    model, start, judge = tried(block)
    found = sample(model, warmup=block.own["trial"], sampler="mclmc", start=start, seed=block.seed, **TRIAL, **COMMON)
    return candidates_scored(block, found, judge, TRIAL["chains"] * TRIAL["draws"])


def linear(block):
    train, test = block.train, block.test
    return [rivals.linear(train.x[:, k], train.y[:, k], test.x[:, k]) for k in range(len(block.splits))]


def boosting(block):
    """Choose the trees of each split, and fit them again to all of its training rows."""
    found = []
    for k in range(len(block.splits)):
        pairs = [(rows.x[:, k], rows.y[:, k]) for rows in (block.inner, block.judge, block.train)]
        found.append(rivals.boosting(*pairs, block.test.x[:, k])[0])
    return found


def dropout(block):
    """Choose each split's rate and kind of noise, and fit again to all of its training rows."""
    splits, rates = len(block.splits), rivals.RATES
    spread = np.repeat(np.arange(splits), len(rates))
    more = block.own["batch"], block.seed
    judge = block.judge.of(spread)
    trial = rivals.Dropout(block.inner.of(spread), rates * splits, block.own["choice"], *more).distributions(judge.x)
    scores = np.array([d.log_density(judge.y[:, k]).mean() for k, d in enumerate(trial)]).reshape(splits, -1)
    best = [rates[k] for k in scores.argmax(axis=1)]
    return rivals.Dropout(block.train, best, block.own["steps"], *more).distributions(block.test.x)


def deep_ensemble(block):
    return block.of_draws(block.members, MEMBERS)


def sampler(block):
    """Langevin chains at constant speed, each from a member of the ensemble."""
    draws = block.own["draws"]
    model = networks.network(block.train, block.of_sampler)
    start = block.members
    if block.of_sampler != block.candidates:
        start = ensemble(
            model, block.own["steps"], members=MEMBERS, start="prior", batch_size=block.own["batch"], seed=block.seed,
            **COMMON
        )  # fmt: skip
    found = sample(
        model,
        draws,
        warmup=block.own["warmup"],
        chains=MEMBERS,
        sampler="mclmc",
        start=start,
        seed=block.seed,
        **COMMON,
    )
    return block.of_draws(found, draws * MEMBERS)


def mean_field(block):
    return block.of_draws(block.mean_fields.best(), DRAWS)


def mixture(block):
    return block.of_draws(block.mean_fields, DRAWS * FIELDS)


def laplace_approximation(block):
    """Around the first member of the ensemble, split by split."""
    found = []
    weights = {name: value[0] for name, value in block.members.draw(1, seed=block.seed).items()}
    for k in range(len(block.splits)):
        start = {name: value[k : k + 1] for name, value in weights.items()}
        posterior = laplace(block.alone(k), 50, start=start, learning_rate=1e-3, tolerance=1.0, elbo_draws=2, **COMMON)
        found.append(predictive_distribution(posterior, block.test.of([k]).x, DRAWS, block.seed).of_target(0))
    return found


def low_rank(block):
    """Five directions beside the mean field, split by split."""
    found = []
    for k in range(len(block.splits)):
        posterior = fit(
            block.alone(k), block.own["fields"], family="low-rank:5", start=Start("prior", scale=0.02),
            learning_rate=0.005, elbo_draws=4, seed=block.seed, **COMMON
        )  # fmt: skip
        found.append(predictive_distribution(posterior, block.test.of([k]).x, DRAWS, block.seed).of_target(0))
    return found


CHOICES = {"choice": choice, "choice of chains": choice_of_chains}
RIVALS = {"linear regression": linear, "MC dropout": dropout, "boosted quantiles": boosting}
METHODS = {
    "deep ensemble": deep_ensemble,
    "linear regression": linear,
    "mean field": mean_field,
    "mixture of mean fields": mixture,
    "MC dropout": dropout,
    "sampler": sampler,
    "boosted quantiles": boosting,
    "Laplace": laplace_approximation,
    "low rank": low_rank,
}
ROUNDS = (  # what is run first on every table, and so on
    ("choice", "deep ensemble", "linear regression", "mean field", "mixture of mean fields", "MC dropout"),
    ("choice of chains", "sampler"),
    ("boosted quantiles",),
    ("Laplace",),
    ("low rank",),
)
BLOCKS_OF = {"low rank": 1, "Laplace": 1}  # methods that are too dear for all blocks
SAMPLED = ("yacht", "energy", "concrete")  # tables that are small enough for what is dear
CURVED = ("yacht",)  # of these, the table whose likelihood has a Gauss-Newton matrix; Student-t has none
DEAR = ("choice of chains", "sampler", "Laplace", "low rank")


def jobs():
    """Every pair of a table and a method or a choice, in the order in which they are run."""
    return {
        f"{table}: {method}": (table, method)
        for methods in ROUNDS
        for table in TABLES
        for method in methods
        if method not in DEAR or table in (SAMPLED if method != "Laplace" else CURVED)
    }


def run(given, name, number):
    """Run a method on a block; the row holds each score for each place in the block."""
    table, method = jobs()[name]
    block = Block(table, number, given.tiny)
    began = time.process_time()
    if method in CHOICES:
        row = {f"candidate {c}, {k}": score for (c, k), score in np.ndenumerate(CHOICES[method](block))}
        return row | {"cpu seconds": time.process_time() - began}
    if method not in RIVALS and not block.candidates:
        block.candidates = block.choose(runs.kept(given, f"{table}: choice", number))
    if method == "sampler":
        block.of_sampler = block.choose(runs.kept(given, f"{table}: choice of chains", number))
    found = METHODS[method](block)
    scores = [judged(d, block.test.y[:, k]) for k, d in enumerate(found)]
    row = {f"{score}, {k}": value for k, own in enumerate(scores) for score, value in own.items()}
    print(name, {score: round(float(np.mean([own[score] for own in scores])), 3) for score in SHOWN}, flush=True)
    return row | {"cpu seconds": time.process_time() - began}


def main():
    tiny = "a few steps on two splits of two tables, kept beside the real runs"
    given = runs.parser(__doc__, "uci", tiny).parse_args()
    given.seeds = min(given.seeds, BLOCKS)
    book.setup()
    torch.set_num_threads(1)
    runs.begin(given, "uci")
    names = [name for name, (table, _) in jobs().items() if not given.tiny or table in ("yacht", "energy")]
    limits = {name: BLOCKS_OF[method] for name, (_, method) in jobs().items() if method in BLOCKS_OF}
    runs.complete(given, names, partial(run, given), limits=limits)
    about = {
        "script": "studies/uci.py",
        "settings": {kind: own for kind, own in SETTINGS.items() if kind != "tiny"} | {"members": MEMBERS},
        "candidates": [str(c) for c in CANDIDATES],
        "splits in a block": BLOCK,
        "levels": list(LEVELS),
    }
    if not given.tiny:
        runs.collect(given, names, "uci", about)


if __name__ == "__main__":
    main()
