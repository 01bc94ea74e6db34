"""Samplers of mini-batches: the law of their draws on targets that are known, and what they say of themselves."""

import json
import math

import numpy as np
import pytest
import torch

from companion.errors import CompanionWarning, ModelError
from companion.sampling import SGHMC, SGLD, SGNHT, Noise, Problem
from companion.sampling.relaxation import left_of_noise, outlook, warn_of
from companion.sampling.step_sizes import StepSchedule, StepSizes
from companion.variational import Layout

ROWS, CHAINS = 100, 1500
CURVATURES = torch.tensor([0.3, 1.0, 2.0])  # of the mean loss per row, along three values
CPU = torch.device("cpu")
MEASURES = CURVATURES.repeat(4)
SIZE = len(MEASURES)


def parabola(noise=0.0, curvatures=MEASURES, rows=ROWS, seed=0):
    """A normal posterior with variances 1 / (rows x curvature), and gradients with noise of a known size."""
    generator = torch.Generator().manual_seed(seed)

    def gradient(position, step):
        exact = -rows * curvatures * position
        drawn = torch.randn(position.shape, generator=generator) if noise else torch.zeros(())
        return 0.5 * (exact * position).sum(dim=1), exact + rows * noise * drawn

    return gradient


def problem_of(gradient, size=SIZE, chains=CHAINS, warmup=0, steps=300, rows=ROWS, batch=10):
    return Problem(gradient, size, chains, warmup, steps, CPU, torch.float32, rows, batch)


