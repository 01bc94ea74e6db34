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
from companion.errors import InferenceError
from companion.inference import Machine, Rates, Start, ensemble, fit, laplace, sample
from companion.posterior import diagnose
from companion.uncertainty import predictive_distribution

BLOCK, BLOCKS = 5, 4  # splits that are run side by side, and blocks of them
TABLES = ("yacht", "energy", "concrete", "kin8nm", "power-plant", "wine-quality-red")
KINDS = {"yacht": "yacht", "kin8nm": "large", "power-plant": "large"}  # the others are small
LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
LONGER = 4  # times the warm-up, by the trials below
LONGER_FIELDS = 10  # times the steps of a mean field
LOW_RANK = {"steps": 2, "draws": 4}  # times a mean field's steps, and draws in each
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
        self.notes = {}  # what a method tells beside its predictions, for its row

    def choose(self, kept):
        """Take the candidate with the highest score for each split, from the row of the choice."""
        places = range(len(self.splits))
        scores = np.array([[kept[f"candidate {c}, {k}"] for k in places] for c in range(len(CANDIDATES))])
        return [CANDIDATES[c] for c in scores.argmax(axis=0)]

    @cached_property
    def members(self):
        return self.modes(networks.network(self.train, self.candidates))

    def modes(self, model, members=MEMBERS, steps=None):
        """Maxima of the posterior density, from starts of the prior."""
        return ensemble(
            model, steps or self.own["steps"], members=members, start="prior", batch_size=self.own["batch"],
            seed=self.seed, **COMMON
        )  # fmt: skip

    @cached_property
    def mean_fields(self):
        return self.fields(self.own["fields"])

    def fields(self, steps):
        """Mean fields from several starts, as one mixture."""
        return fit(
            networks.network(self.train, self.candidates), steps, restarts=FIELDS, keep="mixture",
            batch_size=self.own["batch"], start=Start("prior", scale=0.02), learning_rate=Rates(0.01, 0.02),
            elbo_draws=4, seed=self.seed, **COMMON
        )  # fmt: skip

    def alone(self, k, freedom=None):
        """One split's network by itself; ``freedom`` holds the degrees of freedom of its noise."""
        return networks.network(self.train.of([k]), [self.candidates[k]], freedom)

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
    return model, block.modes(model, TRIAL["chains"], block.own["choice"]), block.judge.of(spread)


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


def dropout(block, rates=rivals.RATES):
    """Choose each split's rate and kind of noise, and fit again to all of its training rows."""
    splits = len(block.splits)
    spread = np.repeat(np.arange(splits), len(rates))
    more = block.own["batch"], block.seed
    judge = block.judge.of(spread)
    trial = rivals.Dropout(block.inner.of(spread), rates * splits, block.own["choice"], *more).distributions(judge.x)
    scores = np.array([d.log_density(judge.y[:, k]).mean() for k, d in enumerate(trial)]).reshape(splits, -1)
    best = [rates[k] for k in scores.argmax(axis=1)]
    return rivals.Dropout(block.train, best, block.own["steps"], *more).distributions(block.test.x)


def deep_ensemble(block):
    return block.of_draws(block.members, MEMBERS)


def sampler(block, longer=1):
    """Langevin chains at constant speed, each from a member of the ensemble; with a ``longer`` warm-up if asked.

    The row tells how well the chains agree on each split's test rows: the largest R-hat and the smallest effective
    number of draws of a prediction.
    """
    draws = block.own["draws"]
    model = networks.network(block.train, block.of_sampler)
    start = block.members
    if block.of_sampler != block.candidates:
        start = block.modes(model)
    found = sample(
        model,
        draws,
        warmup=longer * block.own["warmup"],
        chains=MEMBERS,
        sampler="mclmc",
        start=start,
        seed=block.seed,
        **COMMON,
    )
    predictions = found.predict(block.test.x, found.draws)  # (draws, points, splits)
    for k in range(len(block.splits)):
        worst = diagnose({"prediction": predictions[:, :, k]}, MEMBERS)["prediction"]
        block.notes |= {f"R-hat, {k}": worst.r_hat, f"effective draws, {k}": worst.ess}
    return block.of_draws(found, draws * MEMBERS)


def mean_field(block):
    return block.of_draws(block.mean_fields.best(), DRAWS)


def longer_mean_field(block):
    """The best of three fits again, with ten times the steps."""
    return block.of_draws(block.fields(LONGER_FIELDS * block.own["fields"]).best(), DRAWS)


def mixture(block):
    return block.of_draws(block.mean_fields, DRAWS * FIELDS)


def laplace_approximation(block):
    """Around the first member of the ensemble, split by split.

    Student's degrees of freedom are held at the member's: for unknown ones the Gauss-Newton matrix isn't known. A split
    in which no mode was reached is left out.
    """
    found = []
    weights = {name: value[0] for name, value in block.members.draw(1, seed=block.seed).items()}
    above = weights.pop("freedom_above_2", None)
    for k in range(len(block.splits)):
        start = {name: value[k : k + 1] for name, value in weights.items()}
        model = block.alone(k, None if above is None else 2 + above[k : k + 1].astype(np.float32))
        try:
            posterior = laplace(
                model, 50, start=start, learning_rate=1e-3, polish=1000, tolerance=1.0, elbo_draws=2, **COMMON
            )  # fmt: skip
        except InferenceError as error:
            print(f"split {block.splits[k]}: {error}", flush=True)
            found.append(None)
            continue
        found.append(predictive_distribution(posterior, block.test.of([k]).x, DRAWS, block.seed).of_target(0))
    return found


