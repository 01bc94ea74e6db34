"""Any torch module is taken, with the reader's own left as it was, or refused before the first step with its line."""

import random
from collections import OrderedDict
from copy import deepcopy

import numpy as np
import pymc as pm
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from companion.bridge import bayesian, check_module, wrap_torch
from companion.errors import ModelError
from companion.inference import fit
from companion.priors import Gaussian, LearnedScale

QUICK = "FAST_COMPILE"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype("float32")
SEQUENCES = RNG.normal(size=(20, 4, 3)).astype("float32")
LABELS = (X[:, 0] > 0).astype(int)
FIT = {"steps": 20, "compile": False, "progressbar": False, "elbo_draws": 5, "device": "cpu"}


class Own(nn.Module):
    """A linear layer with a forward of its own."""

    def __init__(self, forward, **attributes):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.function = forward
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.function(self, x)


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def classifier(module, x=X):
    with pm.Model() as model:
        logits = bayesian(module, Gaussian(1.0), pm.Data("x", x))
        pm.Bernoulli("y", logit_p=logits[:, 0], observed=pm.Data("labels", LABELS))
    return model


def value(module, x):
    """What the model computes at the module's own weights."""
    weights = {name: p.detach().numpy() for name, p in module.named_parameters() if p.requires_grad}
    return wrap_torch(module)(x, weights).eval(mode=QUICK)


# --- what is refused, with the line ---------------------------------------------------------------------

DRAWS = {
    "dropout": lambda m, x: m.layer(functional.dropout(x, 0.5, training=m.training)),
    "noise": lambda m, x: m.layer(x + torch.randn(len(x), 3)),
    "noise like": lambda m, x: m.layer(x + 0.1 * torch.randn_like(x)),
    "in place": lambda m, x: m.layer(x) + torch.empty(1).normal_(),
    "gumbel": lambda m, x: m.layer(functional.gumbel_softmax(x)),
    "NumPy's": lambda m, x: m.layer(x * float(np.random.rand())),  # noqa: NPY002
    "Python's": lambda m, x: m.layer(x * random.random()),
}


@pytest.mark.parametrize("forward", DRAWS.values(), ids=DRAWS)
def test_random_numbers_in_forward_are_refused_before_the_fit(forward):
    with pytest.raises(ModelError, match=r"Own draws random numbers|Own gives another output for the same"):
        classifier(Own(forward))


@pytest.mark.parametrize("name", ["dropout", "noise", "noise like", "in place", "gumbel"])
def test_the_line_that_draws_is_named(name):
    with pytest.raises(ModelError, match=r"line \d+ of test_any_module.py \(`\"" + name):
        classifier(Own(DRAWS[name]))


def test_a_generator_of_the_modules_own_is_found_by_its_second_output():
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match="another output for the same inputs and weights"):
        classifier(Own(lambda m, x: m.layer(x) + float(rng.normal())))


def test_a_module_in_evaluation_draws_nothing_and_is_taken():
    classifier(Own(DRAWS["dropout"]).eval())


def test_trying_a_module_leaves_every_random_state_as_it_was():
    modules = [Own(forward) for forward in DRAWS.values()]
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    for module in modules:
        with pytest.raises(ModelError):
            check_module(module, torch.tensor(X[:4]))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    np.testing.assert_array_equal(before[2], np.random.get_state()[1])  # noqa: NPY002


ASKS = {
    "item": lambda m, x: m.layer(x) * x.mean().item(),
    "if": lambda m, x: m.layer(x) if m.layer(x).sum() > 0 else -m.layer(x),
    "float": lambda m, x: m.layer(x) * float(x.max()),
    "mask": lambda m, x: m.layer(x) + x[x > 0].mean(),
    "nonzero": lambda m, x: m.layer(x) * len(x.nonzero()),
    "list": lambda m, x: m.layer(x) * torch.ones(2).add(x.sum()).tolist()[0],
    "written into": lambda m, x: m.layer(x) * written(x).max().item(),
}  # fmt: skip


def written(x):
    zeros = torch.zeros(len(x))
    zeros[:] = x[:, 0]
    return zeros


@pytest.mark.parametrize("forward", ASKS.values(), ids=ASKS)
def test_asking_for_a_value_is_refused_with_the_line_and_with_what_to_write(forward):
    with pytest.raises(ModelError, match=r"line \d+ of test_any_module.py.*asks a tensor.*torch.where"):
        classifier(Own(forward))


