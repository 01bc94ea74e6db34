"""Chains of peers on the moons network: predictions at test points, and the seconds that they took.

Each run is a function of what was handed over, and gives probabilities (chains, draws, points) with the processor's
seconds of its set-up (tracing, compilation), of its warm-up and of its draws.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Found = tuple[np.ndarray, dict[str, float]]


class Handed:
    """Rows, test points and the widths of the normal priors, as a file holds them."""

    def __init__(self, file: str) -> None:
        with np.load(file) as found:
            self.x, self.y, self.points = found["x"], found["y"], found["points"]
            self.prior, self.hidden = float(found["prior"]), int(found["hidden"])

    @property
    def size(self) -> int:
        return self.hidden * (self.x.shape[1] + 2) + 1

    def parts(self, flat: Any) -> tuple[Any, Any, Any, Any]:
        """Cut a vector into the hidden layer's weights and biases, and those of the last."""
        wide, hidden = self.x.shape[1] * self.hidden, self.hidden
        return flat[:wide].reshape(-1, hidden), flat[wide : wide + hidden], flat[wide + hidden : -1], flat[-1]


class Chains:
    """Any peer's chains, one run at a time.

    Parameters
    ----------
    peer
        Name of a function in `PEERS`.
    """

    def __init__(self, file: str, *, peer: str, **settings: Any) -> None:
        self._given, self._run, self._settings = Handed(file), PEERS[peer], settings

    def sample(self, seed: int, to: str) -> dict[str, float]:
        """Run once, and write the probabilities to a file."""
        found, seconds = self._run(self._given, seed, **self._settings)
        np.save(to, np.asarray(found, dtype=np.float32))
        return {name: float(value) for name, value in seconds.items()}


# --- PyMC and nutpie --------------------------------------------------------------------------------------


def _pymc_model(given: Handed) -> Any:
    import pymc as pm
    import pytensor.tensor as pt

    with pm.Model() as model:
        w_in = pm.Normal("w_in", 0, given.prior, shape=(given.x.shape[1], given.hidden))
        b_in = pm.Normal("b_in", 0, given.prior, shape=given.hidden)
        w_out = pm.Normal("w_out", 0, given.prior, shape=given.hidden)
        b_out = pm.Normal("b_out", 0, given.prior)
        pm.Bernoulli("y", logit_p=pt.tanh(given.x @ w_in + b_in) @ w_out + b_out, observed=given.y)
    return model


def _predicted(given: Handed, posterior: Any) -> np.ndarray:
    w_in, b_in, w_out, b_out = (np.asarray(posterior[name]) for name in ("w_in", "b_in", "w_out", "b_out"))
    hidden = np.tanh(given.points @ w_in + b_in[..., None, :])
    return 1 / (1 + np.exp(-(hidden @ w_out[..., None])[..., 0] - b_out[..., None]))


def pymc(given: Handed, seed: int, *, draws: int, tune: int, chains: int) -> Found:
    """Take `pm.sample` with PyMC's own NUTS; its statistics tell the seconds of each draw."""
    import pymc as pm

    model, clock = _pymc_model(given), Clock()
    with model:
        found = pm.sample(
            draws, tune=tune, chains=chains, cores=1, random_seed=seed, nuts_sampler="pymc", progressbar=False,
            discard_tuned_samples=False, compute_convergence_checks=False,
        )  # fmt: skip
    whole = clock()
    kept, before = (np.asarray(found[g]["process_time_diff"]).sum() for g in ("sample_stats", "warmup_sample_stats"))
    return _predicted(given, found.posterior), {"setup": whole - kept - before, "warmup": before, "draws": kept}


def nutpie(given: Handed, seed: int, *, backend: str, draws: int, tune: int, chains: int) -> Found:
    """Take nutpie by itself, which tells compilation from chains."""
    import nutpie as peer

    clock = Clock()
    compiled = peer.compile_pymc_model(_pymc_model(given), backend=backend)
    peer.sample(compiled, draws=2, tune=2, chains=1, cores=1, progress_bar=False, seed=seed)
    setup = clock()
    found = peer.sample(compiled, draws=draws, tune=tune, chains=chains, cores=1, progress_bar=False, seed=seed)
    both = clock()
    steps = found.sample_stats["n_steps"].to_numpy() if "n_steps" in found.sample_stats else None
    share = 0.5
    if steps is not None and "warmup_sample_stats" in found.children:
        before = found.warmup_sample_stats["n_steps"].to_numpy().sum()
        share = before / (before + steps.sum())
    return _predicted(given, found.posterior), {"setup": setup, "warmup": share * both, "draws": (1 - share) * both}


