"""A GPU is used where there is one, named where results are shown, and never needed to read what was stored on one."""

import ast
import importlib
import inspect

import pytest
import torch

from companion import versions
from companion.errors import ModelError
from companion.machine import device_named
from tools import ROOT
from tools.notebooks import code_cells, read, stored, words

NAME = "NVIDIA H200"


@pytest.fixture
def gpu(monkeypatch):
    """A machine on which torch sees two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=0: NAME)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def test_auto_is_the_gpu_where_there_is_one(gpu):
    assert device_named("auto") == torch.device("cuda", 0)


def test_each_process_of_a_distributed_fit_takes_its_own(gpu, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_named("auto") == torch.device("cuda", 1)


def test_auto_is_the_cpu_elsewhere(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("auto") == torch.device("cpu")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="expected 'auto', 'cpu' or 'cuda'"):
        device_named("cuda:99")


def test_the_gpu_is_named_in_a_chapter_s_last_cell(gpu):
    (line,) = [line for line in versions.versions().splitlines() if line.startswith("machine")]
    assert line.endswith(f", {NAME}")


def test_and_its_absence_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert versions.machine().endswith(", no GPU")


@pytest.mark.parametrize("path", stored(), ids=lambda path: path.stem)
def test_every_chapter_ends_with_versions_and_machine(path):
    _, last = code_cells(read(path))[-1]
    assert "versions()" in last.source
    printed = "".join(words(output) for output in last.outputs)
    assert any(line.startswith("machine") for line in printed.splitlines())


WHERE = ("inference.fit", "bayes_by_backprop.fit", "posterior.load_posterior", "shelf.load_posterior")


def choices_of_device():
    """Every public function that lets its caller choose a device, by its name or as a `Machine`."""
    for room in ("bridge", "inference", "bayes_by_backprop", "posterior", "shelf", "models", "prediction"):
        module = importlib.import_module(f"companion.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            if not inspect.isfunction(thing):
                continue
            for parameter in inspect.signature(thing).parameters.values():
                if parameter.name in ("device", "machine") and parameter.default is not parameter.empty:
                    yield pytest.param(parameter.default, id=f"{room}.{name}")


def test_there_are_such_functions():
    names = {parameter.id for parameter in choices_of_device()}
    assert set(WHERE) <= names


@pytest.mark.parametrize("default", list(choices_of_device()))
def test_left_alone_they_choose_by_themselves(default):
    assert default in ("auto", "cpu"), "a GPU must never be needed"


def test_whatever_fits_or_loads_takes_the_gpu_by_itself():
    defaults = {parameter.id: parameter.values[0] for parameter in choices_of_device()}
    for name in WHERE:
        assert defaults[name] == "auto"


def loads_without_a_place(source):
    """Lines that call torch.load without saying where to put what was stored."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != "torch.load":
            continue
        if not any(word.arg == "map_location" for word in node.keywords):
            yield node.lineno


def test_what_was_stored_on_a_gpu_loads_without_one():
    found = {}
    for path in [
        *ROOT.glob("companion/**/*.py"),
        *ROOT.glob("benchmarks/*.py"),
        *ROOT.glob("studies/*.py"),
        *ROOT.glob("tools/**/*.py"),
    ]:
        if lines := list(loads_without_a_place(path.read_text(encoding="utf-8"))):
            found[path.name] = lines
    for path in stored():
        text = "\n".join(c.source for c in read(path).cells if c.cell_type == "code")
        if "torch.load(" in text:
            assert "map_location" in text, path
    assert not found, f"torch.load without map_location: {found}"


def test_the_check_sees_loads_at_all():
    assert list(loads_without_a_place("torch.load(p)\ntorch.load(p, map_location='cpu')")) == [1]
