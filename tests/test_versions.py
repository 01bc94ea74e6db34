"""What a notebook ran on is a mapping, and the text that it prints can be read back."""

import platform
from importlib.metadata import PackageNotFoundError

from companion import versions


def test_the_text_in_a_notebook_reads_back_as_the_mapping():
    installed = versions.installed()
    assert versions.by_name(versions.versions()) == installed
    assert next(iter(installed)) == "python"
    assert installed["python"] == platform.python_version()
    assert installed["machine"] == versions.machine()


def test_names_stand_in_one_column_and_versions_in_another():
    assert versions.versions().splitlines()[0] == f"python         {platform.python_version()}"
    assert versions.versions().splitlines()[-1] == f"machine        {versions.machine()}"


def test_a_missing_package_is_said_to_be_missing(monkeypatch):
    def version(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(versions, "version", version)
    assert versions.installed()["torch"] == "not installed"
    assert versions.by_name(versions.versions())["torch"] == "not installed"
