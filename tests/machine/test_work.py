"""Work is counted: operations, and the memory that their results hold at once."""

import torch

from companion import datasets
from companion.inference import fit
from companion.machine import Machine, Work
from companion.models import torch_regression
from companion.networks import dense
from companion.priors import Gaussian


def test_results_that_are_gone_no_longer_count_and_those_that_are_kept_do():
    with Work() as dropped:
        for _ in range(10):
            torch.ones(1000)
    with Work() as kept:
        _all = [torch.ones(1000) for _ in range(10)]
    assert dropped.operations == kept.operations == 10
    assert dropped.computed_bytes == kept.computed_bytes == 40_000
    assert kept.peak_bytes == 40_000
    assert dropped.peak_bytes <= 8_000


def test_views_and_what_is_written_in_place_take_no_memory():
    before = torch.ones(1000)
    with Work() as work:
        before.reshape(10, 100).t()
        before.add_(1)
    assert work.operations == 3
    assert work.peak_bytes == 0


def test_a_view_keeps_the_memory_that_it_shows():
    with Work() as work:
        corner = torch.ones(1000)[:1]
        torch.zeros(500)
    assert len(corner) == 1
    assert work.peak_bytes == 6000


def test_what_waits_for_the_backward_pass_counts():
    weight = torch.ones(1000, requires_grad=True)
    with Work() as work:
        weight.exp().sin().sum().backward()
    assert work.peak_bytes >= 2 * 4000  # exp and sin keep what their gradients need


def test_a_step_of_several_restarts_is_about_as_many_operations_as_one():
    model = torch_regression(datasets.sinusoid(32), dense(1, 5, 1, activation=torch.nn.Tanh), Gaussian(1.0), noise=1.0)
    place = Machine("cpu", compile=False, threads=1)

    def operations(steps, restarts):
        with Work() as work:
            fit(model, steps, restarts=restarts, elbo_draws=2, machine=place, start="prior", progressbar=False)
        return work.operations

    one, four = (operations(40, restarts) - operations(20, restarts) for restarts in (1, 4))
    assert one > 20
    assert four < 1.2 * one  # not 4 times
