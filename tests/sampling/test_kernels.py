"""The mathematics of samplers: their dynamics, what they learn, and distributions whose moments are known."""

from itertools import pairwise

import arviz as az
import numpy as np
import pytest
import torch
import xarray as xr

from companion.errors import ModelError
from companion.sampling import HMC, MCLMC, AdjustedMCLMC, Noise, Problem
from companion.sampling.adaptation import Averaging, EnergyError, Metric, autocorrelation_time, window_ends
from companion.sampling.hmc import Hamiltonian, Trajectory, _between
from companion.sampling.microcanonical import Isokinetic, _turned

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(0)
SIZE, CHAINS = 6, 16
SCALES = torch.logspace(-1, 1, SIZE, dtype=torch.float64)
CORRELATION = torch.eye(SIZE, dtype=torch.float64)
CORRELATION[0, 5] = CORRELATION[5, 0] = 0.8
COVARIANCE = SCALES[:, None] * CORRELATION * SCALES
PRECISION = torch.linalg.inv(COVARIANCE)
MEAN = 2.0


def gaussian(position, step):
    slope = -(position - MEAN) @ PRECISION
    return 0.5 * (slope * (position - MEAN)).sum(1), slope


def normals(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=GENERATOR)


def chains(sampler, warmup, steps, gradient=gaussian, size=SIZE):
    """Positions (chains, draws, size) after the warm-up, and the last state."""
    problem = Problem(gradient, size, CHAINS, warmup, warmup + steps, CPU, torch.float64)
    kernel, found = sampler.kernel(problem), []

    def noise(step):
        return Noise(1, step, CHAINS, CPU, torch.float64)

    state = kernel.begin(3 * normals(CHAINS, size), noise(-1))
    for step in range(warmup + steps):
        state, info = kernel.step(state, noise(step), step)
        assert all(value.shape[0] == CHAINS for value in info.values())
        if step < warmup:
            state = kernel.adapt(state, info, step, warmup)
        else:
            found.append(state["position"])
    return torch.stack(found, dim=1), state


def z_scores(draws, expected):
    """How many standard errors, by the effective sample size, means (entries,) of draws lie from what they should."""
    data = xr.Dataset({"x": (("chain", "draw", "entry"), draws.numpy())})
    ess = az.ess(data, method="mean")["x"].values
    return (draws.mean((0, 1)).numpy() - expected) / (draws.std((0, 1)).numpy() / np.sqrt(ess))


