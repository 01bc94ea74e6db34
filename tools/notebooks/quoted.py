"""The figures that the originals print, so that a number in the prose of a chapter can be traced to its source."""

from companion.originals import PRINTED_ELBOS

FIGURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "pymc/moons": (
        "000-pymc3-moons-advi",
        (
            "Finished [100%]: Average Loss = 131.92",
            "Wall time: 15.3 s",
            "CPU times: user 56.2 s, sys: 707 ms, total: 56.9 s",
            "Accuracy = 94.19999999999999%",
            "2073.86it/s",
            "2.57 s",
            "53.5 ms",
            "[00:11<00:00, 3586.77it/s]",
            "Average Loss = 12.89",
            "pm.fit(40000, method=pm.ADVI())",
            "label='new ADVI'",
            "label='old ADVI'",
            "plt.plot(inference.hist)",
            "avoids local minima",
        ),
    ),
    "pymc/zh": (
        "003-advi-chinese",
        (
            *(f"ELBO = {value}" for fit in PRINTED_ELBOS.values() for value in fit),
            "Wall time: 37.2 s",
            "Wall time: 17.5 s",
            "Accuracy = 94.19999999999999%",
            "pm.variational.advi(n=50000)",
            "n=50000, minibatch_tensors=minibatch_tensors",
            "learning_rate=1e-2, epsilon=1.0",
            "In \\[34\\]",
            "In \\[9\\]",
            "In \\[48\\]",
            "ixs = rng.randint(len(data), size=50)",
            "of set size 100 each iteration",
        ),
    ),
}
"""Page to the name of its source, and to words that the source prints, letter by letter."""
