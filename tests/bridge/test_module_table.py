"""The table of modules in the reference says what a fit and a prediction do with each of them.

The stored page is held against real runs on tiny data; `make pages` writes it.
"""

import re
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from companion.bridge import bayesian
from companion.errors import CompanionWarning, ModelError
from companion.inference import fit
from companion.priors import Gaussian

PAGE = Path(__file__).resolve().parents[2] / "book" / "reference" / "modules.md"
ROWS, FEATURES, STEPS, SIDE, WORDS = 8, 4, 5, 6, 7
RNG = np.random.default_rng(0)
INPUTS = {
    "table": RNG.normal(size=(ROWS, FEATURES)).astype("float32"),
    "sequence": RNG.normal(size=(ROWS, STEPS, FEATURES)).astype("float32"),
    "image": RNG.normal(size=(ROWS, 2, SIDE, SIDE)).astype("float32"),
    "volume": RNG.normal(size=(ROWS, 1, 4, 4, 4)).astype("float32"),
    "whole numbers": RNG.integers(0, WORDS, size=(ROWS, FEATURES)),
    "truth values": RNG.random((ROWS, FEATURES)) > 0.5,
    "words": RNG.integers(0, WORDS, size=(ROWS, STEPS)),
}
LABELS = np.arange(ROWS) % 2


