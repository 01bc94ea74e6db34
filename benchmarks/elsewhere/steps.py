"""Steps of mean-field inference by NumPyro and by pymc_extras, and of blackjax's samplers of mini-batches.

All are on the rows and from the start of `problem.Problem`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

LEAPS = 5  # of blackjax's SGHMC: as many as the benchmark takes steps at a time


class Given:
    """What the benchmark hands over in a file: rows, the network's weights at the start, settings."""

    def __init__(self, file: str) -> None:
        with np.load(file) as found:
            self.x, self.y = found["x"], found["y"]
            self.start = {name.removeprefix("start/"): found[name] for name in found if name.startswith("start/")}
            self.batch, self.seed = int(found["batch"]), int(found["seed"])
            self.prior, self.scale, self.rate = (float(found[name]) for name in ("prior", "scale", "rate"))


class NumpyroSvi:
    """NumPyro's SVI, all steps of a call in one compiled loop, as `SVI.run` takes them.

    Parameters
    ----------
    guide
        "AutoNormal" or "AutoDiagonalNormal".
    elbo
        "Trace_ELBO" or "TraceMeanField_ELBO", which knows the divergence of normal distributions.
    restarts
        Number of fits side by side, by `jax.vmap`.
    """

    def __init__(self, file: str, *, guide: str, elbo: str, restarts: int = 1) -> None:
        import jax
        import numpyro
        from jax import numpy as jnp
        from numpyro import distributions as dist
        from numpyro.infer import SVI, autoguide, init_to_value
        from numpyro.infer import elbo as elbos

        given = Given(file)
        rows, batch = len(given.y), given.batch
        x, y = jnp.asarray(given.x), jnp.asarray(given.y)

        def model(x: Any, y: Any) -> None:
            weights = [
                numpyro.sample(name, dist.Normal(0.0, given.prior).expand(w.shape).to_event(w.ndim))
                for name, w in given.start.items()
            ]
            *hidden, last = zip(*[iter(weights)] * 2, strict=True)
            for weight, bias in hidden:
                x = jax.nn.relu(x @ weight.T + bias)
            with numpyro.handlers.scale(scale=rows / batch), numpyro.plate("rows", batch):
                numpyro.sample("y", dist.Categorical(logits=x @ last[0].T + last[1]), obs=y)

        start = {name: jnp.asarray(w) for name, w in given.start.items()}
        made = getattr(autoguide, guide)(model, init_loc_fn=init_to_value(values=start), init_scale=given.scale)
        svi = SVI(model, made, numpyro.optim.Adam(given.rate), getattr(elbos, elbo)())

        def drawn(key: Any) -> tuple[Any, Any]:
            at = jax.random.randint(key, (batch,), 0, rows)
            return x[at], y[at]

        def update(state: Any, key: Any) -> tuple[Any, Any]:
            return svi.update(state, *drawn(key))

        def evaluate(state: Any, key: Any) -> Any:
            return svi.evaluate(state._replace(rng_key=key), *drawn(key))

        keys = jax.random.split(jax.random.key(given.seed), restarts)
        if restarts > 1:
            update, evaluate = jax.vmap(update), jax.vmap(evaluate)
            self._state = jax.vmap(lambda key: svi.init(key, x[:batch], y[:batch]))(keys)
        else:
            self._state = svi.init(keys[0], x[:batch], y[:batch])

        def of(seed: Any) -> Any:
            key = jax.random.key(seed)
            return jax.random.split(key, restarts) if restarts > 1 else key

        @partial(jax.jit, donate_argnums=0)
        def run(state: Any, first: Any, n: Any) -> Any:
            return jax.lax.fori_loop(first, first + n, lambda k, at: update(at, of(k))[0], state)

        self._run, self._evaluate = run, jax.jit(lambda state, k: evaluate(state, of(k)).mean())
        self._done, self._wait = 0, jax.block_until_ready
        begun = self._state
        self.losses(1)
        self._state = jax.tree.map(jnp.array, begun)  # a step takes its memory
        self.steps(1)
        self._state = jax.tree.map(jnp.array, begun)

    def steps(self, n: int) -> None:
        self._state = self._run(self._state, self._done, n)
        self._done += n
        self._wait(self._state)

    def losses(self, n: int) -> list[float]:
        return [float(self._evaluate(self._state, 10**6 + k)) for k in range(n)]


