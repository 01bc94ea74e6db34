"""Steps of a sampler as one call of a library: the same draws, however many are taken at once, and none are lost."""

import functools
import itertools

import numpy as np
import pymc as pm
import pytest
import torch

from companion.errors import CompanionWarning
from companion.inference import Checkpoint, Machine, sample
from companion.machine import Body, LibraryError, Loop, loops
from companion.machine.products import products_as_sums
from companion.machine.tracing import traced
from companion.sampling import HMC, MCLMC, AdjustedMCLMC, Chains, target

X = np.random.default_rng(0).normal(size=(30, 2))
Y = X @ [1.0, -2.0] + 0.5 * np.random.default_rng(1).normal(size=30)
pytestmark = pytest.mark.usefixtures("libraries")
PLAIN, COMPILED, AUTO = (Machine("cpu", "float64", compile, threads=1) for compile in (False, True, "auto"))


def regression() -> pm.Model:
    with pm.Model() as model:
        w, s = pm.Normal("w", 0, 2, shape=2), pm.HalfNormal("s", 1)
        pm.Normal("y", pm.Data("x", X) @ w, s, observed=pm.Data("labels", Y))
    return model


def drawn(machine=COMPILED, draws=12, **options):
    common = {"warmup": 40, "chains": 3, "seed": 1, "thin": 7, "sampler": "mclmc", "progressbar": False}
    return sample(regression(), draws, machine=machine, **{**common, **options})


@pytest.fixture(scope="module")
def built(libraries):
    return drawn()


class Late:
    """A library that is built when it is asked for the third time, and repeats its graph."""

    asked = 3
    beside = None

    def __init__(self, graph, arguments, threads, *, beside, carried):
        Late.beside = beside
        self._graph, self._carried, self._count = graph, carried, itertools.count(1)

    def done(self) -> bool:
        return next(self._count) >= self.asked

    def load(self):
        def run(arguments):
            _, end, *rest = arguments
            for k in range(int(end)):
                rest[: self._carried] = self._graph(torch.tensor(k), *rest)
            return rest[: self._carried]

        return run


class Broken(Late):
    def load(self):
        raise LibraryError("there is no compiler")


def same(found, expected):
    np.testing.assert_array_equal(found.values, expected.values)
    assert list(found.stats) == list(expected.stats)
    for name, array in expected.stats.items():
        np.testing.assert_array_equal(found.stats[name], array, err_msg=name)


# --- the same draws ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(
    "sampler",
    [MCLMC(), MCLMC(mass="dense"), HMC(), HMC(mass="dense"), AdjustedMCLMC()],
    ids=lambda s: f"{s.name} {s.mass}",
)
def test_the_draws_are_the_same_but_for_rounding(sampler, precision, monkeypatch):
    """By the graph of the library; what the compiler makes of it is the next test's."""
    monkeypatch.setattr(loops, "Library", Late)
    warmup, rtol = (8, 1e-7) if precision == "float64" else (4, 2e-3)  # errors grow from step to step
    given = {"sampler": sampler, "draws": 3, "thin": 2, "warmup": warmup}
    found = drawn(Machine("cpu", precision, True, threads=1), **given)
    plain = drawn(Machine("cpu", precision, False, threads=1), **given)
    assert (found.record.compiled, plain.record.compiled) == (True, False)
    np.testing.assert_allclose(found.values, plain.values, rtol=rtol, atol=rtol)
    for name in plain.stats:
        np.testing.assert_allclose(found.stats[name], plain.stats[name], rtol=10 * rtol, atol=10 * rtol)


@pytest.mark.parametrize("sampler", [MCLMC(mass="dense"), HMC()], ids=["mclmc", "hmc"])
def test_compiled_draws_are_those_of_plain_steps_but_for_rounding(sampler):
    found, plain = (drawn(machine, draws=5, thin=2, warmup=8, sampler=sampler) for machine in (COMPILED, PLAIN))
    assert found.record.compiled
    np.testing.assert_allclose(found.values, plain.values, rtol=1e-7, atol=1e-7)


def test_a_chain_that_diverges_stays_and_turns_as_it_does_without_a_library(none_is_built):
    given = {"sampler": MCLMC(step_size=30.0), "draws": 8, "warmup": 0, "thin": 5}
    with pytest.warns(CompanionWarning, match="draws diverged"):
        found, plain = drawn(**given), drawn(PLAIN, **given)
    assert plain.stats["diverging"].any()
    np.testing.assert_array_equal(found.stats["diverging"], plain.stats["diverging"])
    np.testing.assert_array_equal(found.stats["n_steps"], 10)
    np.testing.assert_allclose(found.values, plain.values, rtol=1e-6)


# --- several at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("thin", "draws"), [(1, 30), (7, 12), (20, 4), (33, 3), (50, 3), (130, 2)])
def test_how_many_steps_are_taken_at_once_makes_no_difference(thin, draws, none_is_built):
    """A callback sees each step, and so they are taken one by one; without one, up to 20 at once."""
    seen = []
    found = drawn(thin=thin, draws=draws)
    one_by_one = drawn(thin=thin, draws=draws, callback=lambda step, state: seen.append(step))
    assert seen == list(range(1, 41 + thin * draws))
    same(found, one_by_one)
    assert (found.stats["n_steps"] == 2 * thin).all()


