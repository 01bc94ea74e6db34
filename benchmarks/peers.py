"""The same variational step, written for the peers, each with the best reasonable settings that it offers.

All start where `problem.Problem` says: mean-field normal approximations with the network's weights as means and one
standard deviation, a N(0, prior) prior, one draw per step, Adam, all rows resident, denormals flushed. No peer gets
an optimiser per parameter: torch's fused Adam where the peer takes a torch optimiser, its own where not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytest
import torch
from problem import Problem, forward
from torch.nn import functional

from companion import book
from companion.bridge import bayesian
from companion.priors import Gaussian

book.setup()  # otherwise each call of refine logs a line


# --- PyMC -----------------------------------------------------------------------------------------------


class _Autocast(torch.nn.Module):
    """A network whose matrix products are in bfloat16: the way to mixed precision through bridge 1."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        super().__init__()
        self.network, self.kind = network, device.type

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.kind, torch.bfloat16):
            return self.network(x).float()


class PymcAdvi:
    """`pymc.ADVI` on the network through bridge 1, with steps taken inside `Inference.refine`.

    Parameters
    ----------
    rows
        "minibatch" draws them with `pymc.Minibatch`; "data" puts them in the place of `pymc.Data` after every step.
    flags
        Flags of PyTensor, while the model is built and its step compiled.
    """

    def __init__(
        self, problem: Problem, device: torch.device, *, rows: str = "data", bfloat16: bool = False, **flags: Any
    ) -> None:
        network = problem.network().to(device)
        network = _Autocast(network, device) if bfloat16 else network
        with pytensor.config.change_flags(**flags):
            # PyMC's integers are as wide as its floats are precise; a Minibatch of wider ones can't be observed.
            y = problem.y.astype("int16" if pytensor.config.floatX == "float32" else "int32")
            with pm.Model():
                callbacks = []
                if rows == "minibatch":
                    x_in, y_in = pm.Minibatch(problem.x, y, batch_size=problem.batch)
                else:
                    x_in, y_in = pm.Data("x", problem.x[: problem.batch]), pm.Data("labels", y[: problem.batch])
                    callbacks = [_Refill(problem, x_in, y_in)]
                logits = bayesian(network, Gaussian(problem.prior), x_in)
                pm.Categorical("y", logit_p=logits, observed=y_in, total_size=len(y))
                self.inference = pm.ADVI(random_seed=problem.seed)
                self.inference.approx.scale_cost_to_minibatch = False  # its loss is then the negative ELBO itself
                _, rho = self.inference.approx.params
                rho.set_value(np.full_like(rho.get_value(), math.log(math.expm1(problem.scale))))
                self._rate, self._problem = pytensor.shared(np.asarray(0, dtype=pytensor.config.floatX)), problem
                optimizer = pm.adam(learning_rate=self._rate)
                self.inference.fit(1, progressbar=False, obj_optimizer=optimizer, callbacks=callbacks)

    def _refine(self, n: int, rate: float) -> None:
        self._rate.set_value(np.asarray(rate, dtype=self._rate.dtype))
        self.inference.refine(n, progressbar=False)

    def steps(self, n: int) -> None:
        self._refine(n, self._problem.rate)

    def losses(self, n: int) -> np.ndarray:
        self._refine(n, rate=0.0)  # steps that move nothing
        return np.asarray(self.inference.hist[-n:], dtype=np.float64)


class _Refill:
    """A callback of PyMC that puts the next rows in place, without the checks of `pymc.set_data`."""

    def __init__(self, problem: Problem, x: Any, y: Any) -> None:
        self.batch = problem.batch
        self.x, self.y = x, y
        self.all_x, self.all_y = problem.x.astype(x.dtype, copy=False), problem.y.astype(y.dtype)
        self.rng = np.random.default_rng(problem.seed)

    def __call__(self, *_: Any) -> None:
        rows = self.rng.integers(len(self.all_y), size=self.batch)
        self.x.set_value(self.all_x[rows], borrow=True)
        self.y.set_value(self.all_y[rows], borrow=True)