class Own(nn.Module):
    """A module of some parts and a forward of its own."""

    def __init__(self, forward, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.function = forward

    def forward(self, *inputs):
        return self.function(self, *inputs)


class Doubled(torch.autograd.Function):
    """A function without a rule for batches."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, slope):
        return 2 * slope


class ThroughNumpy(torch.autograd.Function):
    """A function whose values NumPy computes."""

    @staticmethod
    def forward(ctx, x):
        y = torch.from_numpy(np.tanh(x.detach().numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, slope):
        (y,) = ctx.saved_tensors
        return slope * (1 - y**2)


def mlp(*middle):
    return nn.Sequential(nn.Linear(FEATURES, 6), *(middle or (nn.ReLU(),)), nn.Linear(6, 1))


def with_buffer():
    module = Own(lambda m, x: m.l((x - m.mean) / m.scale), l=nn.Linear(FEATURES, 1))
    module.register_buffer("mean", torch.ones(FEATURES))
    module.scale = torch.full((FEATURES,), 2.0)
    return module


def shared():
    layer = nn.Linear(FEATURES, FEATURES)
    return Own(lambda m, x: m.h(m.b(m.a(x).tanh())), a=layer, b=layer, h=nn.Linear(FEATURES, 1))


def tied():
    module = nn.Sequential(
        nn.Linear(FEATURES, FEATURES), nn.Tanh(), nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 1)
    )
    module[2].weight = module[0].weight
    return module


def frozen():
    module = mlp()
    module[0].requires_grad_(False)
    return module


def pruned():
    module = mlp()
    prune.random_unstructured(module[0], "weight", 0.5)
    return module


def normed(norm, evaluate=False):
    module = mlp()
    norm(module[0])
    return module.eval() if evaluate else module


def recurrent(kind, start=None, **settings):
    width = 3 * (2 if settings.get("bidirectional") else 1)

    def forward(m, x):
        given = () if start is None else (start(len(x)),)
        return m.h(m.r(x, *given)[0][:, -1])

    return Own(forward, r=kind(FEATURES, 3, batch_first=True, **settings), h=nn.Linear(width, 1))


def cells():
    def forward(m, x):
        state = torch.zeros(len(x), 3)
        for t in range(STEPS):
            state = m.c(x[:, t], state)
        return m.h(state)

    return Own(forward, c=nn.GRUCell(FEATURES, 3), h=nn.Linear(3, 1))


def transformer(mask=None, training=True):
    layer = nn.TransformerEncoderLayer(FEATURES, 2, 8, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    module = Own(
        lambda m, x: m.h(m.t(x, mask=None if mask is None else mask(x)).mean(1)), t=encoder, h=nn.Linear(FEATURES, 1)
    )
    return module.train(training)


def causal(x):
    return nn.Transformer.generate_square_subsequent_mask(STEPS, device=x.device)


def attention(m, x):
    q, k, v = m.qkv(x).chunk(3, -1)
    return m.h(functional.scaled_dot_product_attention(q, k, v).mean(1))


def downscaled(m, x):
    up = functional.interpolate(m.down(x).relu(), size=(SIDE, SIDE))
    return m.up(up + x[:, :1]).flatten(1).mean(1, keepdim=True)


def pooled(*layers):
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(1))


def seen(module, inputs):
    """Run a lazy module once."""
    module(torch.from_numpy(inputs))
    return module


# Title: what it takes, and how it is made.
MODULES: dict[str, tuple[str, Any]] = {
    "`Linear`": ("table", lambda: nn.Linear(FEATURES, 1)),
    "`Linear`, `ReLU`, `Linear`": ("table", mlp),
    "`LayerNorm`": ("table", lambda: mlp(nn.LayerNorm(6), nn.GELU())),
    "`RMSNorm`": ("table", lambda: mlp(nn.RMSNorm(6), nn.SiLU())),
    "`GroupNorm`": ("image", lambda: pooled(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU())),
    "a residual block": (
        "table",
        lambda: Own(lambda m, x: m.b(x + m.a(x).relu()), a=nn.Linear(4, 4), b=nn.Linear(4, 1)),
    ),
    "a `ModuleList` in a loop": (
        "table",
        lambda: Own(lambda m, x: sum(f(x) for f in m.l), l=nn.ModuleList([nn.Linear(FEATURES, 1) for _ in range(3)])),
    ),
    "a `ParameterDict` and `einsum`": (
        "table",
        lambda: Own(
            lambda m, x: torch.einsum("nf,fo->no", x, m.p["w"]), p=nn.ParameterDict({"w": torch.randn(FEATURES, 1)})
        ),
    ),
    "a layer that stands in it twice": ("table", shared),
    "two layers with one weight": ("table", tied),
    "a frozen layer": ("table", frozen),
    "a buffer, and a tensor as an attribute": ("table", with_buffer),
    "`torch.ones` in `forward`": (
        "table",
        lambda: Own(lambda m, x: m.l(torch.cat([x, torch.ones(len(x), 1)], 1)), l=nn.Linear(FEATURES + 1, 1)),
    ),
    "`Dropout(0.0)`": ("table", lambda: mlp(nn.Dropout(0.0))),
    "`Dropout` after `eval()`": ("table", lambda: mlp(nn.Dropout(0.5)).eval()),
    "`Dropout` in training": ("table", lambda: mlp(nn.Dropout(0.5))),
    "`functional.dropout` in training": (
        "table",
        lambda: Own(lambda m, x: m.l(functional.dropout(x, 0.5, training=m.training)), l=nn.Linear(FEATURES, 1)),
    ),
    "`BatchNorm1d` after `eval()`": ("table", lambda: mlp(nn.BatchNorm1d(6)).eval()),
    "`BatchNorm1d` in training": ("table", lambda: mlp(nn.BatchNorm1d(6))),
    "`utils.parametrizations.weight_norm`": ("table", lambda: normed(torch.nn.utils.parametrizations.weight_norm)),
    "`utils.parametrizations.orthogonal`": ("table", lambda: normed(torch.nn.utils.parametrizations.orthogonal)),
    "`utils.parametrizations.spectral_norm` after `eval()`": (
        "table",
        lambda: normed(torch.nn.utils.parametrizations.spectral_norm, evaluate=True),
    ),
    "`utils.parametrizations.spectral_norm` in training": (
        "table",
        lambda: normed(torch.nn.utils.parametrizations.spectral_norm),
    ),
    "`utils.weight_norm`": ("table", lambda: normed(torch.nn.utils.weight_norm)),
    "`utils.prune`": ("table", pruned),
    "`torch.compile`": ("table", lambda: torch.compile(mlp())),
    "`DataParallel`": ("table", lambda: nn.DataParallel(mlp())),
    "`torch.jit.script`": ("table", lambda: torch.jit.script(mlp())),
    "`Conv1d`": ("sequence", lambda: pooled(nn.Conv1d(STEPS, 3, 2), nn.ReLU())),
    "`Conv2d`, `MaxPool2d`": ("image", lambda: pooled(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.ReLU())),
    "`Conv2d` in groups": ("image", lambda: pooled(nn.Conv2d(2, 4, 3, groups=2), nn.AdaptiveAvgPool2d(2))),
    "`Conv3d`": ("volume", lambda: pooled(nn.Conv3d(1, 2, 2), nn.Tanh())),
    "`ConvTranspose2d`": ("image", lambda: pooled(nn.ConvTranspose2d(2, 1, 2, stride=2))),
    "`interpolate` and a skip": (
        "image",
        lambda: Own(downscaled, down=nn.Conv2d(2, 1, 3, 2), up=nn.Conv2d(1, 1, 3, padding=1)),
    ),
    "`RNN`": ("sequence", lambda: recurrent(nn.RNN)),
    "`GRU`": ("sequence", lambda: recurrent(nn.GRU)),
    "`LSTM`": ("sequence", lambda: recurrent(nn.LSTM)),
    "`LSTM` in both directions": ("sequence", lambda: recurrent(nn.LSTM, bidirectional=True)),
    "`LSTM` that starts at `torch.zeros`": (
        "sequence",
        lambda: recurrent(nn.LSTM, start=lambda n: (torch.zeros(1, n, 3), torch.zeros(1, n, 3))),
    ),
    "`GRUCell` in a loop": ("sequence", cells),
    "`scaled_dot_product_attention`": (
        "sequence",
        lambda: Own(attention, qkv=nn.Linear(FEATURES, 12), h=nn.Linear(4, 1)),
    ),
    "`MultiheadAttention`": (
        "sequence",
        lambda: Own(lambda m, x: m.h(m.a(x, x, x)[0].mean(1)), a=nn.MultiheadAttention(4, 2, batch_first=True),
                    h=nn.Linear(4, 1)),
    ),
    "`TransformerEncoder`": ("sequence", transformer),
    "`TransformerEncoder`, causal, after `eval()`": ("sequence", lambda: transformer(causal, training=False)),
    "`Embedding`": ("words", lambda: nn.Sequential(nn.Embedding(WORDS, 3), nn.Flatten(), nn.Linear(STEPS * 3, 1))),
    "`EmbeddingBag`": ("words", lambda: nn.Sequential(nn.EmbeddingBag(WORDS, 3), nn.Linear(3, 1))),
    "`one_hot`": (
        "words",
        lambda: Own(lambda m, x: m.l(functional.one_hot(x, WORDS).float().flatten(1)), l=nn.Linear(STEPS * WORDS, 1)),
    ),
    "`Linear` on whole numbers": ("whole numbers", mlp),
    "`Linear` on truth values": ("truth values", mlp),
    "`autograd.Function` without a rule for `vmap`": (
        "table",
        lambda: Own(lambda m, x: m.b(Doubled.apply(m.a(x))), a=nn.Linear(FEATURES, 3), b=nn.Linear(3, 1)),
    ),
    "`autograd.Function` through NumPy": (
        "table",
        lambda: Own(lambda m, x: m.b(ThroughNumpy.apply(m.a(x))), a=nn.Linear(FEATURES, 3), b=nn.Linear(3, 1)),
    ),
    "`if h.sum() > 0:` in `forward`": (
        "table",
        lambda: Own(lambda m, x: m.l(x) if m.l(x).sum() > 0 else -m.l(x), l=nn.Linear(FEATURES, 1)),
    ),
    "`x += 1` on the inputs": ("table", lambda: Own(lambda m, x: m.l(x.add_(1)), l=nn.Linear(FEATURES, 1))),
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What was seen of one module."""

    takes: str
    gradient: str = ""
    prediction: str = ""
    layers: str = ""
    refused: str = ""

    def cells(self) -> list[str]:
        """The row of the table, without the module's title."""
        if self.refused:
            return [self.takes, "refused", "", "", self.refused]
        return [self.takes, self.gradient, self.prediction, self.layers, ""]


HOW = (("in a loop", "loop"), ("by torch.vmap", "vmap"))


def how(messages: list[str]) -> str:
    """In what way torch computed, by the notices that were given."""
    [ours] = [m for m in messages if "torch can't do otherwise" in m] or [""]
    return next((short for words, short in HOW if words in ours.lower()), "one graph")


def noticed(run):
    """Run something; give its result and the companion's notices."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run()
    return result, [str(w.message) for w in caught if issubclass(w.category, CompanionWarning)]


def made(make, inputs):
    torch.manual_seed(0)
    module = make()
    lazy = any(torch.nn.parameter.is_lazy(p) for p in getattr(module, "parameters", tuple)())
    return seen(module, inputs) if lazy else module


@cache
def found(title: str) -> Found:
    """Fit a module, with noise on its layers where it has some, and predict with it."""
    from companion.bridge import vectorising

    kind, make = MODULES[title]
    settings = {"compile": False, "elbo_draws": 2, "progressbar": False, "restarts": 2, "device": "cpu"}
    vectorising._told.clear()
    try:
        with pm.Model() as model:
            out = bayesian(made(make, INPUTS[kind]), Gaussian(0.5), pm.Data("x", INPUTS[kind]))
            pm.Bernoulli("y", logit_p=out[:, 0], observed=pm.Data("labels", LABELS))
    except ModelError as error:
        return Found(kind, refused=reason(str(error)))
    try:
        posterior, notices = noticed(lambda: fit(model, 2, estimator="local", **settings))
        layers = "yes"
    except ModelError as error:
        layers = "no" if "acts on linear and convolution layers" in str(error) else str(error)
        posterior, notices = noticed(lambda: fit(model, 2, **settings))
    assert np.isfinite(posterior.record.elbo).all()
    gradient = how(notices)
    vectorising._told.clear()
    predicted, notices = noticed(lambda: posterior.predict(INPUTS[kind], posterior.draw(20, 0)))
    assert predicted.shape == (20, ROWS, 2)
    return Found(kind, gradient, "vmap" if how(notices) == "one graph" else how(notices), layers)


REASONS = {
    "draws random numbers": "draws random numbers",
    "in training mode": "draws random numbers, or keeps statistics",
    "changes its buffer": "changes a buffer at each call",
    "TorchScript": "TorchScript",
    "for its value": "asks a tensor for its value",
    "in place": "changes its input in place",
}


def reason(message: str) -> str:
    return next(short for words, short in REASONS.items() if words in message)


HEAD = """# Modules

Any torch module can stand in a model, if it computes the same from the same inputs and weights. Before a fit takes its
first step, a module is tried on a few rows of the data: forward, backward, and forward once more. One that draws random
numbers, changes its buffers or its inputs, or asks a tensor for its value is refused there, with the line that does it.

Most modules are computed for all restarts and draws at once: the gradient in one traced graph, predictions by
`torch.vmap`. Where torch has no rule for something in a module, it is computed one restart and draw at a time, in a
loop. The results are the same; it takes longer, and one notice names the reason.

The table is what a test finds when it fits each of {count} small modules, on a CPU with torch {torch}. Its columns:

- **gradient**: "one graph" is the fastest; "vmap" is not traced; "loop" takes one restart and draw at a time;
- **prediction**: "vmap" or "loop";
- **layers**: whether the estimators "local" and "flipout" find a layer to act on. "reparameterisation" and
  "sticking-the-landing" take every module that fits.

`module.eval()` before the model is built makes dropout and batch normalisation plain functions. TorchScript is refused,
since its weights can't be replaced; give the Python module that it was made of. `torch.compile` and `DataParallel` are
taken off, since the engine compiles the whole gradient.
"""


def rows() -> list[list[str]]:
    return [[title, *found(title).cells()] for title in MODULES]


def page() -> str:
    """The page as it should be."""
    heads = ["module", "takes", "gradient", "prediction", "layers", "refused since it"]
    table = ["| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *rows())]
    version = ".".join(torch.__version__.split(".")[:2])
    return HEAD.format(count=len(MODULES), torch=version) + "\n" + "\n".join(table) + "\n"


def stored() -> dict[str, list[str]]:
    """The table of the stored page: module to the other cells."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {title: rest for title, *rest in cells}


@pytest.mark.parametrize("title", MODULES)
def test_the_stored_row_is_what_a_fit_and_a_prediction_do(title):
    told, seen_now = stored()[title], found(title).cells()
    if f"torch {'.'.join(torch.__version__.split('.')[:2])}." not in PAGE.read_text(encoding="utf-8"):
        told, seen_now = ([re.sub("one graph|vmap|loop", "fits", c) for c in row] for row in (told, seen_now))
    assert told == seen_now, "run: make pages"


def test_the_page_has_a_row_for_each_module_and_no_other():
    assert list(stored()) == list(MODULES)
    assert len(MODULES) >= 40


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name}: {len(MODULES)} modules")
    sys.exit(0)
