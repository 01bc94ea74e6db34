"""The bridge in: a torch module in a PyTensor graph has torch's own values and gradients, and PyMC takes it."""

import json
import pickle
import subprocess
import sys
from collections import Counter
from copy import deepcopy

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import torch
from pytensor.compile import Mode
from pytensor.gradient import verify_grad
from pytensor.graph.replace import vectorize_graph
from torch import nn

from companion.bridge import bayesian, wrap_torch
from companion.errors import ModelError
from companion.priors import Gaussian, LearnedScale

QUICK = "FAST_COMPILE"  # graphs this small run as fast as they compile
RNG = np.random.default_rng(0)
X, Z, IMAGES = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2)), RNG.normal(size=(2, 1, 5, 5))
LABELS = np.array([0, 5, 2, 2])


CALLS = Counter()


class Layer(nn.Linear):
    """A layer with a forward of its own; its calls are counted, those of its copies with them."""

    def __init__(self, forward):
        super().__init__(3, 2)
        self.function = forward

    def forward(self, *inputs):
        CALLS["forward"] += 1
        return self.function(super().forward, *inputs)


MODULES = {
    "mlp": lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)),
    "cnn": lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.Softplus(), nn.AvgPool2d(2), nn.Flatten()),
    "two inputs": lambda: nn.Bilinear(3, 2, 2),
    "integer input": lambda: nn.Sequential(nn.Embedding(6, 3), nn.Tanh(), nn.Linear(3, 2)),
    "deaf": lambda: Layer(lambda linear, x, z: linear(x)),
    "counted": lambda: Layer(lambda linear, x: linear(x).tanh()),
    "two outputs": lambda: Layer(lambda linear, x: linear(x).tanh().unbind(-1)),
    "branching": lambda: Layer(lambda linear, x: linear(x) if x.sum() > 0 else x),
    "dictionary": lambda: Layer(lambda linear, x: {"logits": linear(x)}),
    "still": lambda: nn.Sequential(nn.Linear(3, 2), nn.Dropout(), nn.BatchNorm1d(2)).eval(),
}
INPUTS = {"mlp": [X], "cnn": [IMAGES], "two inputs": [X, Z], "integer input": [LABELS], "deaf": [X, Z], "still": [X]}
cases = pytest.mark.parametrize(("name", "inputs"), INPUTS.items(), ids=INPUTS)


def made(name, dtype=torch.float64):
    torch.manual_seed(0)
    return MODULES[name]().to(dtype)


def start(net):
    return {name: p.detach().numpy() for name, p in net.named_parameters() if p.requires_grad}


def variables(net):
    return {name: pt.tensor(name, shape=a.shape, dtype="float64") for name, a in start(net).items()}


def tensors(arrays):
    return {name: torch.tensor(a) for name, a in arrays.items()}


def in_torch(net, weights, *inputs):
    return torch.func.functional_call(net, weights, tuple(map(torch.tensor, inputs)))


def call(name, x, **change):
    return wrap_torch(made(name))(x, {**start(made(name)), **change})


def square(*inputs):
    return lambda call: (call(*inputs) ** 2).sum()


def passes_of_right_answers(net, cost, mode=QUICK):
    """Compare a cost, a function of the module's call, and its gradient with torch's; count the forward passes."""
    w, at = variables(net), {name: a + 0.1 for name, a in start(net).items()}
    graph = cost(lambda *x: wrap_torch(net)(x, w))
    function = pytensor.function([*w.values()], [graph, *pytensor.grad(graph, [*w.values()])], mode=mode)
    CALLS.clear()
    value, *gradients = function(*at.values())
    passes = CALLS["forward"]
    slope, truth = torch.func.grad_and_value(lambda v: cost(lambda *x: in_torch(net, v, *x)))(tensors(at))
    assert float(value) == pytest.approx(float(truth), rel=1e-12)
    for name, gradient in zip(w, gradients, strict=True):
        np.testing.assert_allclose(gradient, slope[name], rtol=1e-10, atol=1e-12, err_msg=name)
    return passes