# --- Pyro -----------------------------------------------------------------------------------------------


class PyroSvi:
    """Pyro's SVI as its documentation gives it to torch: the ELBO as a module, with one torch optimiser.

    Parameters
    ----------
    guide
        "AutoDiagonalNormal" or "AutoNormal".
    jit
        Whether the ELBO is Pyro's own compiled one, `JitTrace_ELBO`.
    """

    def __init__(
        self, problem: Problem, device: torch.device, *, guide: str, bfloat16: bool = False, jit: bool = False
    ) -> None:
        pyro = pytest.importorskip("pyro")
        from pyro.infer import JitTrace_ELBO, Trace_ELBO, autoguide

        pyro.enable_validation(False)
        self._x, self._y = problem.tensors(device)
        self._problem, self._jit, self._settings, self._store = problem, jit, pyro.settings, pyro.get_param_store()
        self._generator = torch.Generator(device).manual_seed(problem.seed)
        start = problem.start(device)
        zero, scale = torch.zeros((), device=device), torch.tensor(problem.prior, device=device)
        context: Callable[[], AbstractContextManager[Any]] = (
            partial(torch.autocast, device.type, torch.bfloat16) if bfloat16 else nullcontext
        )

        def model(x: torch.Tensor, y: torch.Tensor) -> None:
            weights = {
                name: pyro.sample(name, pyro.distributions.Normal(zero, scale).expand(w.shape).to_event(w.ndim))
                for name, w in start.items()
            }
            with context():
                logits = forward(weights, x).float()
            with pyro.plate("rows", len(self._x), subsample=y):
                pyro.sample("y", pyro.distributions.Categorical(logits=logits), obs=y)

        self._parameters: Any = {"params": {}, "constraints": {}}
        with self._local():
            known = autoguide.init_to_value(values=start)
            self.guide = getattr(autoguide, guide)(model, init_loc_fn=known, init_scale=problem.scale)
            self.guide(*self._rows())  # makes its parameters
            self.model = model
            self.elbo = JitTrace_ELBO(ignore_jit_warnings=True) if jit else Trace_ELBO()
            self._module = None if jit else self.elbo(model, self.guide)
            self._adam = torch.optim.Adam(list(self.guide.parameters()), lr=problem.rate, fused=True)
            self._backward()

    @contextmanager
    def _local(self) -> Iterator[None]:
        """Keep each guide's parameters its own; the compiled ELBO only knows the global store, so it gets one."""
        with self._settings.context(module_local_params=not self._jit), self._store.scope(self._parameters):
            yield

    def _rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self._problem.rows(self._generator)
        return self._x[rows], self._y[rows]

    def _backward(self) -> Any:
        self._adam.zero_grad(set_to_none=True)
        if self._module is None:
            return self.elbo.loss_and_grads(self.model, self.guide, *self._rows())
        loss = self._module(*self._rows())
        loss.backward()
        return loss.detach()

    def steps(self, n: int) -> None:
        with self._local(), torch.enable_grad():
            for _ in range(n):
                self._backward()
                self._adam.step()

    def losses(self, n: int) -> np.ndarray:
        with self._local(), torch.enable_grad():
            return np.array([float(self._backward()) for _ in range(n)])


# --- posteriors -----------------------------------------------------------------------------------------


class PosteriorsLog:
    """The log posterior as posteriors' documentation writes it: a mean over the rows, the prior divided by N."""

    def __init__(self, problem: Problem, device: torch.device, bfloat16: bool) -> None:
        posteriors = pytest.importorskip("posteriors")
        pytest.importorskip("torchopt")
        self.x, self.y = problem.tensors(device)
        self.rows = len(self.x)
        self.problem = problem
        self._generator = torch.Generator(device).manual_seed(problem.seed)
        empty = torch.tensor([], device=device)

        def log_posterior(weights: dict[str, torch.Tensor], batch: tuple[torch.Tensor, torch.Tensor]) -> Any:
            x, y = batch
            with torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext():
                logits = forward(weights, x).float()
            prior = posteriors.diag_normal_log_prob(weights, 0.0, problem.prior)
            return -functional.cross_entropy(logits, y) + prior / self.rows, empty

        self.log_posterior = log_posterior

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.problem.rows(self._generator)
        return self.x[rows], self.y[rows]