@pytest.mark.parametrize(
    ("sampler", "warmup", "steps"),
    [
        (HMC(), 300, 300),
        (HMC(mass="dense"), 300, 300),
        (HMC(step_size=0.1, trajectory=1.5), 60, 300),
        (AdjustedMCLMC(), 300, 300),
        (MCLMC(), 800, 1500),
    ],
    ids=["chees-hmc", "dense", "given", "adjusted-mclmc", "mclmc"],
)
def test_moments_of_a_gaussian_are_right_to_monte_carlo_error(sampler, warmup, steps):
    draws, state = chains(sampler, warmup, steps)
    draws = draws[:, :: max(1, steps // 300)]
    centred = (draws - MEAN) / SCALES
    assert np.abs(z_scores(centred, 0)).max() < 4.5
    assert np.abs(z_scores(centred.square(), 1)).max() < 4.5
    product = centred[..., [0]] * centred[..., [5]]
    assert abs(z_scores(product, 0.8)[0]) < 4.5
    if sampler.name != "hmc":  # what was learned is the Gaussian's own shape
        scale = state["shared_scale"]
        found = scale @ scale.T if scale.ndim == 2 else scale.square().diag()
        np.testing.assert_allclose(found.diagonal().sqrt(), SCALES, rtol=0.3)
        speed = np.sqrt(SIZE) if "mclmc" in sampler.name else 1
        assert 0.5 < float(state["shared_length"]) / speed < 8  # about a quarter turn


@pytest.mark.parametrize("dynamics", [Hamiltonian(), Isokinetic()], ids=["hamiltonian", "isokinetic"])
def test_a_trajectory_can_be_walked_back_and_its_energy_error_is_of_second_order(dynamics):
    metric, scale = Metric(), SCALES
    position = MEAN + normals(CHAINS, SIZE) * SCALES
    velocity, kinetic = dynamics.begin(normals(CHAINS, SIZE))
    begin = Trajectory(position, *gaussian(position, 0), velocity, kinetic)
    end = dynamics.walk(gaussian, metric, scale, begin, 0.1, 7)
    turned = Trajectory(end.position, end.lp, end.gradient, -end.velocity, end.kinetic)
    back = dynamics.walk(gaussian, metric, scale, turned, 0.1, 7)
    torch.testing.assert_close(back.position, position)
    torch.testing.assert_close(back.velocity, -velocity)

    def error(size, steps):
        end = dynamics.walk(gaussian, metric, scale, begin, size, steps)
        return float(((end.kinetic - kinetic) - (end.lp - begin.lp)).abs().mean())

    assert error(0.1, 4) / error(0.05, 8) == pytest.approx(4, rel=0.2)


def test_new_coordinates_keep_the_microcanonical_length_that_the_widest_value_needs():
    """Of values that were 4, 1 and 1/2 wide in the old coordinates; in the new ones all are 1."""
    narrower = -torch.tensor([4.0, 1.0, 0.5], dtype=torch.float64).log()
    assert Isokinetic().carried(narrower) == pytest.approx(1 / 4)
    assert Hamiltonian().carried(narrower) == pytest.approx(2 ** (-1 / 3))


def test_turning_keeps_the_speed_and_adds_up():
    direction, slope = torch.nn.functional.normalize(normals(CHAINS, SIZE)), 5 * normals(CHAINS, SIZE)
    once, energy = _turned(direction, slope, 0.7)
    half, first = _turned(direction, slope, 0.3)
    twice, second = _turned(half, slope, 0.4)
    torch.testing.assert_close(once.norm(dim=1), torch.ones(CHAINS, dtype=torch.float64))
    torch.testing.assert_close(twice, once)
    torch.testing.assert_close(first + second, energy)
    length, along = slope.norm(dim=1), (direction * torch.nn.functional.normalize(slope)).sum(1)
    delta = 0.7 * length / (SIZE - 1)
    torch.testing.assert_close(energy, (SIZE - 1) * torch.log(torch.cosh(delta) + along * torch.sinh(delta)))


def test_the_sequence_of_lengths_fills_the_interval_evenly():
    found = sorted(_between(step) for step in range(255))
    np.testing.assert_allclose(found, np.arange(1, 256) / 256)


@pytest.mark.parametrize("total", [20, 60, 149, 150, 500, 1000, 5000])
def test_windows_follow_each_other_and_leave_room_at_both_ends(total):
    first, ends = window_ends(total)
    lengths = np.diff([first, *ends])
    assert 0 < first < ends[0]
    assert ends[-1] < total
    assert (lengths > 0).all()
    assert all(later >= 2 * earlier for earlier, later in pairwise(lengths))


def test_a_warmup_too_short_for_windows_has_none():
    assert window_ends(19) == (19, [])


def test_the_autocorrelation_time_is_that_of_an_autoregression_in_each_mode():
    noise, found = normals(16, 4000, 3), torch.zeros(16, 4000, 3, dtype=torch.float64)
    slow = torch.tensor([0.0, 0.5, 0.9], dtype=torch.float64)
    for t in range(1, 4000):
        found[:, t] = slow * found[:, t - 1] + noise[:, t]
    modes = found + 1000 * torch.arange(16, dtype=torch.float64)[:, None, None]
    np.testing.assert_allclose(autocorrelation_time(modes), [1, 3, 19], rtol=0.15)


def test_dual_averaging_finds_the_step_size_whose_acceptance_is_wanted():
    averaging = Averaging(0.8)
    state = averaging.start(torch.tensor(5.0))
    for _ in range(500):
        state = averaging.update(state, torch.tensor(np.exp(-averaging.step_size(state, final=False))))
    assert np.exp(-averaging.step_size(state, final=True)) == pytest.approx(0.8, abs=0.01)


def test_the_step_size_of_the_energy_error_has_the_error_that_is_wanted():
    tuning, size = EnergyError(1e-3), 10
    state = tuning.start(0.01, torch.zeros(1))
    for _ in range(300):  # errors grow with the third power of the step
        state = tuning.update(state, 2 * state[3] ** 3 * normals(64), size)
    assert 4 * float(state[3]) ** 6 == pytest.approx(1e-3 * size, rel=0.1)
    worse = tuning.update(state, torch.full((64,), torch.nan), size)
    assert float(worse[3]) < 0.9 * float(state[3])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HMC(step_size=0), "step_size=0 in HMC; expected a positive, finite number"),
        (lambda: HMC(trajectory=-1), "trajectory=-1 in HMC"),
        (lambda: HMC(target_accept=1.0), "target_accept=1.0 in HMC; expected a share between 0 and 1"),
        (lambda: HMC(most_steps=0), "most_steps=0; expected a whole number, 1 or more"),
        (lambda: HMC(mass="full"), r"mass='full'; expected one of \['diagonal', 'dense'\]"),
        (lambda: MCLMC(step_size=float("nan")), "step_size=nan in MCLMC"),
        (lambda: MCLMC(energy_error=0), "energy_error=0 in MCLMC"),
        (lambda: chains(MCLMC(), 0, 1, size=1), "a single value.*Use sampler='chees-hmc'"),
        (lambda: chains(AdjustedMCLMC(), 0, 1, size=1), "a single value"),
        (lambda: chains(HMC(mass="dense"), 0, 1, size=3000), "mass='dense' with 3,000 values"),
    ],
)
def test_settings_that_cannot_be_are_named(make, message):
    with pytest.raises(ModelError, match=message):
        make()