# --- NumPyro ----------------------------------------------------------------------------------------------


def numpyro(given: Handed, seed: int, *, draws: int, tune: int, chains: int, method: str) -> Found:
    """Take NumPyro's NUTS, chain after chain or side by side."""
    import jax
    import numpyro as peer
    from jax import numpy as jnp
    from numpyro import distributions as dist
    from numpyro.infer import MCMC, NUTS

    x, y = jnp.asarray(given.x), jnp.asarray(given.y)

    def model() -> None:
        w_in = peer.sample("w_in", dist.Normal(0, given.prior).expand((x.shape[1], given.hidden)).to_event(2))
        b_in = peer.sample("b_in", dist.Normal(0, given.prior).expand((given.hidden,)).to_event(1))
        w_out = peer.sample("w_out", dist.Normal(0, given.prior).expand((given.hidden,)).to_event(1))
        b_out = peer.sample("b_out", dist.Normal(0, given.prior))
        peer.sample("y", dist.Bernoulli(logits=jnp.tanh(x @ w_in + b_in) @ w_out + b_out), obs=y)

    made = MCMC(
        NUTS(model), num_warmup=tune, num_samples=draws, num_chains=chains, chain_method=method, progress_bar=False
    )
    clock = Clock()

    def whole(seed: int) -> tuple[Any, float, float]:
        made.warmup(jax.random.key(seed), collect_warmup=False)
        jax.block_until_ready(made.last_state)
        warmup = clock()
        made.run(made.post_warmup_state.rng_key)
        return jax.block_until_ready(made.get_samples(group_by_chain=True)), warmup, clock()

    first = sum(whole(seed + 1000)[1:])  # compiles
    found, warmup, drawn = whole(seed)
    return _predicted(given, found), {"setup": max(first - warmup - drawn, 0), "warmup": warmup, "draws": drawn}


# --- blackjax ---------------------------------------------------------------------------------------------


def _log_density(given: Handed) -> Callable[[Any], Any]:
    import jax
    from jax import numpy as jnp

    x, sign = jnp.asarray(given.x, jnp.float32), 2.0 * jnp.asarray(given.y, jnp.float32) - 1

    def log_density(flat: Any) -> Any:
        w_in, b_in, w_out, b_out = given.parts(flat)
        logits = jnp.tanh(x @ w_in + b_in) @ w_out + b_out
        return jax.nn.log_sigmoid(sign * logits).sum() - 0.5 * jnp.sum((flat / given.prior) ** 2)

    return log_density


def _probabilities(given: Handed) -> Callable[[Any], Any]:
    import jax
    from jax import numpy as jnp

    points = jnp.asarray(given.points, jnp.float32)

    def probabilities(flat: Any) -> Any:
        w_in, b_in, w_out, b_out = given.parts(flat)
        return jax.nn.sigmoid(jnp.tanh(points @ w_in + b_in) @ w_out + b_out)

    return probabilities


def _in_turn(warm: Callable[[Any], Any], draw: Callable[[Any, Any], Any], key: Any) -> Found:
    """Compile both halves, then run and time them."""
    import jax

    one, two = jax.random.split(key)
    clock = Clock()
    compiled = jax.jit(warm).lower(one).compile()
    shapes = jax.eval_shape(warm, one)
    second = jax.jit(draw).lower(shapes, two).compile()
    setup = clock()
    state = jax.block_until_ready(compiled(one))
    warmup = clock()
    found = jax.block_until_ready(second(state, two))
    return np.asarray(found), {"setup": setup, "warmup": warmup, "draws": clock()}


def _starts(given: Handed, key: Any, chains: int) -> Any:
    import jax

    return 0.5 * jax.random.normal(key, (chains, given.size))


def blackjax_nuts(given: Handed, seed: int, *, draws: int, tune: int, chains: int) -> Found:
    """Take NUTS with Stan's window adaptation, chain after chain."""
    import blackjax
    import jax

    log_density, probabilities = _log_density(given), _probabilities(given)

    def warm_one(both: Any) -> Any:
        start, key = both
        (state, parameters), _ = blackjax.window_adaptation(
            blackjax.nuts, log_density, adaptation_info_fn=lambda *_: None
        ).run(key, start, tune)
        return state, {name: parameters[name] for name in ("step_size", "inverse_mass_matrix")}

    def warm(key: Any) -> Any:
        return jax.lax.map(warm_one, (_starts(given, key, chains), jax.random.split(key, chains)))

    def draw_one(both: Any) -> Any:
        (state, parameters), key = both
        kernel = blackjax.nuts(log_density, **parameters).step

        def step(at: Any, key: Any) -> Any:
            at, _ = kernel(key, at)
            return at, probabilities(at.position)

        return jax.lax.scan(step, state, jax.random.split(key, draws))[1]

    def draw(state: Any, key: Any) -> Any:
        return jax.lax.map(draw_one, (state, jax.random.split(key, chains)))

    return _in_turn(warm, draw, jax.random.key(seed))