class PosteriorsSteps:
    """What `posteriors` updates in place, a batch for each step."""

    _common: PosteriorsLog
    _transform: Any
    _state: Any

    def steps(self, n: int) -> None:
        with torch.no_grad():
            for _ in range(n):
                self._state, _ = self._transform.update(self._state, self._common.batch(), inplace=True)


class PosteriorsDiag(PosteriorsSteps):
    """`posteriors.vi.diag` with torchopt's Adam, updated in place.

    Parameters
    ----------
    stl
        Whether it sticks the landing; that is its default.
    fused
        torchopt's "accelerated" Adam; silently in Python, where torch is not the one its extension was built for.
    """

    def __init__(
        self, problem: Problem, device: torch.device, *, stl: bool = True, bfloat16: bool = False, fused: bool = False
    ) -> None:
        self._common = PosteriorsLog(problem, device, bfloat16)
        import posteriors
        import torchopt

        self._transform = posteriors.vi.diag.build(
            self._common.log_posterior,
            torchopt.adam(lr=problem.rate, moment_requires_grad=False, use_accelerated_op=fused),
            temperature=1 / self._common.rows,
            stl=stl,
            init_log_sds=math.log(problem.scale),
        )
        self._nelbo = posteriors.vi.diag.nelbo
        self._state = self._transform.init(problem.start(device))
        self.losses(1)

    def losses(self, n: int) -> np.ndarray:
        common, state = self._common, self._state
        with torch.no_grad():
            scales = {name: log_sd.exp() for name, log_sd in state.log_sd_diag.items()}
            found = [
                self._nelbo(state.params, scales, common.batch(), common.log_posterior, 1 / common.rows)[0]
                for _ in range(n)
            ]
        return np.array([float(nelbo) * common.rows for nelbo in found])


class PosteriorsNelbo:
    """posteriors' ELBO, `vi.diag.nelbo`, in a loop of our own with torch's fused Adam.

    Not what its documentation shows, and so no part of the target: it tells how far the peer can be driven. Compiling
    it gains nothing: `posteriors.tree_size` makes a tensor of a shape and branches on it, and there the graph breaks.
    """

    def __init__(self, problem: Problem, device: torch.device, *, bfloat16: bool = False) -> None:
        self._common = PosteriorsLog(problem, device, bfloat16)
        import posteriors

        self._means = problem.start(device)
        self._log_sds = {name: torch.full_like(m, math.log(problem.scale)) for name, m in self._means.items()}

        def nelbo(means: Any, log_sds: Any, batch: Any) -> Any:
            scales = {name: log_sd.exp() for name, log_sd in log_sds.items()}
            return posteriors.vi.diag.nelbo(means, scales, batch, self._common.log_posterior, 1 / self._common.rows)

        self._gradient = torch.func.grad_and_value(nelbo, argnums=(0, 1), has_aux=True)
        both = (*self._means.values(), *self._log_sds.values())
        self._adam = torch.optim.Adam(both, lr=problem.rate, fused=True)
        self.losses(1)

    def _backward(self) -> torch.Tensor:
        with torch.no_grad():
            (means, log_sds), (nelbo, _) = self._gradient(self._means, self._log_sds, self._common.batch())
        for name in self._means:
            self._means[name].grad, self._log_sds[name].grad = means[name], log_sds[name]
        return nelbo

    def steps(self, n: int) -> None:
        for _ in range(n):
            self._backward()
            self._adam.step()

    def losses(self, n: int) -> np.ndarray:
        return np.array([float(self._backward()) * self._common.rows for _ in range(n)])