@cases
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_is_torchs_own_to_the_last_bit(name, inputs, dtype):
    net = made(name, getattr(torch, dtype))
    inputs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in inputs]
    out = wrap_torch(net)(inputs, start(net))
    value = out.eval(mode=QUICK)
    assert value.dtype == out.type.dtype == dtype
    np.testing.assert_array_equal(value, net(*map(torch.tensor, inputs)).detach())


@cases
def test_gradients_pass_pytensors_own_check(name, inputs):
    net = made(name)
    given, held = ([], inputs) if name == "integer input" else (inputs, [])

    def function(*at):
        return wrap_torch(net)([*held, *at[: len(given)]], dict(zip(start(net), at[len(given) :], strict=True)))

    verify_grad(function, [*given, *start(net).values()], rng=np.random.default_rng(1), n_tests=1, mode=QUICK)


@pytest.mark.filterwarnings("error", "ignore:PyTensor could not link to a BLAS")
@pytest.mark.parametrize("mode", ["FAST_COMPILE", "FAST_RUN", "NUMBA", Mode(linker="py"), Mode(linker="c|py")])
def test_one_forward_pass_serves_value_and_gradient_without_a_warning(mode):
    assert passes_of_right_answers(made("counted"), square(X), mode) == 1


@cases
def test_pytorch_mode_takes_the_module_as_it_is(name, inputs):
    with torch.compiler.set_stance("force_eager"):  # compiling takes a minute, and is not ours to test
        passes_of_right_answers(made(name), square(*inputs), "PYTORCH")


def test_an_output_that_nothing_reads_adds_nothing_to_the_gradient():
    passes_of_right_answers(made("two outputs"), lambda call: (call(X)[1] ** 2).sum())


@pytest.mark.parametrize("calls", [2, 10])
def test_gradients_are_right_however_many_calls_of_one_module_stand_in_a_graph(calls):
    xs = np.random.default_rng(3).normal(size=(calls, 4, 3))
    passes = passes_of_right_answers(made("counted"), lambda call: sum(call(x).sum() for x in xs) ** 2)
    assert passes == calls if calls == 2 else passes > calls  # of many, the first were dropped and are repeated


@cases
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 1e-3)])
def test_second_derivatives_are_torchs_and_have_the_variables_own_dtype(name, inputs, dtype, rtol):
    net, double = made(name, dtype), made(name)
    w, direction = variables(net), {name: np.cos(a) for name, a in start(double).items()}
    slope = pytensor.grad(square(*inputs)(lambda *x: wrap_torch(net)(x, w)), [*w.values()])
    along = sum((g * direction[name]).sum() for name, g in zip(w, slope, strict=True))
    product = pytensor.function([*w.values()], pytensor.grad(along, [*w.values()]), mode=QUICK)(*start(double).values())
    gradient = torch.func.grad(lambda v: square(*inputs)(lambda *x: in_torch(double, v, *x)))
    _, truth = torch.func.jvp(gradient, (tensors(start(double)),), (tensors(direction),))
    for name, value in zip(w, product, strict=True):
        np.testing.assert_allclose(value, truth[name], rtol, atol=rtol / 10, err_msg=name, strict=True)


@pytest.mark.parametrize("batch", [(4,), (2, 3)])
def test_draws_in_one_call_equal_a_loop_over_them(batch):
    net = made("mlp")
    w, held = variables(net), {"2.bias": start(net)["2.bias"]}
    draws = {name: RNG.normal(size=(*batch, *a.shape)) for name, a in start(net).items() if name not in held}
    given = {w[name]: pt.as_tensor(a) for name, a in {**draws, **held}.items()}
    together = vectorize_graph(wrap_torch(net)(X, w), given)
    value = together.eval(mode=QUICK)
    assert value.shape == together.type.shape == (*batch, 5, 2)
    for i in np.ndindex(*batch):
        one = tensors({name: draw[i] for name, draw in draws.items()} | held)
        np.testing.assert_allclose(value[i], in_torch(net, one, X).detach(), rtol=1e-12)


