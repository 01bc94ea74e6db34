"""What a reader meets who types ``companion``."""

import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from running import first_run

import companion
from companion.cli import Finding, doctor, examine, main, report


def test_a_missing_package_is_named_with_its_remedy_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["pyro-ppl>=1.9", "numpy>=2.0"])
    monkeypatch.setitem(sys.modules, "pyro", None)
    monkeypatch.setitem(sys.modules, "pytensor", None)
    checks = [doctor.packages, doctor.compiler, doctor.blas, doctor.python]
    assert report(examine(checks)) == 1
    out = capsys.readouterr().out
    assert 'pip install "pyro-ppl>=1.9"' in out
    assert "ok    numpy" in out
    assert "ok    Python" in out


def test_a_version_outside_the_declared_range_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["numpy<1", 'pytest<1; extra == "test"'])
    (finding,) = examine([doctor.packages])
    assert (finding.status, finding.essential) == ("todo", True)
    assert 'outside <1: pip install "numpy<1"' in finding.text


def test_no_compiler_is_essential_for_pytensor_2_only(monkeypatch: pytest.MonkeyPatch) -> None:
    pytensor = importlib.import_module("pytensor")
    monkeypatch.setattr(doctor, "_module", lambda _: pytensor)
    with pytensor.config.change_flags(cxx=""):
        for version, status in (("2.38.3", "todo"), ("3.1.0", "fine")):
            monkeypatch.setattr(pytensor, "__version__", version)
            (finding,) = examine([doctor.compiler])
            assert finding.status == status
            assert "g++" in finding.text


def test_the_chinese_figures_have_the_companions_own_font() -> None:
    _, chinese = examine([doctor.fonts])
    assert (chinese.status, chinese.text) == ("ok", "Noto Sans CJK SC Subset")


def test_without_a_chinese_font_the_doctor_says_what_the_figures_do_then(monkeypatch: pytest.MonkeyPatch) -> None:
    language = importlib.import_module("companion.plots.language")
    monkeypatch.setattr(language, "OURS", "no-such-font.otf")
    monkeypatch.setattr(language.font_manager, "get_font_names", lambda: ["DejaVu Sans"])
    _, chinese = examine([doctor.fonts])
    assert chinese.status == "todo"
    assert "speak English: reinstall the companion" in chinese.text
    assert not chinese.essential


def test_a_check_that_breaks_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("a driver said no\nand more")

    assert report(examine([broken, doctor.python])) == 1
    assert capsys.readouterr().out.startswith("todo  broken  a driver said no\n")


def test_the_doctor_tells_of_a_bad_file_and_of_a_cache_that_cannot_be_written(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare.write_text("in the way")
    bad = tmp_path / "mine" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"bad")
    monkeypatch.setenv("COMPANION_DATA_DIR", str(tmp_path / "mine"))
    assert report(examine([doctor.data, doctor.cache])) == 0, "the moons chapter still runs"
    out = capsys.readouterr().out
    assert str(bad) in out
    assert "COMPANION_CACHE_DIR" in out


def test_data_list_says_what_is_where(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    for expected in (
        "MNIST",
        "CC BY-SA 3.0",
        "9,912,422 bytes",
        "fashion-mnist",
        "omniglot",
        "not on this machine",
    ):
        assert expected in out


def test_data_verify_finds_the_bad_one(
    real_data: Path, bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMPANION_DATA_DIR", str(real_data))
    assert main(["data", "verify"]) == 0
    assert capsys.readouterr().out.count("ok  ") == 16
    bad = bare / "mnist" / "t10k-labels-idx1-ubyte.gz"
    bad.parent.mkdir(parents=True)
    bad.write_bytes((real_data / "mnist" / bad.name).read_bytes()[:-1])
    assert main(["data", "verify", "mnist"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("bad")]
    assert str(bad) in line
    assert "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6" in line


def test_data_fetch_finds_what_is_there_and_warns_in_one_line(
    real_data: Path, bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMPANION_DATA_DIR", str(real_data))
    assert main(["data", "fetch", "mnist", "omniglot"]) == 0
    assert capsys.readouterr().out.count("ok  ") == 6


def test_our_errors_are_one_message_and_no_traceback(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare.write_text("in the way of the cache")
    assert main(["data", "fetch", "omniglot"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("companion: ")
    assert "COMPANION_CACHE_DIR" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("action", ["list", "fetch", "verify"])
def test_an_unknown_name_is_answered_with_the_valid_ones(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", action, "minst"]) == 2
    assert "minst; there are: mnist, fashion-mnist, omniglot" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["new", "flowers.csv", "--target", "kind"], ["doctor"], ["data", "list"]], ids=" ".join
)
def test_on_a_first_run_no_other_library_speaks(words: list[str], tmp_path: Path) -> None:
    lines = [f"{('wide', 'narrow')[k % 2]},{k % 2 + k * 37 % 60 / 20},{k * k % 7 / 10}" for k in range(60)]
    (tmp_path / "flowers.csv").write_text("\n".join(["kind,width,length", *lines]), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "companion", *words],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=first_run(tmp_path / "home"),
    )  # fmt: skip
    assert run.stderr == ""
    assert run.stdout


@pytest.mark.parametrize("words", [[], ["data"]])
def test_half_a_command_is_answered_with_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: companion" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"companion {companion.__version__}\n"


def test_the_command_itself_loads_nothing_that_is_slow_to_load() -> None:
    code = (
        "import runpy, sys; sys.argv = ['companion', '--version']\n"
        "try: runpy.run_module('companion', run_name='__main__', alter_sys=True)\n"
        "except SystemExit: print([m for m in ('torch', 'pymc', 'sklearn', 'numpy') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(companion.__file__).parents[1], capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[-1] == "[]", ran.stderr