def test_several_steps_are_taken_at_once_up_to_where_something_is_due(none_is_built, monkeypatch, tmp_path):
    taken = []
    moved = Chains._moved

    def spy(self, most):
        found = moved(self, most)
        taken.append((self.step, found[2]))
        return found

    monkeypatch.setattr(Chains, "_moved", spy)
    drawn(thin=50, draws=3, checkpoint=Checkpoint(tmp_path, 27))
    sizes = [count for step, count in taken if step >= 40]
    ends = {step + count for step, count in taken}
    assert [count for step, count in taken if step < 40] == [1] * 40, "the warm-up learns from each step"
    assert sum(sizes) == 150
    assert max(sizes) == 20
    assert {54, 81, 90, 100, 108, 135, 140, 162, 189, 190} <= ends


# --- kills, and what is decided when ----------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [7, 42, 77])
def test_chains_that_are_killed_go_on_draw_for_draw(at, built, none_is_built, tmp_path, monkeypatch):
    save = Chains._save

    def killed(self):
        save(self)
        if self.step == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Chains, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        drawn(checkpoint=Checkpoint(tmp_path, 7))
    monkeypatch.setattr(Chains, "_save", save)
    resumed = drawn(AUTO, checkpoint=Checkpoint(tmp_path, 7))
    assert resumed.record.compiled, "the checkpoint says so"
    same(resumed, built)


@pytest.fixture
def long_chains(monkeypatch):
    """Chains that are worth a library, which is faster whatever a stand-in's clock says."""
    monkeypatch.setattr(target, "_WORTH_IT_S", 0.0)
    monkeypatch.setattr(target, "_FASTER", np.inf)


@pytest.mark.usefixtures("long_chains")
def test_long_chains_start_plain_and_go_over_when_the_library_is_there(monkeypatch):
    monkeypatch.setattr(loops, "Library", Late)
    found, plain = drawn(AUTO, thin=1, draws=10), drawn(PLAIN, thin=1, draws=10)
    assert found.record.compiled
    assert Late.beside, "the chains go first"
    np.testing.assert_allclose(found.values, plain.values, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("long_chains")
def test_a_library_that_is_slower_than_plain_steps_is_left(monkeypatch):
    monkeypatch.setattr(loops, "Library", Late)
    monkeypatch.setattr(target, "_FASTER", 0.0)
    found = drawn(AUTO)
    assert not found.record.compiled
    same(found, drawn(PLAIN))


def test_short_chains_stay_plain_even_where_a_library_is_there(none_is_built):
    found = drawn(AUTO)
    assert not found.record.compiled
    same(found, drawn(PLAIN))


@pytest.mark.usefixtures("long_chains")
def test_a_checkpoint_before_the_library_is_there_leaves_it_open(monkeypatch, tmp_path):
    def stop(step, state):
        if step == 30:
            raise StopIteration

    monkeypatch.setattr(loops, "Library", type("Never", (Late,), {"asked": 10**9}))
    with pytest.raises(Exception, match="stopped by the callback"):
        drawn(AUTO, checkpoint=tmp_path, callback=stop)
    monkeypatch.setattr(loops, "Library", type("AtOnce", (Late,), {"asked": 1}))
    assert drawn(AUTO, checkpoint=tmp_path).record.compiled


@pytest.mark.usefixtures("long_chains")
@pytest.mark.parametrize("setting", [COMPILED, AUTO])
def test_where_none_can_be_built_the_gradient_alone_may_be_compiled(setting, monkeypatch):
    asked = []

    def no_faster(function, arguments, *, setting, steps, device):
        asked.append(setting)
        return function, False

    monkeypatch.setattr(loops, "Library", Broken)
    monkeypatch.setattr(target, "faster", no_faster)
    found = drawn(setting)
    assert asked == [setting.compile]
    assert not found.record.compiled
    same(found, drawn(PLAIN))


# --- loops and products -----------------------------------------------------------------------------------------------


def test_a_loop_changes_what_it_carries_and_leaves_its_arguments_alone():
    def fibonacci(k: torch.Tensor, carried: tuple, given: tuple) -> tuple:
        older, newer = carried
        return newer.clone(), older + newer + given[0] * k

    body: Body = fibonacci
    ones, zero = torch.ones(3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    loop = Loop(body, (ones, ones), (zero,), 1, beside=False)
    assert loop.ready(wait=True)
    assert loop(10, (ones, ones), (zero,))[1].tolist() == [144.0] * 3
    assert loop(1, (ones, 2 * ones), (zero,))[1].tolist() == [3.0] * 3
    assert loop(3, (ones, ones), (zero + 1,))[1].tolist() == [8.0] * 3, "1 + 1 + 0, 1 + 2 + 1, 2 + 4 + 2"
    assert ones.tolist() == [1.0] * 3


def test_what_can_t_be_traced_has_no_library():
    ones = torch.ones(3)
    with pytest.raises(LibraryError, match=r"it can't be traced: .*by what is in it"):
        Loop(lambda k, carried, given: _refused(), (ones,), (), 1, beside=False)


def _refused():
    raise ValueError("this branches by what is in it")


@pytest.mark.parametrize(
    ("shapes", "written"),
    [
        ([(4, 50, 2), (4, 2, 10)], True),
        ([(4, 2, 1), (4, 1, 70)], True),
        ([(4, 50, 6), (4, 6, 7)], False),
        ([(4, 50, 2), (4, 2, 10), (4, 10, 10)], False),
    ],
)
def test_products_are_written_as_sums_where_all_are_small(shapes, written):
    matrices = [torch.randn(*shape, dtype=torch.float64) for shape in shapes]
    graph = traced(lambda *given: (functools.reduce(torch.bmm, given),), matrices)
    found = products_as_sums(graph, matrices)
    assert ("bmm" not in found.code) == written
    torch.testing.assert_close(found(*matrices), graph(*matrices))
