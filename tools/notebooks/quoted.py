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
    "pymc/moons_posterior": (
        "000-pymc3-moons-advi",
        (
            "should be identical to maximum likelihood predicted values",
            "almost as flexible as MCMC but much faster",
        ),
    ),
    "pymc/breast_cancer": (
        "002-pymc-breast-cancer",
        (
            "100.00% [30000/30000 00:23<00:00 Average Loss = 122.57]",
            "Wall time: 26 s",
            "100.00% [40000/40000 00:33<00:00 Average Loss = 123.72]",
            "Accuracy = 91.2281%",
            "callbacks=[pm.callbacks.CheckParametersConvergence()], obj_optimizer=pm.adam(learning_rate=0.001)",
            'title="Toy binary classification data set"',
            "pm.sample_posterior_predictive(trace_mb)",
            "variational inference algorithms that match the flexibility of MCMC",
            "avoids local minima and can lead to faster convergence",
            'color="C0", label="Healthy"',
        ),
    ),
    "mnist/dense": (
        "001-pymc3-lasagne-mnist",
        (
            "Average ELBO = -104,369.28",
            "[4:06:03<00:00, 2.63it/s]",
            "Finished minibatch ADVI: ELBO = -99,915.55",
            "500/500 [00:45<00:00, 10.44it/s]",
            "100/100 [01:48<00:00, 1.13it/s]",
            "Accuracy on test data = 89.81%",
            "learning_rate=1e-2, epsilon=1.0",
            "a few days later, PR695 was merged",
            "Long live OSS",
            "shape=(None, 1, 28, 28)",
            "np.random.RandomState(0)",
            "Make sure everything converged",
            "Most of the code used here is borrowed from the Lasagne tutorial",
        ),
    ),
    "mnist/hierarchical": (
        "001-pymc3-lasagne-mnist",
        (
            "Average ELBO = -110,551.60",
            "Finished minibatch ADVI: ELBO = -107,691.92",
            "[4:46:04<00:00, 2.74it/s]",
            "Accuracy on test data = 92.25999999999999%",
            "small but nice boost",
            "pm.traceplot(trace, varnames",
            "all are pretty different",
            "For more information on hierarchical modeling, see my other blog post",
        ),
    ),
    "mnist/convolutional": (
        "001-pymc3-lasagne-mnist",
        (
            "Average ELBO = -20,160.79",
            "Finished minibatch ADVI: ELBO = -18,618.35",
            "[12:39:53<00:00, 1.21it/s]",
            "500/500 [00:04<00:00, 120.35it/s]",
            "100/100 [09:26<00:00, 5.52s/it]",
            "Accuracy on test data = 98.03%",
            "achieved lower accuracy (95%), I assume due to overfitting",
            "Hierarchical Bayesian Convolution ANN with max-pooling layers to achieve 98% accuracy",
            "Kudos to the `Lasagne` developers",
        ),
    ),
    "mnist/strange_images": (
        "001-pymc3-lasagne-mnist",
        (
            "tells us how uniform a sample is. The more uniform, the higher our uncertainty",
            "leave a comment if there\u2019s a more established method",
            "when the model makes an error, it is much more uncertain in the answer",
            "with a multinomial prediction from a regular ANN, however, this is not so",
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