def test_values_of_constants_may_be_asked_for():
    module = Own(lambda m, x: m.layer(x) * (2 if torch.ones(2).sum() > 1 else 3))
    np.testing.assert_allclose(value(module, X), module(torch.tensor(X)).detach(), rtol=1e-6)


def test_an_error_in_forward_names_its_line():
    with pytest.raises(ModelError, match=r"line \d+ of test_any_module.py.*does not exist yet.*Check the shapes"):
        classifier(Own(lambda m, x: fails(x)))


def fails(x):
    raise RuntimeError("this layer does not exist yet")


def test_what_changes_its_inputs_or_its_buffers_is_refused():
    with pytest.raises(ModelError, match=r"changes its input number 0 in place.*x.add\(1\)"):
        classifier(Own(lambda m, x: m.layer(x.add_(1))))
    counts = Own(lambda m, x: m.layer(x) + m.count.add_(1))
    counts.register_buffer("count", torch.zeros(()))
    with pytest.raises(ModelError, match=r"changes its buffer 'count'.*eval\(\)"):
        classifier(counts)
    with pytest.raises(ModelError, match=r"changes its buffer '0.weight_u'"):
        classifier(nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 4)), nn.Linear(4, 1)))
    classifier(nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 4)), nn.Linear(4, 1)).eval())


def test_a_module_that_no_weight_reaches_is_refused():
    other = nn.Linear(3, 1)
    for forward in (lambda m, x: m.layer(x).detach(), lambda m, x: other(x).detach(), lambda m, x: x[:, :1]):
        with pytest.raises(ModelError, match="no parameter of Own reaches its output"):
            classifier(Own(forward))


def test_an_index_out_of_range_is_found_wherever_it_stands():
    words = RNG.integers(0, 5, size=(20, 3))
    words[17, 1] = 5
    module = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(6, 1))
    with pytest.raises(ModelError, match="index out of range"):
        classifier(module, words)
    classifier(module, np.minimum(words, 4))


def test_check_module_tries_rows_that_it_is_given():
    noisy = Own(DRAWS["noise"])
    check_module(noisy)
    with pytest.raises(ModelError, match="draws random numbers"):
        check_module(noisy, torch.tensor(X[:2]))
    inner = mlp()
    assert check_module(torch.compile(inner), torch.tensor(X[:2])) is inner


def test_scripts_are_refused_by_name():
    with pytest.raises(ModelError, match=r"TorchScript.*the Python module"):
        classifier(torch.jit.script(mlp()))
    with pytest.raises(ModelError, match=r"1 is TorchScript"):
        classifier(nn.Sequential(nn.Linear(3, 3), torch.jit.trace(mlp(), torch.zeros(2, 3))))


# --- the reader's module stays as it was ----------------------------------------------------------------


def shared():
    layer = nn.Linear(3, 3)
    parts = OrderedDict(first=layer, act=nn.Tanh(), second=layer, head=nn.Linear(3, 1))
    return nn.Sequential(parts)