PICKLED = wrap_torch(made("mlp"))(X, start(made("mlp")))
TARGETS = Z @ [1.0, -0.5] + 0.5 * X[:, 0]
NEW = np.array([[1.0, 1.0], [2.0, -1.0], [0.0, 0.0]])
ELSEWHERE = """import json, pickle, sys
if __name__ == "__main__":
    op, *data = pickle.load(sys.stdin.buffer)
    a, b = map(pickle.loads, [op] * 2)  # before anything of ours is imported
    assert a.owner.op == b.owner.op and hash(a.owner.op) == hash(b.owner.op)
    found = {"value": a.eval(mode="FAST_COMPILE").tolist()}

    import pymc as pm, torch
    from companion.bridge import bayesian
    from companion.priors import Gaussian
    x, y, new = data
    quiet = {"progressbar": False, "random_seed": 1}
    with pm.Model():
        net = torch.nn.Linear(2, 1, bias=False).double()
        mean = bayesian(net, Gaussian(1.0), pm.Data("x", x))[:, 0]
        pm.Normal("y", mean, 0.5, observed=y, shape=mean.shape)
        draws = pm.sample(600, tune=300, chains=2, cores=2, mp_ctx="spawn", compute_convergence_checks=False, **quiet)
        pm.set_data({"x": new})
        predicted = pm.sample_posterior_predictive(draws, predictions=True, **quiet)
    found["weights"] = draws.posterior["weight"].values.tolist()
    found["predicted"] = predicted.predictions["y"].values.tolist()
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def elsewhere():
    """What another process finds: the value of a pickled graph, and draws and predictions of spawned chains."""
    data = pickle.dumps([pickle.dumps(PICKLED), Z, TARGETS, NEW])
    run = subprocess.run([sys.executable, "-c", ELSEWHERE], input=data, capture_output=True, check=True)
    return {name: np.array(value) for name, value in json.loads(run.stdout.splitlines()[-1]).items()}


def test_an_op_survives_a_pickle_here_and_in_another_process(elsewhere):
    op, again = PICKLED.owner.op, pickle.loads(pickle.dumps(PICKLED.owner.op))
    assert (again, hash(again)) == (op, hash(op))
    value = PICKLED.eval(mode=QUICK)
    np.testing.assert_array_equal(again(*PICKLED.owner.inputs).eval(mode=QUICK), value)
    np.testing.assert_array_equal(elsewhere["value"], value)


def test_one_module_is_one_op_and_a_copy_is_another():
    net = made("mlp")
    calls = ((net, X), (net, X[:2]), (deepcopy(net), X))
    first, again, other = (wrap_torch(n)(x, start(n)).owner.op for n, x in calls)
    assert (first, hash(first)) == (again, hash(again))
    assert first != other
    assert passes_of_right_answers(made("counted"), lambda call: (call(X) + call(X)).sum()) == 1  # merged


def test_frozen_parameters_keep_their_values_and_are_not_asked_for():
    net = made("mlp")
    net[0].requires_grad_(False)
    assert wrap_torch(net).shapes == {"2.weight": (2, 4), "2.bias": (2,)}
    passes_of_right_answers(net, square(X))


def test_tied_parameters_are_one_weight_with_the_sum_of_their_gradients():
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
    net[2].weight = net[0].weight
    assert set(wrap_torch(net).shapes) == {"0.weight", "0.bias", "2.bias"}
    passes_of_right_answers(net, square(X))


@pytest.mark.parametrize(
    ("x", "out"), [((5, 3), (5, 2)), ((None, 3), (None, 2)), ((None,) * 2, (None, 2)), ((None,) * 3, (None, None, 2))]
)
def test_outputs_have_the_static_shape_that_the_inputs_give_them(x, out):
    assert call("mlp", pt.tensor("x", shape=x)).type.shape == out


def test_rows_of_data_may_change():
    net = made("mlp")
    with pm.Model() as model:
        out = wrap_torch(net)(pm.Data("x", X), start(net))
    assert out.type.shape == (None, 2)
    for new in (X, X[:2], np.zeros((7, 3))):
        pm.set_data({"x": new}, model=model)
        np.testing.assert_allclose(out.eval(mode=QUICK), net(torch.tensor(new)).detach())


def test_bayesian_places_a_variable_on_every_parameter_and_starts_at_the_modules_own_weights():
    net = made("mlp")
    with pm.Model() as model:
        out = bayesian(net, LearnedScale(), X)
    assert {rv.name for rv in model.free_RVs} == {"0.scale", "2.scale", *start(net)}
    point, outputs = model.initial_point(), model.replace_rvs_by_values([out])
    np.testing.assert_equal({name: point[name] for name in start(net)}, start(net))
    [value] = model.compile_fn(outputs, inputs=model.value_vars, on_unused_input="ignore", mode=QUICK)(point)
    np.testing.assert_allclose(value, net(torch.tensor(X)).detach(), rtol=1e-12)
    with model, pytest.raises(ModelError, match=r"prior is a float.*Gaussian\(scale=1.0\)"):
        bayesian(net, 1.0, X)


def test_advi_lowers_the_loss():
    x = RNG.normal(size=(60, 3))
    with pm.Model():
        pm.Categorical("y", logit_p=bayesian(made("mlp"), Gaussian(), pm.Data("x", x)), observed=(x[:, 0] > 0) * 1)
        losses = pm.fit(400, obj_optimizer=pm.adam(learning_rate=0.03), random_seed=1, progressbar=False).hist
    assert losses[-50:].mean() < 0.9 * losses[:50].mean()


def test_spawned_chains_find_the_posterior_of_a_conjugate_regression_and_predict_from_it(elsewhere):
    weights, predicted = elsewhere["weights"], elsewhere["predicted"]
    assert (weights.shape, predicted.shape) == ((2, 600, 1, 2), (2, 600, 3))
    covariance = np.linalg.inv(Z.T @ Z / 0.25 + np.eye(2))
    mean, spread = covariance @ Z.T @ TARGETS / 0.25, np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(weights.mean(axis=(0, 1, 2)), mean, atol=0.2 * spread.max())
    deviation = np.sqrt(np.diag(NEW @ covariance @ NEW.T) + 0.25)
    np.testing.assert_allclose(predicted.mean(axis=(0, 1)), NEW @ mean, atol=0.2 * deviation.max())
    np.testing.assert_allclose(predicted.std(axis=(0, 1)), deviation, rtol=0.2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wrap_torch(torch.tanh), "builtin_function_or_method is not a torch.nn.Module"),
        (lambda: wrap_torch(made("still").train()), r"1 is a Dropout in training mode.*eval\(\)"),
        (lambda: wrap_torch(made("still").train()[2]), r"the module is a BatchNorm1d in training mode.*eval\(\)"),
        (lambda: wrap_torch(nn.LazyLinear(2)), r"\['weight', 'bias'\] have no shape yet; run the lazy module once"),
        (lambda: wrap_torch(nn.Linear(3, 2))(X, {"bias": [0, 0]}), r"lack \['weight'\].*requires_grad_"),
        (lambda: call("mlp", X, w=0), r"have \['w'\].*expects \['0.weight'"),
        (lambda: wrap_torch(nn.Linear(3, 2))(X, [0, 1]), r"weights is a list; expected a mapping"),
        (lambda: call("two inputs", (X, Z), bias=X), r"'bias' has shape \(5, 3\).*\(2,\)"),
        (lambda: call("mlp", Z), r"refuses inputs of shapes \[\(5, 2\).*Check the shapes"),
        (lambda: call("dictionary", X), r"forward gave a dict; expected a tensor"),
        (lambda: call("branching", X), r"Layer refuses.*torch.where"),
        (lambda: bayesian(made("mlp"), Gaussian(), X), r"outside a model.*with pm.Model"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_with_the_way_out(make, message):
    with pytest.raises(ModelError, match=message):
        make()
