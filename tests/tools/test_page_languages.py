"""The book's search in Chinese: what is typed is found, whole or in part, and English stays as it was."""

import importlib.util
import re
import shutil
import subprocess

import pytest
import yaml

from tools import ROOT
from tools.contents import settings

spec = importlib.util.spec_from_file_location("page_languages", ROOT / "book" / "_ext" / "page_languages.py")
page_languages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page_languages)

SENTENCE = "用变分推断（variational inference，VI）拟合40个权重。"


@pytest.fixture(scope="module")
def search():
    return page_languages.SearchEnglishAndChinese({})


def test_chinese_is_indexed_by_characters_and_pairs_and_the_rest_by_words(search):
    words = search.split(SENTENCE)
    assert {"变", "变分", "分推", "推断", "权重", "variational", "inference", "VI", "40"} <= set(words)
    assert not {w for w in words if len(w) > 2 and re.search("[\u4e00-\u9fff]", w)}
    assert "分拟" not in words  # no pair across a word of another script


def test_every_word_that_can_be_typed_in_chinese_is_kept(search):
    assert all(search.word_filter(word) for word in ("变", "变分"))
    assert not search.word_filter("the")


@pytest.mark.parametrize("query", ["变分推断", "推断", "权重", "变分推断 variational"])
def test_a_query_is_cut_into_what_is_indexed(search, query):
    """The browser cuts queries by the extension's own script: run it where there is a Node.js."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here to run the page's script")
    script = f"{search.js_splitter_code}; console.log(JSON.stringify(splitQuery({query!r})))"
    terms = yaml.safe_load(subprocess.run([node, "-e", script], capture_output=True, text=True, check=True).stdout)
    assert terms
    assert set(terms) <= set(search.split(SENTENCE))


def test_pages_named_in_the_settings_exist_and_declare_their_language():
    config = settings()["sphinx"]["config"]
    assert config["html_search_language"] == page_languages.SearchEnglishAndChinese.lang
    assert config["page_languages"] == {"pymc/zh": "zh-CN"}
    for page in config["page_languages"]:
        assert (ROOT / "book" / page).with_suffix(".myst.md").exists()