class FitAdvi:
    """A step of pymc_extras' `Trainer`, which is what `fit_advi` runs; without its progress bar.

    Parameters
    ----------
    backend
        "numba" or "jax".
    stl
        Whether it sticks the landing; that is its default.
    """

    def __init__(self, file: str, *, backend: str, stl: bool = True) -> None:
        os.environ["PYTENSOR_FLAGS"] = "floatX=float32," + os.environ.get("PYTENSOR_FLAGS", "")
        import pymc as pm
        import pytensor.tensor as pt
        from pymc_extras.inference.advi import AutoDiagonalNormal, Trainer, adam

        given = Given(file)
        rng = np.random.default_rng(given.seed)
        rows, self._batch = given.y.astype("int16"), given.batch
        with pm.Model() as model:
            at = pm.Data("x", given.x[: given.batch])
            labels = pm.Data("labels", rows[: given.batch])
            weights = [pm.Normal(name, 0.0, given.prior, shape=w.shape, initval=w) for name, w in given.start.items()]
            *hidden, last = zip(*[iter(weights)] * 2, strict=True)
            for weight, bias in hidden:
                at = pt.maximum(at @ weight.T + bias, 0)
            pm.Categorical("y", logit_p=at @ last[0].T + last[1], observed=labels, total_size=len(rows))

        def guide(model: Any) -> Any:
            made = AutoDiagonalNormal(model)
            for name, value in made.params_init_values.items():
                if name.name.endswith("_scale"):
                    value[...] = np.log(given.scale)
            return made

        def stream() -> Iterator[dict[str, np.ndarray]]:
            while True:
                drawn = rng.integers(len(rows), size=given.batch)
                yield {"x": given.x[drawn], "labels": rows[drawn]}

        self._trainer = Trainer(
            guide=guide, optimizer=adam(given.rate), path_derivative_gradient=stl, backend=backend,
            random_seed=given.seed,
        )  # fmt: skip
        self._stream, self._model = stream(), model
        self._trainer.fit(1, self._stream, model=model, random_seed=given.seed)  # compiles
        fresh = guide(model)
        shared = self._trainer._shared_params
        for name, value in fresh.params_init_values.items():
            shared[name.name].set_value(value)

    def _step(self) -> Any:
        self._trainer._apply_batch(self._trainer._fit_model, next(self._stream))
        return self._trainer._step_fn()

    def steps(self, n: int) -> None:
        for _ in range(n):
            found = self._step()
        float(found)

    def losses(self, n: int) -> list[float]:
        before, found = self._trainer._snapshot(), []
        for _ in range(n):
            found.append(float(self._step()))
            self._trainer._restore(before)
        return found


class BlackjaxChain:
    """A sampler of mini-batches of blackjax, all steps of a call in one compiled loop.

    Parameters
    ----------
    kind
        "sgld" or "sghmc". A call of the latter draws the momentum anew, and takes `LEAPS` gradients of one mini-batch:
        each counts as a step here.
    rate
        Step size for the mean loss per row; blackjax's own is for the sum over rows.
    settings
        Further ones of blackjax's, such as ``alpha``.
    """

    def __init__(self, file: str, *, kind: str, rate: float, **settings: float) -> None:
        import blackjax
        import jax
        from blackjax.sgmcmc.gradients import grad_estimator, logdensity_estimator
        from jax import numpy as jnp

        given = Given(file)
        rows, batch = len(given.y), given.batch
        x, y = jnp.asarray(given.x), jnp.asarray(given.y)

        def log_prior(weights: Any) -> Any:
            return sum(jax.scipy.stats.norm.logpdf(w, 0.0, given.prior).sum() for w in weights)

        def log_likelihood(weights: Any, row: Any) -> Any:
            at, label = row
            *hidden, last = zip(*[iter(weights)] * 2, strict=True)
            for weight, bias in hidden:
                at = jax.nn.relu(weight @ at + bias)
            return jax.nn.log_softmax(last[0] @ at + last[1])[label]

        def drawn(seed: Any) -> tuple[Any, Any]:
            at = jax.random.randint(jax.random.key(seed), (batch,), 0, rows)
            return x[at], y[at]

        slope = grad_estimator(log_prior, log_likelihood, rows)
        self._leaps = LEAPS if kind == "sghmc" else 1
        own = {"num_integration_steps": LEAPS, **settings} if kind == "sghmc" else settings
        sampler = getattr(blackjax, kind)(slope, **own)
        size = rate / rows if kind == "sgld" else (rate / rows) ** 0.5

        def step(k: Any, at: Any) -> Any:
            return sampler.step(jax.random.key(given.seed + k), at, drawn(k), size)

        @partial(jax.jit, donate_argnums=0)
        def run(at: Any, first: Any, n: Any) -> Any:
            return jax.lax.fori_loop(first, first + n, step, at)

        def start() -> Any:
            return tuple(jnp.array(w) for w in given.start.values())  # JAX would sort a mapping by its names

        density = logdensity_estimator(log_prior, log_likelihood, rows)
        self._density = jax.jit(lambda k: density(start(), drawn(10**6 + k)))
        self._run, self._done, self._wait = run, 0, jax.block_until_ready
        self._at = start()
        self.steps(1)

    def steps(self, n: int) -> None:
        calls = -(-n // self._leaps)
        self._at = self._run(self._at, self._done, calls)
        self._done += calls
        self._wait(self._at)

    def log_densities(self, n: int) -> list[float]:
        return [float(self._density(k)) for k in range(n)]