def normed(norm):
    module = mlp()
    norm(module[0])
    return module


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(3, 1), None

    def forward(self, x):
        self.seen = self.layer(x)
        return self.seen


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 2, batch_first=True), nn.Linear(2, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


LEFT_ALONE = {
    "shared": (shared, X),
    "weight_norm": (lambda: normed(nn.utils.weight_norm), X),
    "parametrized": (lambda: normed(torch.nn.utils.parametrizations.weight_norm), X),
    "pruned": (lambda: normed(lambda layer: prune.l1_unstructured(layer, "weight", 0.5)), X),
    "remembers": (Remembers, X),
    "recurrent": (Recurrent, SEQUENCES),
}


@pytest.mark.filterwarnings("ignore:Computed in a loop", "ignore:`torch.nn.utils.weight_norm`")
@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize(("make", "x"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_a_fit_and_a_prediction_leave_the_module_as_it_was(make, x, restarts):
    torch.manual_seed(0)
    module = make()
    state = {name: t.clone() for name, t in module.state_dict().items()}
    held = [dict(vars(part)) for part in module.modules()]
    posterior = fit(classifier(module, x), restarts=restarts, **FIT)
    assert np.isfinite(posterior.record.elbo).all()
    assert posterior.predict(x, posterior.draw(3, 0)).shape == (3, 20, 2)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    for part, before in zip(module.modules(), held, strict=True):
        assert all(vars(part)[name] is kept for name, kept in before.items())
    deepcopy(Recurrent())


@pytest.mark.parametrize(("make", "x"), LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_its_value_is_torchs_own(make, x):
    torch.manual_seed(0)
    module = make()
    np.testing.assert_allclose(value(module, x), module(torch.tensor(x)).detach(), rtol=1e-5, atol=1e-7)


def test_what_is_done_to_a_module_afterwards_does_not_reach_the_model():
    module = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.9), nn.Linear(4, 1)).eval()
    module[2].requires_grad_(False)
    weights = {name: p.detach().numpy() for name, p in module[:1].named_parameters()}
    call, truth = wrap_torch(module), module(torch.tensor(X)).detach().numpy()
    module.train()
    with torch.no_grad():
        module[2].weight.add_(1)
    np.testing.assert_allclose(call(X, weights).eval(mode=QUICK), truth, rtol=1e-6)
    again = wrap_torch(module.eval())(X, weights)
    assert again.owner.op != call(X, weights).owner.op
    np.testing.assert_allclose(again.eval(mode=QUICK), module(torch.tensor(X)).detach(), rtol=1e-6)


# --- wrappers, dtypes, names ----------------------------------------------------------------------------


class Compiled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    @torch.compile
    def forward(self, x):
        return self.layer(x).tanh()


def compiled_in_place():
    module = mlp()
    module.compile()
    return module


def compiled_forward():
    module = mlp()
    module.forward = torch.compile(module.forward)
    return module


WRAPPED = {
    "compiled": lambda: torch.compile(mlp()),
    "compiled inside": lambda: nn.Sequential(torch.compile(nn.Linear(3, 4)), nn.Linear(4, 1)),
    "compiled in place": compiled_in_place,
    "compiled forward": compiled_forward,
    "decorated": Compiled,
    "parallel": lambda: nn.DataParallel(mlp()),
    "parallel and compiled": lambda: torch.compile(nn.DataParallel(mlp())),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_are_taken_off_and_names_are_the_inner_modules(make):
    model = classifier(make())
    assert not any("_orig_mod" in name or name.startswith("module.") for name in model.named_vars)
    posterior = fit(model, **FIT)
    assert np.ptp(posterior.predict(X, posterior.draw(30, 0)).std(axis=0)) > 0  # the weights reach the prediction


@pytest.mark.parametrize("dtype", ["bool", "int64", "int32", "int16", "uint8"])
def test_whole_numbers_and_truth_values_are_as_good_as_floats(dtype):
    x = RNG.integers(0, 2, size=(20, 3)).astype(dtype)
    module = mlp()
    np.testing.assert_array_equal(value(module, x), value(module, x.astype("float32")))
    posterior = fit(classifier(module, x), **FIT)
    assert posterior.predict(x[:5], posterior.draw(2, 0)).shape == (2, 5, 2)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64"])
def test_words_may_be_numbers_of_any_width(dtype):
    words = RNG.integers(0, 5, size=(20, 3))
    module = nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(6, 1))
    np.testing.assert_array_equal(value(module, words.astype(dtype)), value(module, words))


def test_pixels_may_be_bytes():
    images = RNG.integers(0, 256, size=(20, 3, 6, 6)).astype("uint8")
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(32, 1))
    assert np.isfinite(classifier(module, images).compile_logp()(classifier(module, images).initial_point()))
    with pm.Model():
        assert bayesian(module, Gaussian(1.0), pm.Data("x", images) / 255).type.ndim == 2


class Starts(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(3, 2, batch_first=True), nn.Linear(2, 1)

    def forward(self, x):
        start = torch.zeros(1, len(x), 2), torch.zeros(1, len(x), 2)
        return self.head(self.rnn(x, start)[0][:, -1])


@pytest.mark.filterwarnings("ignore:Computed in a loop")
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_tensors_made_in_forward_have_the_dtype_of_the_fit(precision):
    posterior = fit(classifier(Starts(), SEQUENCES), precision=precision, **FIT)
    assert posterior.predict(SEQUENCES[:4], posterior.draw(2, 0)).shape == (2, 4, 2)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("prior", [Gaussian(1.0), LearnedScale()])
def test_a_second_network_is_told_how_to_get_names_of_its_own(prior):
    with pm.Model():
        bayesian(mlp(), prior, X)
        with pytest.raises(ModelError, match=r"already exists.*with pm.Model\(name=\"scale\"\)"):
            bayesian(mlp(), prior, X)
        with pm.Model(name="scale"):
            bayesian(mlp(), prior, X)