def blackjax_mclmc(given: Handed, seed: int, *, draws: int, thin: int, tune: int, chains: int) -> Found:
    """Take unadjusted microcanonical Langevin, tuned by one chain, then all chains side by side."""
    import blackjax
    import jax

    log_density, probabilities = _log_density(given), _probabilities(given)
    kernel = blackjax.mcmc.mclmc.build_kernel()

    def warm(key: Any) -> Any:
        starts, keys = _starts(given, key, chains), jax.random.split(key, chains)
        states = jax.vmap(lambda at, key: blackjax.mcmc.mclmc.init(at, log_density, key))(starts, keys)
        first = jax.tree.map(lambda a: a[0], states)
        _, found, _ = blackjax.mclmc_find_L_and_step_size(
            mclmc_kernel=kernel, num_steps=tune, state=first, rng_key=key, logdensity_fn=log_density,
            frac_tune1=0.3, frac_tune2=0.4, frac_tune3=0.3,
        )  # fmt: skip
        parameters = found.inverse_mass_matrix, found.L, found.step_size

        def burn(k: Any, at: Any) -> Any:
            keys = jax.random.split(jax.random.fold_in(key, k), chains)
            return jax.vmap(lambda key, one: kernel(key, one, log_density, *parameters)[0])(keys, at)

        return jax.lax.fori_loop(0, tune // 2, burn, states), parameters

    def draw(warmed: Any, key: Any) -> Any:
        states, parameters = warmed

        def one(at: Any, key: Any) -> Any:
            return jax.vmap(lambda key, one: kernel(key, one, log_density, *parameters)[0])(
                jax.random.split(key, chains), at
            )

        def kept(at: Any, key: Any) -> Any:
            at = jax.lax.fori_loop(0, thin, lambda k, s: one(s, jax.random.fold_in(key, k)), at)
            return at, jax.vmap(probabilities)(at.position)

        return jax.lax.scan(kept, states, jax.random.split(key, draws))[1].swapaxes(0, 1)

    return _in_turn(warm, draw, jax.random.key(seed))


def blackjax_chees(given: Handed, seed: int, *, draws: int, tune: int, chains: int) -> Found:
    """Take HMC whose trajectories ChEES adapts across chains, with a diagonal mass, side by side."""
    import blackjax
    import jax
    import optax

    log_density, probabilities = _log_density(given), _probabilities(given)

    # The warm-up gives numbers and functions; the functions are made anew for the draws.
    adaptation = blackjax.chees_adaptation(
        log_density, chains, adaptation_info_fn=lambda *_: None, mass_matrix_estimation="diagonal"
    )
    functions: dict[str, Any] = {}

    def warm(key: Any) -> Any:
        (states, parameters), _ = adaptation.run(key, _starts(given, key, chains), 0.1, optax.adam(0.05), tune)
        functions.update({name: value for name, value in parameters.items() if callable(value)})
        return states, {name: value for name, value in parameters.items() if not callable(value)}

    def draw(warmed: Any, key: Any) -> Any:
        states, parameters = warmed
        kernel = blackjax.dynamic_hmc(log_density, **parameters, **functions).step

        def step(at: Any, key: Any) -> Any:
            at, _ = jax.vmap(kernel)(jax.random.split(key, chains), at)
            return at, jax.vmap(probabilities)(at.position)

        return jax.lax.scan(step, states, jax.random.split(key, draws))[1].swapaxes(0, 1)

    return _in_turn(warm, draw, jax.random.key(seed))


class Clock:
    """Seconds of the processor, of all threads, since it was last read."""

    def __init__(self) -> None:
        self._last = time.process_time()

    def __call__(self) -> float:
        now = time.process_time()
        self._last, passed = now, now - self._last
        return passed


PEERS: dict[str, Callable[..., Found]] = {
    "pymc": pymc,
    "nutpie": nutpie,
    "numpyro": numpyro,
    "blackjax nuts": blackjax_nuts,
    "blackjax mclmc": blackjax_mclmc,
    "blackjax chees": blackjax_chees,
}