def variances(sampler, gradient, *, warmup=0, steps=300, curvatures=MEASURES):
    """Mean squares of the positions over their known values, (3,), in the second half; and the last step's report."""
    problem = problem_of(gradient, len(curvatures), warmup=warmup, steps=steps)
    kernel = sampler.kernel(problem)
    known = 1 / (ROWS * curvatures)
    start = torch.randn(CHAINS, len(curvatures), generator=torch.Generator().manual_seed(1)) * known.sqrt()
    state, told, squares = kernel.begin(start, noise_at(-1)), {}, []
    for step in range(steps):
        state, info = kernel.step(state, noise_at(step), step)
        if step >= max(warmup, steps // 2):
            squares.append(state["position"].square().mean(dim=0))
            for name, found in info.items():
                told.setdefault(name, []).append(float(found.double().mean()))
    found = torch.stack(squares).mean(dim=0) / known
    return found.reshape(-1, 3).mean(dim=0).numpy(), {name: float(np.mean(every)) for name, every in told.items()}


def noise_at(step, chains=CHAINS):
    return Noise(0, step, chains, CPU, torch.float32)


# --- the law of the draws ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.1, 0.5])
def test_langevin_steps_widen_the_posterior_as_eulers_scheme_does(size):
    found, _ = variances(SGLD(step_size=size), parabola())
    assert np.allclose(found, 1 / (1 - size * CURVATURES.numpy() / 2), rtol=0.03)


@pytest.mark.parametrize("sampler", [SGHMC(step_size=0.5, friction=0.3), SGNHT(step_size=0.5, friction=0.3)])
def test_the_momentum_samplers_have_no_bias_of_their_step_size_on_a_normal_posterior(sampler):
    """Euler's scheme with the same momentum would be 1 / (1 - 0.5 x 2 / 3.4) = 1.42 times too wide at the steepest."""
    found, told = variances(sampler, parabola())
    assert np.allclose(found, 1, rtol=0.03)
    assert told["temperature"] == pytest.approx(1, abs=0.01)


def test_temperature_scales_the_variance():
    found, told = variances(SGHMC(step_size=0.2, friction=0.3, temperature=0.25), parabola())
    assert np.allclose(found, 0.25, rtol=0.03)
    assert told["temperature"] == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize(("sampler", "noise"), [(SGLD(step_size=0.1), 0.3), (SGHMC(step_size=0.1, friction=0.3), 0.3)])
def test_the_noise_of_mini_batches_heats_as_the_settings_say(sampler, noise):
    found, told = variances(sampler, parabola(noise))
    step_bias = 1 / (1 - 0.05 * CURVATURES.numpy()) if isinstance(sampler, SGLD) else 1.0
    expected = 1 + sampler.heating(0.1 * ROWS * noise**2)
    assert expected > 1.4
    assert np.allclose(found, expected * step_bias, rtol=0.04)
    assert told.get("temperature", expected) == pytest.approx(expected, rel=0.02)


def test_epochs_that_deal_each_row_once_heat_slow_directions_as_little_as_foretold():
    """Noise that adds up to zero over an epoch: u / 3 of its heat is left, in epochs of u relaxation times."""
    per_epoch, noise = 20, 1.0
    generator = torch.Generator().manual_seed(0)
    exact, held = parabola(), {}

    def gradient(position, step):
        if step % per_epoch == 0:
            drawn = torch.randn(per_epoch, *position.shape, generator=generator)
            held["noise"] = drawn - drawn.mean(dim=0)
        lp, slope = exact(position, step)
        return lp, slope + ROWS * noise * held["noise"][step % per_epoch]

    sampler = SGLD(step_size=0.02)
    found, _ = variances(sampler, gradient, steps=600)
    foretold = left_of_noise(0.02 * CURVATURES * per_epoch).numpy() * sampler.heating(0.02 * ROWS * noise**2)
    assert sampler.heating(0.02 * ROWS * noise**2) == 1
    curvatures = CURVATURES.numpy()
    assert np.allclose(foretold, 0.02 * curvatures * per_epoch / 3, rtol=0.2)
    assert np.allclose(found, 1 / (1 - 0.01 * curvatures) + foretold, atol=0.04)


def test_the_thermostat_finds_the_temperature_under_noise_that_would_more_than_double_it():
    settings = {"step_size": 0.1, "friction": 0.3}
    found, told = variances(SGNHT(**settings), parabola(0.3))
    assert 1 + SGHMC(**settings).heating(0.1 * ROWS * 0.3**2) > 2.2
    assert np.allclose(found, 1, rtol=0.04)
    assert told["temperature"] == pytest.approx(1, abs=0.01)
    assert told["friction"] > 2 * -math.log(1 - 0.3)


@pytest.mark.parametrize("kind", ["rmsprop", "warm-up"])
@pytest.mark.parametrize("sampler", [SGLD, SGHMC, SGNHT])
def test_a_preconditioner_evens_the_directions_out_and_one_that_is_fixed_leaves_the_law(sampler, kind):
    """What moves with the chain, as in pSGLD, biases it where there are as few values as here."""
    curvatures = torch.tensor([0.02, 0.2, 2.0])
    settings = {"step_size": 0.05, "preconditioner": kind} | ({} if sampler is SGLD else {"friction": 0.3})
    gradient = parabola(curvatures=curvatures.repeat(2))
    steps = 2000 if sampler is SGLD else 400
    found, _ = variances(sampler(**settings), gradient, warmup=100, steps=steps, curvatures=curvatures.repeat(2))
    assert np.allclose(found, 1, rtol=0.06 if kind == "warm-up" else 0.25)
    kernel = sampler(**settings).kernel(problem_of(gradient, 6, warmup=100))
    state = kernel.begin(torch.ones(CHAINS, 6), noise_at(-1))
    scale = kernel.step(state, noise_at(0), 0)[0]["scale"][0]
    assert scale[0] > scale[1] > scale[2]
    assert scale.square().max() <= 11


def test_the_warm_ups_preconditioner_stays_from_then_on_and_rmsprops_moves():
    for kind, moves in (("warm-up", False), ("rmsprop", True)):
        kernel = SGHMC(preconditioner=kind).kernel(problem_of(parabola(0.3), warmup=20, steps=60))
        state = kernel.begin(torch.ones(CHAINS, SIZE), noise_at(-1))
        scales = []
        for step in range(60):
            state, _ = kernel.step(state, noise_at(step), step)
            scales.append(state["scale"])
        assert not torch.equal(scales[0], scales[15])
        assert torch.equal(scales[25], scales[59]) != moves


def test_step_size_and_friction_mean_the_same_with_ten_times_the_rows():
    """Without noise, the path is that of SGD with momentum, whatever the number of rows."""
    paths = []
    for rows in (ROWS, 10 * ROWS):
        problem = problem_of(parabola(rows=rows), chains=1, rows=rows)
        kernel = SGHMC(step_size=0.1, friction=0.2, temperature=1e-12).kernel(problem)
        state = kernel.begin(torch.ones(1, SIZE), noise_at(-1, 1))
        for step in range(30):
            state, _ = kernel.step(state, noise_at(step, 1), step)
        paths.append(state["position"])
    assert torch.allclose(*paths, atol=1e-4)


def test_a_step_leaves_the_state_that_it_is_given_alone_and_repeats():
    for sampler in (SGLD(preconditioner="rmsprop"), SGHMC(), SGNHT(preconditioner="rmsprop")):
        kernel = sampler.kernel(problem_of(parabola(), chains=3))
        state = kernel.begin(torch.ones(3, SIZE), noise_at(-1, 3))
        before = {name: t.clone() for name, t in state.items()}
        once, _ = kernel.step(state, noise_at(0, 3), 0)
        twice, _ = kernel.step(state, noise_at(0, 3), 0)
        assert all(torch.equal(state[name], before[name]) for name in before if name != "lp")
        assert all(torch.equal(once[name], twice[name]) for name in before)
        assert not torch.equal(once["position"], state["position"])


def test_a_chain_that_leaves_the_support_is_told_and_leaves_the_others_alone():
    def gradient(position, step):
        lp, slope = parabola()(position, step)
        return torch.where(position[:, 0] > 5, torch.nan, lp), slope

    kernel = SGNHT().kernel(problem_of(gradient, chains=2))
    start = torch.ones(2, SIZE)
    start[1, 0] = 6
    _, told = kernel.step(kernel.begin(start, noise_at(-1, 2)), noise_at(0, 2), 0)
    assert told["diverging"].tolist() == [False, True]


# --- cycles -----------------------------------------------------------------------------------------------------------


def test_cycles_keep_positions_of_their_cold_part_alone():
    sizes = StepSizes(0.4, StepSchedule.CYCLICAL, warmup=50, steps=450, cycles=4, exploration=0.75)
    kept = [step for step in range(450) if sizes.keeps(step)]
    assert kept == [s for c in range(4) for s in range(50 + 100 * c + 75, 50 + 100 * (c + 1))]
    assert max(sizes.at(s) for s in kept) < 0.15 * 0.4  # cos(0.75 pi) = -0.71
    assert [sizes.at(s) for s in (0, 49, 50, 150, 250)] == [0.4] * 5
    assert np.mean([sizes.at(s) for s in range(50, 450)]) == pytest.approx(sizes.mean, rel=0.011)


@pytest.mark.parametrize(("draws", "thin", "cycles", "exploration"), [(10, 1, 4, 0.8), (100, 3, 7, 0.75), (5, 2, 1, 0)])
def test_draws_in_cycles_are_cold_evenly_spaced_and_end_with_the_chain(draws, thin, cycles, exploration):
    sampler = SGLD(schedule="cyclical", cycles=cycles, exploration=exploration)
    kept = sampler.kept_steps(draws, thin)
    problem = problem_of(parabola(), warmup=20, steps=20 + kept[-1] + 1)
    sizes = sampler.step_sizes(problem)
    assert len(kept) == draws
    assert all(sizes.keeps(20 + step) for step in kept)
    assert (kept[-1] + 1) % cycles == 0
    assert np.bincount([step * cycles // (kept[-1] + 1) for step in kept], minlength=cycles).min() >= draws // cycles
    assert min(np.diff(kept), default=thin) >= thin


def test_constant_steps_keep_all_but_the_warm_up():
    sizes = StepSizes(0.4, StepSchedule.CONSTANT, warmup=5, steps=10, cycles=4, exploration=0.75)
    assert [sizes.keeps(s) for s in range(10)] == [False] * 5 + [True] * 5
    assert {sizes.at(s) for s in range(10)} == {0.4}


def test_cycles_cross_between_modes_that_small_steps_do_not_leave():
    """Two modes 30 standard deviations apart, by a barrier of 16 nats: in cycles, chains of one start see both."""
    rows, depth = 20, 16.0

    def gradient(position, step):
        square = position.square() - 1
        slope = -4 * depth * square * position + 300 * torch.randn(position.shape, generator=noisy) * (step >= 0)
        return -depth * square.square().sum(dim=1), slope

    shares = {}
    for schedule in ("constant", "cyclical"):
        noisy = torch.Generator().manual_seed(0)
        size = 0.02 if schedule == "cyclical" else 0.001
        sampler = SGLD(step_size=size, schedule=schedule, cycles=2)
        kernel = sampler.kernel(problem_of(gradient, 1, 100, steps=400, rows=rows))
        state, kept = kernel.begin(torch.ones(100, 1), noise_at(-1, 100)), []
        for step in range(400):
            state, _ = kernel.step(state, noise_at(step, 100), step)
            if kernel.keeps(step):
                kept.append(state["position"])
        shares[schedule] = float((torch.cat(kept) < 0).float().mean())
    assert shares["constant"] < 0.01
    assert 0.2 < shares["cyclical"] < 0.8


# --- relaxation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [SGLD(step_size=0.05), SGHMC(step_size=0.05, friction=0.3), SGHMC(step_size=0.5)])
@pytest.mark.parametrize("curvature", [0.3, 1.0])
def test_relaxation_is_how_fast_a_chain_forgets_its_start(sampler, curvature):
    """A cold chain far from the mode: over many steps, the deviation falls by e in each relaxation time."""
    quiet = type(sampler)(**{k: v for k, v in sampler.as_json().items() if k != "sampler"} | {"temperature": 1e-12})
    problem = problem_of(parabola(curvatures=torch.tensor([curvature])), 1, 1)
    kernel = quiet.kernel(problem)
    state, sizes = kernel.begin(torch.full((1, 1), 1e3), noise_at(-1, 1)), []
    for step in range(160):
        state, _ = kernel.step(state, noise_at(step, 1), step)
        sizes.append(float(state["position"].abs()))
    fell = math.log(max(sizes[:20]) / max(sizes[100:120])) / 100
    assert 1 / fell == pytest.approx(sampler.relaxation(curvature), rel=0.05)


def test_settings_of_todays_dense_chapter_relax_in_25_000_steps():
    """A prior of N(0, 0.1) and 50,000 rows, step size 0.02: SGLD takes N s^2 / step_size; friction of 0.1, a tenth."""
    curvature = 1 / (50_000 * 0.1**2)
    assert SGLD(step_size=0.02).relaxation(curvature) == pytest.approx(25_000, rel=0.001)
    assert SGHMC(step_size=0.02, friction=0.1).relaxation(curvature) == pytest.approx(2_500, rel=0.06)


def rows_that_say_nothing_of_the_last_value(position, step):
    """Linear regression on 4 values, of which the last one's input is always 0; priors N(0, 1)."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, 4, generator=generator)
    x[:, 3] = 0
    y = torch.randn(ROWS, generator=generator)
    at = torch.randperm(ROWS, generator=torch.Generator().manual_seed(step))[:10]
    off = y[at] - position @ x[at].T
    slope = off @ x[at] * ROWS / 10 - position
    return -0.5 * (off.square().sum(dim=1) * ROWS / 10 + position.square().sum(dim=1)), slope


def test_a_short_chain_is_warned_of_with_the_relaxation_time_of_what_the_data_leave_alone():
    sampler = SGLD(step_size=0.05)
    gradient = rows_that_say_nothing_of_the_last_value
    problem = problem_of(gradient, 4, 2, warmup=500, steps=5_000)
    found = outlook(sampler, problem, torch.zeros(2, 4), torch.ones(4))
    assert found.entry == 3
    assert found.relaxation == pytest.approx(ROWS / 0.05, rel=0.001)
    with pytest.warns(CompanionWarning, match=r"one of 'w', relax in 2,000 steps, and there are 4,500 .* 19,995 steps"):
        warn_of(found, sampler, problem, Layout(("w",), ((4,),)))


def test_what_is_foretold_has_the_step_sizes_that_the_preconditioner_gives():
    problem = problem_of(rows_that_say_nothing_of_the_last_value, 4, 2)
    plain, evened = (
        outlook(SGLD(step_size=0.05), problem, torch.zeros(2, 4), torch.ones(4), factors)
        for factors in (None, torch.tensor([0.4, 0.4, 0.4, 4.0]).expand(2, 4))
    )
    assert evened.relaxation == pytest.approx(ROWS / 0.05 / 4, rel=0.01)
    assert evened.heating[:3].max() < 0.5 * plain.heating[:3].max()


def test_a_long_cool_chain_is_not_warned_of_and_a_hot_one_is(recwarn):
    gradient = rows_that_say_nothing_of_the_last_value
    long = problem_of(gradient, 4, 2, warmup=1, steps=30_001)
    start, ones, layout = torch.zeros(2, 4), torch.ones(4), Layout(("w",), ((4,),))
    cool = SGHMC(step_size=0.001, friction=0.01)
    warn_of(outlook(cool, long, start, ones), cool, long, layout)
    assert not recwarn.list
    hot = SGHMC(step_size=0.3)
    with pytest.warns(
        CompanionWarning,
        match=r"batches of 10 rows raise the temperature of 'w' by about \d+% .*preconditioner='warm-up'",
    ):
        warn_of(outlook(hot, long, start, ones), hot, long, layout)
    thermostat = SGNHT(step_size=0.3)
    warn_of(outlook(thermostat, long, start, ones), thermostat, long, layout)


def test_a_chain_that_is_lost_does_not_silence_the_warning_of_the_others():
    start = torch.zeros(2, 4)
    start[1] = math.nan
    problem = problem_of(rows_that_say_nothing_of_the_last_value, 4, 2)
    found = outlook(SGLD(step_size=0.05), problem, start, torch.ones(4))
    assert found.relaxation == pytest.approx(ROWS / 0.05, rel=0.001)
    assert found.heating.isfinite().all()


def test_a_small_variable_that_is_hot_is_named_though_the_mean_is_cool(recwarn):
    """Ten values whose rows disagree, beside a thousand that rows say nothing of."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS, 10, generator=generator)

    def gradient(position, step):
        at = torch.randperm(ROWS, generator=torch.Generator().manual_seed(step))[:10]
        slope = -position.clone()
        slope[:, :10] += (rows[at] - position[:, None, :10]).sum(dim=1) * ROWS / 10
        return -0.5 * position.square().sum(dim=1), slope

    sampler, layout = SGHMC(step_size=0.1), Layout(("filters", "others"), ((10,), (1000,)))
    problem = problem_of(gradient, 1010, 2, warmup=1, steps=10**6)
    found = outlook(sampler, problem, torch.zeros(2, 1010), torch.ones(1010))
    assert found.heating.mean() < 0.1
    with pytest.warns(CompanionWarning, match=r"raise the temperature of 'filters' .* preconditioner='warm-up'"):
        warn_of(found, sampler, problem, layout)
    recwarn.clear()
    calm = SGHMC(step_size=0.0002, friction=0.5)
    longer = problem_of(gradient, 1010, 2, steps=10**9)
    warn_of(outlook(calm, longer, torch.zeros(2, 1010), torch.ones(1010)), calm, longer, layout)
    assert not recwarn.list


@pytest.mark.parametrize(("batches", "size", "curvature"), [(10, 0.05, 1.0), (20, 0.01, 3.0), (50, 0.05, 1.0)])
def test_heat_is_foretold_about_as_large_as_it_is(batches, size, curvature):
    """Rows whose gradients differ, in epochs: the variance of a long chain over its exact one, and the outlook."""
    rows, generator = 1000, torch.Generator().manual_seed(0)
    batch, drawn = rows // batches, torch.randn(rows, 300, generator=generator) * math.sqrt(curvature)
    drawn -= drawn.mean(dim=0)
    orders = {}

    def gradient(position, step):
        epoch, place = divmod(step, batches)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = torch.randperm(rows, generator=torch.Generator().manual_seed(epoch))
        noise = drawn[orders[epoch][place * batch : (place + 1) * batch]].mean(dim=0)
        return torch.zeros(len(position)), rows * (noise - curvature * position)

    sampler = SGHMC(step_size=size)
    problem = problem_of(gradient, 300, 1, steps=2000, rows=rows, batch=batch)
    kernel = sampler.kernel(problem)
    state, squares = kernel.begin(torch.zeros(1, 300), noise_at(-1, 1)), []
    for step in range(2000):
        state, _ = kernel.step(state, noise_at(step, 1), step)
        if step >= 500:
            squares.append(state["position"].square().mean())
    measured = float(torch.stack(squares).mean()) * rows * curvature - 1
    found = outlook(sampler, problem, torch.zeros(1, 300), torch.full((300,), math.nan))
    assert math.isnan(found.relaxation)
    assert 0.6 < float(found.heating.mean()) / measured < 1.7


def test_nothing_is_foretold_where_every_step_sees_all_rows():
    every = problem_of(parabola(), batch=None)
    assert outlook(SGLD(), every, torch.zeros(2, SIZE), torch.ones(SIZE)) is None


# --- bad settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [SGLD, SGHMC, SGNHT])
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"step_size": 0}, r"step_size=0 in SG.*; expected a positive, finite number, a learning rate such as 0.01"),
        ({"step_size": math.nan}, "step_size=nan"),
        ({"temperature": -1}, "temperature=-1"),
        ({"schedule": "cosine"}, r"schedule='cosine'; expected one of \['constant', 'cyclical'\]"),
        ({"preconditioner": "adam"}, r"preconditioner='adam'; expected one of \['identity', 'rmsprop', 'warm-up'\]"),
        ({"cycles": 0}, "cycles=0; expected a whole number, 1 or more"),
        ({"exploration": 1}, "exploration=1; expected a share"),
    ],
)
def test_settings_out_of_range_are_refused(sampler, settings, says):
    with pytest.raises(ModelError, match=says):
        sampler(**settings)


def test_settings_are_plain_values_that_a_checkpoint_holds():
    numbers = {"step_size": np.float32(0.5), "cycles": np.int64(3), "exploration": 0, "friction": np.float32(0.5)}
    given = SGHMC(**numbers, schedule=StepSchedule.CYCLICAL)
    assert json.loads(json.dumps(given.as_json())) == given.as_json()
    assert given == SGHMC(step_size=0.5, cycles=3, exploration=0.0, friction=0.5, schedule="cyclical")


def test_friction_is_a_share():
    for sampler, friction in ((SGHMC, 0), (SGHMC, 1.1), (SGNHT, 1), (SGNHT, True)):
        with pytest.raises(ModelError, match=rf"friction={friction} in {sampler.__name__}; expected the share"):
            sampler(friction=friction)


def test_cycles_without_a_cold_step_and_a_warm_up_without_steps_are_refused():
    with pytest.raises(ModelError, match=r"10 steps after the warm-up make 4 cycles.* at least 20 steps"):
        SGHMC(schedule="cyclical").kernel(problem_of(parabola(), steps=10))
    with pytest.raises(ModelError, match="learned in the warm-up, and warmup=0"):
        SGHMC(preconditioner="warm-up").kernel(problem_of(parabola(), warmup=0))