def low_rank(block):
    """Five directions beside the mean field, split by split, from where a mean field ended.

    From the prior it ends below the mean field that it contains.
    """
    found = []
    for k in range(len(block.splits)):
        given = {"learning_rate": Rates(0.01, 0.02), "elbo_draws": 4, "seed": block.seed, **COMMON}
        field = fit(block.alone(k), block.own["fields"], start=Start("prior", scale=0.02), **given)
        at = {name: value[0] for name, value in field.draw(1, seed=block.seed).items()}
        posterior = fit(
            block.alone(k), LOW_RANK["steps"] * block.own["fields"], family="low-rank:5", draws=LOW_RANK["draws"],
            start=Start(at, scale=0.02), **given | {"learning_rate": 0.002}
        )  # fmt: skip
        block.notes |= {f"negative elbo, {k}": -posterior.record.elbo}
        block.notes |= {f"negative elbo of its mean field, {k}": -field.record.elbo}
        found.append(predictive_distribution(posterior, block.test.of([k]).x, DRAWS, block.seed).of_target(0))
    return found


def trial(block, warmup=None, draws=None, members=MEMBERS, freedom=None):
    """Score a change of the sampler on the rows that judge: mean log density of each split."""
    warmup, draws = warmup or block.own["warmup"], draws or block.own["draws"]
    model = networks.network(block.inner, block.of_sampler, freedom and np.full(len(block.splits), freedom, np.float32))
    found = sample(
        model, draws, warmup=warmup, chains=members, sampler="mclmc", start=block.modes(model, members),
        seed=block.seed, **COMMON
    )  # fmt: skip
    return predictive_distribution(found, block.judge.x, draws * members, block.seed).log_density(block.judge.y).mean(0)


CHOICES = {"choice": choice, "choice of chains": choice_of_chains}
TRIALS = {  # of the sampler on concrete, whose target was missed: is it the chains, or the noise?
    "trial, as it is": {},
    "trial, four times the warm-up": {"warmup": LONGER * SETTINGS["small"]["warmup"]},
    "trial, four times the draws": {"draws": 100},
    "trial, ten members": {"members": 10},
    "trial, nearly normal noise": {"freedom": 1000.0},
}
RIVALS = {"linear regression": linear, "MC dropout": dropout, "boosted quantiles": boosting}
METHODS = {
    "deep ensemble": deep_ensemble,
    "linear regression": linear,
    "mean field": mean_field,
    "mixture of mean fields": mixture,
    "MC dropout": dropout,
    "sampler": sampler,
    "sampler, longer warm-up": partial(sampler, longer=LONGER),
    "boosted quantiles": boosting,
    "Laplace": laplace_approximation,
    "low rank": low_rank,
    "mean field, ten times the steps": longer_mean_field,
    "MC dropout, constant noise": partial(dropout, rates=[rate for rate in rivals.RATES if not rate[1]]),
}
ROUNDS = (  # what is run first on every table, and so on
    ("choice", "deep ensemble", "linear regression", "mean field", "mixture of mean fields", "MC dropout"),
    ("choice of chains", "sampler"),
    ("boosted quantiles",),
    ("Laplace",),
    ("low rank",),
    tuple(TRIALS),
    ("sampler, longer warm-up",),
    ("mean field, ten times the steps", "MC dropout, constant noise"),
)
BLOCKS_OF = {"low rank": 1} | dict.fromkeys(TRIALS, 1)  # what is too dear for all blocks
SMALL = ("yacht", "energy", "concrete", "wine-quality-red")  # tables that are small enough for what is dear
DEAR = {
    "choice of chains": SMALL,
    "sampler": SMALL,
    "Laplace": SMALL,
    "low rank": SMALL[:3],
    "sampler, longer warm-up": SMALL,
    "mean field, ten times the steps": SMALL[:3],
    "MC dropout, constant noise": SMALL[:1],
}
DEAR |= dict.fromkeys(TRIALS, ("concrete",))


def jobs():
    """Every pair of a table and a method or a choice, in the order in which they are run."""
    return {
        f"{table}: {method}": (table, method)
        for methods in ROUNDS
        for table in TABLES
        for method in methods
        if table in DEAR.get(method, TABLES)
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
    if method.startswith("sampler") or method in TRIALS:
        block.of_sampler = block.choose(runs.kept(given, f"{table}: choice of chains", number))
    if method in TRIALS:
        row = {f"judging, {k}": score for k, score in enumerate(trial(block, **TRIALS[method]))}
        return row | {"cpu seconds": time.process_time() - began}
    block.notes = {}
    found = METHODS[method](block)
    scores = {k: judged(d, block.test.y[:, k]) for k, d in enumerate(found) if d is not None}
    row = {f"{score}, {k}": value for k, own in scores.items() for score, value in own.items()}
    means = {score: round(float(np.mean([own[score] for own in scores.values()])), 3) for score in SHOWN if scores}
    print(name, means, flush=True)
    return row | block.notes | {"cpu seconds": time.process_time() - began}


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
